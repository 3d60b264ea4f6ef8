"""Find exercises and predictions by their id.

An exercise or a prediction is whatever `lessons/lesson_XX.py`, or `lessons/lesson_XX/checks.py`,
holds as one; a quiz question is whatever has `choices` and an `answer` in the lesson's texts.
"""

import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TypeVar

from vizhelpers._utils.messages import nearest
from vizhelpers.exercises.authoring import Asked, Exercise, Prediction, question
from vizhelpers.exercises.catalogue import texts

T = TypeVar("T", bound=Asked)


def lessons() -> list[str]:
    """The two digits of every lesson that has exercises, in order."""
    return sorted(_modules())


def exercises_of(lesson: str) -> dict[str, Exercise]:
    """The exercises of one lesson by id: its checkers, then the quiz questions of its texts."""
    found = _held(lesson, Exercise)
    for name, said in texts(f"lesson_{lesson}").items():
        if isinstance(said, dict) and "choices" in said and "answer" in said:
            found.append(question(f"{lesson}.{name}"))
    return {item.id: item for item in found}


def predictions_of(lesson: str) -> dict[str, Prediction]:
    """The predictions of one lesson by id."""
    return {item.id: item for item in _held(lesson, Prediction)}


def find(exercise_id: str) -> Exercise:
    """The exercise or quiz question of that id.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such exercise; the message names the nearest ones.
    """
    return _find(exercise_id, exercises_of, "exercise")


def find_prediction(prediction_id: str) -> Prediction:
    """The prediction of that id; the rest is as for `find`."""
    return _find(prediction_id, predictions_of, "prediction")


def _find(name: str, of: Callable[[str], Mapping[str, T]], what: str) -> T:
    if not isinstance(name, str):
        raise TypeError(
            f'The first thing to give is the {what}\'s id in quotes, such as "01.mend"; '
            f"this is a {type(name).__name__}."
        )
    lesson, _, part = name.partition(".")
    known: Mapping[str, T] = {}
    if lesson in lessons():
        known = of(lesson)
        if name not in known:
            _refuse_another_kind(name, lesson, part)
    if name in known:
        return known[name]
    every = [each for one in lessons() for each in of(one)]
    near = nearest(name, every) or list(known) or every
    names = ", ".join(f'"{each}"' for each in near)
    raise ValueError(f'There is no {what} "{name}". Nearest: {names}.')


def _refuse_another_kind(name: str, lesson: str, part: str) -> None:
    """Say what else an id is of, if it is of something."""
    if name in predictions_of(lesson):
        raise ValueError(f'"{name}" is a prediction: `predict("{name}")`.')
    if name in exercises_of(lesson):
        raise ValueError(f'"{name}" is an exercise, no prediction: `check("{name}", ...)`.')
    if "choices" in texts(f"lesson_{lesson}").get(part, {}):
        raise ValueError(
            f'"{name}" is not finished: it has choices in lesson_{lesson}.toml, but neither an '
            f'`answer` there, as a quiz question, nor a function under @prediction("{name}") '
            "in the lesson's module."
        )


def _held(lesson: str, kind: type[T]) -> list[T]:
    module = import_module(_modules()[lesson])
    return [item for item in vars(module).values() if isinstance(item, kind)]


def _modules() -> dict[str, str]:
    """Where each lesson's checkers are, by its two digits.

    Found by name: lessons know the exercises' mechanism, which knows no lesson.
    """
    return _modules_in(tuple(import_module("vizhelpers.lessons").__path__))


@cache
def _modules_in(folders: tuple[str, ...]) -> dict[str, str]:
    return {
        found.name.removeprefix("lesson_"): f"vizhelpers.lessons.{found.name}"
        + (".checks" if found.ispkg else "")
        for found in pkgutil.iter_modules(folders)
    }
