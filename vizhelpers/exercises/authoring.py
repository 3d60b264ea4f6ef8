"""Write an exercise: `exercise`, `right`, `wrong`, and what checkers need.

A checker is a function from the learner's answer to `right()` or `wrong("key")`. The key names a
text in the lesson's catalogue; values for its placeholders are given by name, and `{given}`
stands for the answer itself. Expected values are computed from the real thing, never typed in.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from vizhelpers.exercises.catalogue import texts

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """A checker's judgement: which text the learner gets, and the values in it."""

    is_right: bool
    key: str
    values: dict[str, object]


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
class Exercise:
    """One exercise or quiz question: its id, such as `01.mend`, and its checker."""

    id: str
    checker: Callable[[Any], Outcome]

    @property
    def lesson(self) -> str:
        """The lesson's two digits."""
        return self.id.partition(".")[0]

    @property
    def texts(self) -> dict[str, Any]:
        """The exercise's part of the catalogue."""
        return texts(f"lesson_{self.lesson}")[self.id.partition(".")[2]]


def exercise(exercise_id: str) -> Callable[[Callable[[Any], Outcome]], Exercise]:
    """Make a checker function into an exercise. The lesson's module then holds it."""
    return lambda checker: Exercise(exercise_id, checker)


def question(exercise_id: str) -> Exercise:
    """A quiz question: its choices, their letters, and why they are wrong are texts only."""

    def choose(answer: object) -> Outcome:
        letter = answer.strip().rstrip(".)").lower() if isinstance(answer, str) else ""
        if letter not in quiz.texts["choices"]:
            raise WrongKindError("letter", letters=", ".join(quiz.texts["choices"]))
        return right() if letter == quiz.texts["answer"] else wrong(letter)

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
