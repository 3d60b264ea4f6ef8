"""Write an exercise: `exercise`, `question`, `right`, `wrong`, and what checkers need.

A checker is a function from the learner's answer to `right()` or `wrong("key")`. The key names a
text in the lesson's catalogue; values for its placeholders are given by name, and `{given}`
stands for the answer itself. Expected values are computed from the real thing, never typed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

from vizhelpers.exercises.catalogue import texts

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
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


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


def question(exercise_id: str, *, right_choice: str) -> Exercise:
    """A quiz question. Its choices, and why the others are wrong, are in the catalogue."""

    def choose(answer: object) -> Outcome:
        letter = expect(answer, "letter", str).strip().rstrip(".)").lower()
        if letter not in quiz.texts["choices"]:
            raise WrongKindError("letter")
        return right() if letter == right_choice else wrong(letter)

    quiz = Exercise(exercise_id, choose)
    return quiz


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
