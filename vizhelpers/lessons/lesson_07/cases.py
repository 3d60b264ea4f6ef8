"""The patients of the clinic: open one, or its healthy twin."""

from __future__ import annotations

import copy
import json
import math
import random
import string
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from vizhelpers._utils.checks import whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.paths import WEIGHTS
from vizhelpers.exercises.catalogue import fill, texts
from vizhelpers.lessons.lesson_07 import shipped, trained
from vizhelpers.lessons.lesson_07.case import Case
from vizhelpers.lessons.lesson_07.measurements import agreement, curve_end

SHIPPED: dict[str, Callable[..., Case]] = {
    "not normalised": shipped.not_normalised,
    "normalised twice": shipped.normalised_twice,
    "size hidden by a pool": shipped.size_hidden_by_a_pool,
    "weights not loaded": shipped.weights_not_loaded,
    "train mode": shipped.train_mode,
    "swapped labels": shipped.swapped_labels,
    "background shortcut": shipped.background_shortcut,
    "leaked hook": shipped.leaked_hook,
}
TRAINED: dict[str, Callable[..., Case]] = {
    "bgr": trained.bgr,
    "labels shuffled": trained.labels_shuffled,
    "harmful augmentation": trained.harmful_augmentation,
    "frozen layer": trained.frozen_layer,
    "detached branch": trained.detached_branch,
    "dead relus": trained.dead_relus,
    "vanishing gradients": trained.vanishing_gradients,
    "exploding gradients": trained.exploding_gradients,
    "softmax twice": trained.softmax_twice,
}
LETTERS = string.ascii_uppercase[: len(SHIPPED) + len(TRAINED)]
# Which letters are drawn from which illnesses; what is left of them has the letters after I. With
# seed 0 they stand in this order.
GROUPS = {
    "A": ("dead relus",),
    "BCD": (
        "not normalised",
        "swapped labels",
        "labels shuffled",
        "bgr",
        "normalised twice",
        "harmful augmentation",
    ),
    "EF": ("train mode", "weights not loaded", "size hidden by a pool"),
    "GH": (
        "vanishing gradients",
        "frozen layer",
        "exploding gradients",
        "detached branch",
        "softmax twice",
    ),
    "I": ("background shortcut", "leaked hook"),
}


@clear_errors
def open_case(letter: str, *, seed: int = 0) -> Case:
    """Open a patient of the clinic: a network that somebody brings, and what they say about it.

    Args:
        letter: The patient's name, from ``"A"`` on.
        seed: With another one the letters stand for other illnesses, and each of them has
            another network, other pictures and classes, and is in another layer. B to D have
            something with their data, E and F with the way in, G and H with their training, and I
            with what explains it; any of these may be found from J on.

    Returns:
        A patient of your own: what you do to it harms no other.

    Raises:
        TypeError: The letter is no text, or the seed no integer.
        ValueError: There is no patient of that letter, or the seed is negative.

    Example:
        >>> case = open_case("A")
        >>> case  # as the last line of a cell: what the owner says
    """
    if not isinstance(letter, str):
        raise TypeError(f'a patient has a letter, such as "A"; this is a {type(letter).__name__}.')
    name = letter.strip().upper()
    if len(name) != 1 or name not in LETTERS:
        raise ValueError(f"patients are called A to {LETTERS[-1]}; there is no {letter!r}.")
    seed = whole("seed", seed)
    if seed < 0:
        raise ValueError(f"seed is an integer from 0; got {seed}.")
    made = _own(pristine(illness(name, seed), seed, ill=True))
    return replace(made, letter=name, seed=seed, complaint=_complaint(name, seed))


@clear_errors
def healthy_twin(case: Case) -> Case:
    """Make the same network and pictures as a patient's, without what is wrong with it.

    It does for comparison, once you know; before, the patient alone should tell.

    Args:
        case: From `open_case`.
    """
    if not isinstance(case, Case):
        raise TypeError(f"this asks for a patient, from open_case; got a {type(case).__name__}.")
    made = _own(pristine(illness(case.letter, case.seed), case.seed, ill=False))
    said = "The same network and pictures, with nothing wrong."
    return replace(made, letter=f"{case.letter}'s twin", seed=case.seed, complaint=said)


def illness(letter: str, seed: int) -> str:
    """Name what is wrong with a patient."""
    lot, named, left = random.Random(f"letters {seed}"), [], []
    for letters, group in GROUPS.items():
        order = lot.sample(group, len(group)) if seed else list(group)
        named += order[: len(letters)]
        left += order[len(letters) :]
    return [*named, *lot.sample(left, len(left))][LETTERS.index(letter)]


def is_patient(case: Case) -> bool:
    """Whether it is from `open_case`, and no twin."""
    return case.letter in LETTERS and len(case.letter) == 1


@cache
def pristine(name: str, seed: int, *, ill: bool) -> Case:
    """Make a patient or its twin, once; `open_case` hands out copies."""
    if name in TRAINED:
        made = TRAINED[name](seed, ill=ill)
    else:
        made = SHIPPED[name](random.Random(f"{name} {seed}"), ill=ill)
    return replace(made, _known={})


def _own(case: Case) -> Case:
    """The same with a network of its own, hooks included, and its own pictures."""
    tensors = {name: getattr(case, name).clone() for name in ("photos", "inputs", "labels")}
    model = copy.deepcopy(case.model)
    return replace(case, model=model, start=dict(case.start), _known=None, **tensors)


@cache
def _complaint(letter: str, seed: int) -> str:
    name = illness(letter, seed)
    return fill(texts("clinic")[name]["complaint"], _measured(name, pristine(name, seed, ill=True)))


def _measured(name: str, case: Case) -> dict[str, Any]:
    """What an owner knows of the own network: numbers for the complaint."""
    known: dict[str, Any] = {
        "right": _percent(agreement(case.answers(), case.labels)),
        "count": len(case.labels),
        "guessing": f"{math.log(len(case.classes)):.2f}",
        "classes": ", ".join(case.classes[:-1]) + " and " + case.classes[-1],
    }
    if case.history is not None:
        known["first_loss"] = _loss_text(curve_end("loss", 0)(case))
        known["last_loss"] = _loss_text(curve_end("loss")(case))
        for part in ("training", "validation"):
            known[part] = _percent(curve_end(f"accuracy, {part}")(case))
    else:
        known["known"] = f"{100 * _on_the_card(name, case):.1f} %"
    return known


def _on_the_card(name: str, case: Case) -> float:
    """The accuracy of a shipped network, on new pictures of the kind that it learned from."""
    info: Any = case.model.info
    twin, kind = ("shortcut", "own") if name == "background shortcut" else ("fair", "fair")
    card = json.loads((WEIGHTS / "model_card.json").read_text(encoding="utf-8"))
    return float(card["networks"][f"{info.name}-{twin}"]["results"][kind]["accuracy"])


def _loss_text(loss: float) -> str:
    """A loss with two decimals, as long as they say something."""
    return f"{loss:,.0f}" if loss > 100 else f"{loss:.2f}"


def _percent(share: float) -> str:
    """0.9 as 90 %."""
    return f"{100 * share:.0f} %"
