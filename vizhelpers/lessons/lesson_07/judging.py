"""Is the diagnosis right, and does the picture show it? Measured on the patient and its twin."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from vizhelpers.exercises.authoring import Outcome, right, wrong
from vizhelpers.exercises.catalogue import fill, texts
from vizhelpers.figures import number_text
from vizhelpers.lessons.lesson_07.case import Case, Finding
from vizhelpers.lessons.lesson_07.cases import illness, is_patient, pristine
from vizhelpers.lessons.lesson_07.names import DIAGNOSES
from vizhelpers.lessons.lesson_07.telltales import NUMBERS, SHOWN_BY, Found, at


class Comparison(NamedTuple):
    """A number of a patient beside that of its healthy twin."""

    key: str
    ill: float
    healthy: float
    where: str | None

    @property
    def apart(self) -> bool:
        """Whether a picture shows that they differ."""
        return NUMBERS[self.key].differs(self.ill, self.healthy)

    def shows(self, diagnosis: str) -> bool:
        """Whether they differ as they do in an illness."""
        direction = SHOWN_BY[diagnosis].get(self.key, 0)
        return self.apart and (self.ill - self.healthy) * direction > 0

    def __str__(self) -> str:
        said = texts("clinic")
        if math.isnan(self.ill) or math.isnan(self.healthy):
            kind = "nothing" if self.where is None else "nothing_there"
            return fill(said["compared"][kind], {"where": f"`{self.where}`"})
        words = fill(said["numbers"][self.key], {"where": f"`{self.where}`"})
        numbers = {"ill": self._number(self.ill), "healthy": self._number(self.healthy)}
        kind = "apart" if self.apart else "same"
        return fill(said["compared"][kind], {"number": words, **numbers})

    def _number(self, value: float) -> str:
        if math.isinf(value):
            return texts("clinic")["compared"]["infinite"]
        # What is compared as a difference is rounded: 2e−07 is no finding, and another machine's 0.
        return number_text(value if NUMBERS[self.key].ratio else round(value, 3) + 0.0)


def judge(finding: Finding) -> Outcome:
    """Judge diagnosis and evidence, by what is measured on the patient and on its healthy twin."""
    case, diagnosis, tool, where = finding
    if not is_patient(case):
        return wrong("other_patient", letter=case.letter)
    name = illness(case.letter, case.seed)
    said = texts("clinic")[name]
    every = [compare(case, key, where) for key, number in NUMBERS.items() if number.tool == tool]
    telling = [each for each in every if each.shows(name)]
    beside = _beside(case, name, every)
    apart = [each for each in every if each.apart]
    values = {"diagnosis": DIAGNOSES[diagnosis], "tool": tool, "letter": case.letter}
    if diagnosis == name and telling and not beside:
        return right(proof=_proof(case, name, telling[0]), why=fill(said["why"], {}), **values)
    missing = where is None and any(NUMBERS[each.key].by_layer for each in every)
    listed = [each for each in every if each.key in SHOWN_BY[diagnosis]]
    best = next(iter(apart or listed or every))
    if diagnosis != name:
        outcome = wrong("other", compared=str(best), **values)
    elif beside:
        outcome = wrong("same", compared=str(beside), **values)
    elif missing and not apart:
        outcome = wrong("place", **values)
    else:
        key = "unspecific" if apart else "same"
        outcome = wrong(key, compared=str(best), **values)
    return replace(outcome, hints=tuple(said["hints"]))


def compare(case: Case, key: str, where: str | None) -> Comparison:
    """Measure a number on a patient as it came, and on its healthy twin."""
    name = illness(case.letter, case.seed)
    ill, healthy = (at(_found(name, case.seed, key, ill=ill), where) for ill in (True, False))
    return Comparison(key, ill, healthy, where)


@cache
def _found(name: str, seed: int, key: str, *, ill: bool) -> Found:
    return NUMBERS[key].measure(pristine(name, seed, ill=ill))


def _beside(case: Case, name: str, every: list[Comparison]) -> Comparison | None:
    """What is found at the learner's layer, if the illness shows at others and not at this one."""
    layers = [each for each in every if NUMBERS[each.key].by_layer and each.key in SHOWN_BY[name]]
    if not layers or layers[0].where is None or any(each.shows(name) for each in layers):
        return None
    others = (
        compare(case, each.key, layer) for each in layers for layer in _layers(case, each.key)
    )
    return layers[0] if any(other.shows(name) for other in others) else None


def _layers(case: Case, key: str) -> list[str]:
    found = _found(illness(case.letter, case.seed), case.seed, key, ill=True)
    return list(found) if isinstance(found, dict) else []


def _proof(case: Case, name: str, given: Comparison) -> str:
    """What the learner's picture shows in numbers, and what the most telling one shows."""
    best = compare(case, next(iter(SHOWN_BY[name])), given.where)
    return str(given) if given.key == best.key else f"{given} {best}"
