"""Exercises of lesson 07, the clinic: is the diagnosis right, and does the picture show it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vizhelpers.exercises.authoring import Exercise, Outcome, exercise, expect, wrong
from vizhelpers.lessons.lesson_07.predictions import *  # noqa: F403  (the registry looks here)

if TYPE_CHECKING:
    from vizhelpers.lessons.lesson_07.case import Case


def _judged(answer: object, is_asked_for: Callable[[Case], bool]) -> Outcome:
    # These need PyTorch, and a hint need not wait for it.
    from vizhelpers.lessons.lesson_07.case import Finding
    from vizhelpers.lessons.lesson_07.judging import judge

    finding = expect(answer, "finding", Finding)
    if not is_asked_for(finding.case):
        return wrong("other_patient", letter=finding.case.letter)
    return judge(finding)


def patient(letter: str) -> Exercise:
    """Make the exercise of one patient of the lesson."""

    @exercise(f"07.{letter}", shared="patient")
    def diagnosed(answer: object) -> Outcome:
        return _judged(answer, lambda case: case.letter == letter.upper())

    return diagnosed


b, c, d, e, f, g, h, i = (patient(letter) for letter in "bcdefghi")


@exercise("07.waiting", shared="patient")
def waiting(answer: object) -> Outcome:
    """Diagnose a patient whom the lesson does not: a later letter, or one of another seed."""
    from vizhelpers.lessons.lesson_07.cases import GROUPS

    return _judged(answer, lambda case: case.seed > 0 or case.letter not in "".join(GROUPS))
