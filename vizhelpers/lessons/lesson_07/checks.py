"""Exercises of lesson 07, the clinic: is the diagnosis right, and does the picture show it?"""

from __future__ import annotations

from dataclasses import replace

from vizhelpers.exercises.authoring import Exercise, Outcome, exercise, expect, wrong
from vizhelpers.lessons.lesson_07.predictions import *  # noqa: F403  (the registry looks here)

# The rest, which needs PyTorch, is imported where an answer is judged: a hint need not wait for it.


def patient(letter: str) -> Exercise:
    """Make the exercise of one patient of the lesson."""

    def diagnosed(answer: object) -> Outcome:
        from vizhelpers.lessons.lesson_07.case import Finding
        from vizhelpers.lessons.lesson_07.judging import judge

        finding = expect(answer, "finding", Finding)
        if finding.case.letter != letter.upper():
            return wrong("other_patient", letter=finding.case.letter)
        return judge(finding)

    return replace(exercise(f"07.{letter}")(diagnosed), shared="patient")


b, c, d, e, f, g, h, i = (patient(letter) for letter in "bcdefghi")


def _waiting(answer: object) -> Outcome:
    """Diagnose a patient whom the lesson does not: a later letter, or one of another seed."""
    from vizhelpers.lessons.lesson_07.case import Finding
    from vizhelpers.lessons.lesson_07.cases import GROUPS
    from vizhelpers.lessons.lesson_07.judging import judge

    finding = expect(answer, "finding", Finding)
    if not finding.case.seed and finding.case.letter in "".join(GROUPS):
        return wrong("other_patient", letter=finding.case.letter)
    return judge(finding)


waiting = replace(exercise("07.waiting")(_waiting), shared="patient")
