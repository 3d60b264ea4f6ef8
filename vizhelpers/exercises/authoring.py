"""Write an exercise or a prediction: `exercise`, `prediction`, and what checkers need.

A checker is a function from the learner's answer to `right()` or `wrong("key")`. The key names a
text in the lesson's catalogue; values for its placeholders are given by name, and `{given}`
stands for the answer itself. Expected values are computed from the real thing, never typed in.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from vizhelpers.exercises.catalogue import fill, texts

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """A checker's judgement: which text the learner gets, and the values in it.

    Attributes:
        is_right: Whether the answer is.
        key: Of the text.
        values: For the text's placeholders.
        hints: In the place of the exercise's own, where each learner has another task.
    """

    is_right: bool
    key: str
    values: dict[str, object]
    hints: tuple[str, ...] = ()


def right(**values: object) -> Outcome:
    """The answer is right; the catalogue's `right` says why."""
    return Outcome(True, "right", values)


def wrong(key: str, **values: object) -> Outcome:
    """The answer is wrong; the catalogue's `wrong.<key>` says what went wrong and why."""
    return Outcome(False, key, values)


class WrongKindError(Exception):
    """The answer is not the kind of thing that was asked for.

    Args:
        kind: A key of `[kinds]` in the common texts, such as `"number"`.
        values: For the placeholders of that text.
    """

    def __init__(self, kind: str, **values: object) -> None:
        super().__init__(kind)
        self.kind, self.values = kind, values


@dataclass(frozen=True)
class Asked:
    """Whatever is asked under an id, such as `01.mend`."""

    id: str

    @property
    def lesson(self) -> str:
        """The lesson's two digits."""
        return self.id.partition(".")[0]

    @property
    def part(self) -> str:
        """The name of its part of the lesson's texts."""
        return self.id.partition(".")[2]

    @property
    def texts(self) -> dict[str, Any]:
        """Its part of the catalogue.

        Raises:
            LookupError: If whoever wrote the lesson has forgotten it.
        """
        file, name = f"lesson_{self.lesson}", self.part
        try:
            return texts(file)[name]
        except KeyError:
            raise LookupError(
                f'{file}.toml lacks a part [{name}]: the texts of "{self.id}"'
            ) from None

    def text(self, *keys: str) -> str:
        """One of its texts, by the keys that lead there, such as `"wrong", "other"`.

        Raises:
            LookupError: If whoever wrote the lesson has forgotten it.
        """
        found: Any = self.texts
        for key in keys:
            if key not in found:
                raise LookupError(f'lesson_{self.lesson}.toml lacks "{self.id}.{".".join(keys)}"')
            found = found[key]
        return found

    @property
    def choices(self) -> dict[str, str]:
        """Letter and text of each choice; empty where there is nothing to choose."""
        return {letter: fill(text, {}) for letter, text in self.texts.get("choices", {}).items()}

    def letter(self, answer: object) -> str:
        """The letter of a choice, however it was typed: `"b"`, `"B"`, `"b)"`.

        Raises:
            WrongKindError: If it is none of the letters.
        """
        letter = answer.strip().rstrip(".)").lower() if isinstance(answer, str) else ""
        if letter in self.choices:
            return letter
        letters = ", ".join(self.choices)
        raise WrongKindError("another_letter" if letter else "letter", letters=letters)


@dataclass(frozen=True)
class Exercise(Asked):
    """An exercise or a quiz question, and its checker.

    Attributes:
        shared: The part of the texts, where several exercises share one.
    """

    checker: Callable[[Any], Outcome]
    shared: str = ""

    @property
    def part(self) -> str:
        """The name of its part of the lesson's texts."""
        return self.shared or super().part


@dataclass(frozen=True)
class Prediction(Asked):
    """A question that is asked before a result is seen, and what makes a letter of the result."""

    judge: Callable[[Any], str | tuple[str, Mapping[str, object]]]

    def outcome(
        self, judged: str | tuple[str, Mapping[str, object]]
    ) -> tuple[str, Mapping[str, object]]:
        """The letter that is right, and values for the text that says why.

        Args:
            judged: What `judge` has returned.

        Raises:
            ValueError: If whoever wrote `judge` let it return something else than a choice.
        """
        letter, values = (judged, {}) if isinstance(judged, str) else judged
        if letter not in self.choices:
            raise ValueError(
                f'The function under @prediction("{self.id}") returned {letter!r}; '
                f"its choices are {', '.join(self.choices)}."
            )
        return letter, values


def exercise(
    exercise_id: str, *, shared: str = ""
) -> Callable[[Callable[[Any], Outcome]], Exercise]:
    """Make a checker function into an exercise. The lesson's module then holds it.

    Args:
        exercise_id: Its lesson and its name: ``"01.mend"``.
        shared: The part of the texts, where several exercises share one; by default the name.
    """
    return lambda checker: Exercise(exercise_id, checker, shared)


def prediction(
    prediction_id: str,
) -> Callable[[Callable[[Any], str | tuple[str, Mapping[str, object]]]], Prediction]:
    """Make a function into a prediction. The lesson's module then holds it.

    The function gets what was found, and returns the letter of the choice that is right by it;
    or that letter, and values for the placeholders of the text `why`.

    Example:
        >>> @prediction("03.p1")
        ... def leaked(found: object) -> str:
        ...     return "a" if found else "b"
    """
    return lambda judge: Prediction(prediction_id, judge)


def question(exercise_id: str) -> Exercise:
    """A quiz question: its choices, their letters, and why they are wrong are texts only."""

    def choose(answer: object) -> Outcome:
        letter = quiz.letter(answer)
        return right() if letter == quiz.text("answer") else wrong(letter)

    quiz = Exercise(exercise_id, choose)
    return quiz


def nearest_mistake(
    given: float, mistakes: Mapping[float, str], *, tolerance: float = 0.0, other: str = "other"
) -> str:
    """The key of the mistake whose value is nearest to the answer.

    Args:
        given: The answer, from `number`.
        mistakes: Maps the number that a mistake leads to, to the mistake's key.
        tolerance: How far the answer may be from it: absolute for numbers up to 1, relative for
            larger ones.
        other: The key for an answer that is near to none of them.
    """
    nearest = min(mistakes, key=lambda value: abs(given - value))
    near = math.isclose(given, nearest, rel_tol=tolerance, abs_tol=tolerance)
    return mistakes[nearest] if near else other


def expect(answer: object, kind: str, wanted: type[T]) -> T:
    """The answer, if it is of the wanted type.

    Raises:
        WrongKindError: If it is not; `kind` is a key of `[kinds]` in the common texts.
    """
    if not isinstance(answer, wanted):
        raise WrongKindError(kind)
    return answer


def number(answer: Any) -> float:
    """The answer as a Python number; tensors and arrays with one element count as numbers.

    Raises:
        WrongKindError: For anything else, a bool included.
    """
    if hasattr(answer, "item"):
        try:
            answer = answer.item()
        except (RuntimeError, ValueError):  # PyTorch's and NumPy's word for more than one element
            raise WrongKindError("number") from None
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise WrongKindError("number")
    try:
        return float(answer)
    except OverflowError:  # an int with hundreds of digits
        return math.inf


def tensor(answer: Any) -> "Tensor":
    """The answer as a tensor on the CPU; arrays and nested lists hold the same numbers.

    Raises:
        WrongKindError: For anything else, complex numbers and tensors without numbers included.
    """
    import numpy as np
    import torch

    try:
        found = torch.as_tensor(answer.copy() if isinstance(answer, np.ndarray) else answer)
    except (TypeError, ValueError, RuntimeError):
        raise WrongKindError("tensor") from None
    if found.is_complex() or not found.numel():
        raise WrongKindError("tensor")
    return found.detach().cpu()
