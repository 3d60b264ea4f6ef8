"""Find exercises by their id.

An exercise is whatever `lessons/lesson_XX.py`, or `lessons/lesson_XX/checks.py`, holds as one; a
quiz question is whatever has `choices` in the lesson's texts.
"""

import pkgutil
from importlib import import_module

from vizhelpers._utils.messages import nearest
from vizhelpers.exercises.authoring import Exercise, question
from vizhelpers.exercises.catalogue import texts


def lessons() -> list[str]:
    """The two digits of every lesson that has exercises, in order."""
    return sorted(_modules())


def exercises_of(lesson: str) -> dict[str, Exercise]:
    """The exercises of one lesson by id: its checkers, then the quiz questions of its texts."""
    module = import_module(_modules()[lesson])
    found = [item for item in vars(module).values() if isinstance(item, Exercise)]
    for name, said in texts(f"lesson_{lesson}").items():
        if isinstance(said, dict) and "choices" in said:
            found.append(question(f"{lesson}.{name}"))
    return {item.id: item for item in found}


def _modules() -> dict[str, str]:
    """Where each lesson's checkers are, by its two digits.

    Found by name: lessons know the exercises' mechanism, which knows no lesson.
    """
    package = import_module("vizhelpers.lessons")
    return {
        found.name.removeprefix("lesson_"): f"{package.__name__}.{found.name}"
        + (".checks" if found.ispkg else "")
        for found in pkgutil.iter_modules(package.__path__)
    }


def find(exercise_id: str) -> Exercise:
    """The exercise of that id.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such exercise; the message names the nearest ones.
    """
    if not isinstance(exercise_id, str):
        raise TypeError(
            f'The first thing to give is the exercise\'s id in quotes, such as "01.mend"; '
            f"this is a {type(exercise_id).__name__}."
        )
    lesson = exercise_id.partition(".")[0]
    known = exercises_of(lesson) if lesson in lessons() else {}
    if exercise_id in known:
        return known[exercise_id]
    every = [name for each in lessons() for name in exercises_of(each)]
    near = nearest(exercise_id, every) or list(known) or every
    names = ", ".join(f'"{name}"' for name in near)
    raise ValueError(f'There is no exercise "{exercise_id}". Nearest: {names}.')
