"""What tells one illness from health: numbers that a patient has and its healthy twin has not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from vizhelpers.lessons.lesson_07 import measurements as measure
from vizhelpers.lessons.lesson_07.case import Case

NEARLY_ALL = 0.9  # of its own pictures: then a loss that stays high has another reason

Found = float | dict[str, float]


@dataclass(frozen=True)
class Number:
    """A number that the picture of a tool shows; its words are in the catalogue.

    Attributes:
        tool: The name of the tool.
        measure: Measures it: one number, or one for each layer.
        apart: By how much two networks must differ in it, before the eye sees that.
        ratio: Whether `apart` is a factor, for numbers of very different sizes.
        by_layer: Whether there is one for each layer; then a layer is to be named.
    """

    tool: str
    measure: Callable[[Case], Found]
    apart: float = 0.2
    ratio: bool = False
    by_layer: bool = False

    def differs(self, one: float, other: float) -> bool:
        """Whether two values are clearly apart."""
        if math.isnan(one) or math.isnan(other) or one == other:
            return False
        if not self.ratio:
            return abs(one - other) > self.apart
        small, large = sorted((one, other))
        return large > self.apart * small


def at(found: Found, where: str | None) -> float:
    """Choose the number of a layer, or of the first layer inside it; NaN where there is none."""
    if isinstance(found, float | int):
        return found
    inside = [name for name in found if name == where or name.startswith(f"{where}.")]
    return found[inside[0]] if inside else math.nan


def _input_mean(case: Case) -> float:
    return case.inputs.mean().item()


def _input_spread(case: Case) -> float:
    return case.inputs.std().item()


def _first_against_last(case: Case) -> float:
    first, *_, last = measure.gradient_sizes(case).values()
    return first / last if first and last else math.nan


def _largest_gradient(case: Case) -> float:
    return max(_gradients(case).values())


def _gradients(case: Case) -> dict[str, float]:
    sizes = measure.gradient_sizes(case).items()
    return {name: 0.0 if math.isnan(size) else size for name, size in sizes}


def _largest_output(case: Case) -> float:
    return max(each.size for each in measure.activity(case).values())


def _largest_score(case: Case) -> float:
    return case.scores().abs().max().item()


def _mean_spread(case: Case) -> float:
    found = list(measure.spread(case).values())
    return sum(found) / len(found)


def _floor(case: Case) -> float:
    if case.history is None or measure.curve_end("accuracy, training")(case) < NEARLY_ALL:
        return math.nan
    return min(case.history["loss"][1])


def _missing(case: Case) -> int:
    return sum(math.isinf(share) for share in measure.moved(case).values())


def _right(case: Case) -> float:
    return measure.agreement(case.labels, case.answers())


NUMBERS = {
    "trainable": Number("summary", measure.trainable),
    "stretched": Number("summary", measure.stretched_by_pool, 0.5),
    "softmaxes": Number("summary", lambda c: measure.layer_kinds(c, nn.Softmax), 0.5),
    "sigmoids": Number("summary", lambda c: measure.layer_kinds(c, nn.Sigmoid), 0.5),
    "mean": Number("inputs", _input_mean, 0.4),
    "spread": Number("inputs", _input_spread, 0.4),
    "side": Number("inputs", lambda c: float(c.inputs.shape[-1]), 8),
    "colours": Number("inputs", measure.colour_order, 1),
    "photo_labels": Number("inputs", lambda c: measure.agreement(c.labels, c._truth.photos)),
    "kept": Number("inputs", lambda c: measure.agreement(c._truth.photos, c._truth.inputs)),
    "weights": Number("weights", measure.spread, 1.4, ratio=True, by_layer=True),
    "all_weights": Number("weights", _mean_spread, 2, ratio=True),
    "map_silent": Number("feature_maps", measure.silent_shares, 0.4, by_layer=True),
    "silent": Number("activations", measure.silent_shares, 0.4, by_layer=True),
    "size": Number("activations", _largest_output, 30, ratio=True),
    "dead": Number("activations", measure.dead_layers, 0.5),
    "score": Number("activations", _largest_score, 2, ratio=True),
    "gradient": Number("gradients", _gradients, 20, ratio=True, by_layer=True),
    "cut_off": Number("gradients", measure.cut_off, 0.5),
    "shrinks": Number("gradients", _first_against_last, 8, ratio=True),
    "largest": Number("gradients", _largest_gradient, 3),
    "heat": Number("cam", measure.heat_on_object, 0.12),
    "same": Number("saliency", measure.same_for_all_classes, 0.85),
    "first_loss": Number("curves", measure.curve_end("loss", 0), 20, ratio=True),
    "last_loss": Number("curves", measure.curve_end("loss"), 0.3),
    "learned": Number("curves", measure.curve_end("accuracy, training"), 0.1),
    "floor": Number("curves", _floor, 0.3),
    "exchanged": Number("mistakes", measure.exchanged, 0.4),
    "background": Number("mistakes", measure.follows_background),
    "right": Number("mistakes", _right, 0.1),
    "moved": Number("moved", measure.moved, 10, ratio=True, by_layer=True),
    "missing": Number("moved", _missing, 0.5),
    "company": Number("again", measure.moved_by_company, 0.1),
}

MORE, LESS = 1, -1

# What shows each illness, and whether the patient has more or less of it than a healthy network.
# The first number of each is what should convince.
SHOWN_BY = {
    "bgr": {"colours": LESS},
    "not normalised": {"spread": LESS},
    "normalised twice": {"spread": MORE, "mean": LESS},
    "size hidden by a pool": {"stretched": MORE, "side": LESS},
    "weights not loaded": {"missing": MORE, "moved": MORE},
    "train mode": {"company": MORE, "moved": MORE},
    "swapped labels": {"exchanged": MORE},
    "background shortcut": {"background": MORE, "heat": LESS},
    "leaked hook": {"same": MORE},
    "labels shuffled": {"photo_labels": LESS},
    "harmful augmentation": {"kept": LESS},
    "frozen layer": {"trainable": LESS, "moved": LESS, "gradient": LESS},
    "detached branch": {"cut_off": MORE, "gradient": LESS, "moved": LESS},
    "dead relus": {"dead": MORE, "silent": MORE, "map_silent": MORE},
    "vanishing gradients": {"shrinks": LESS},
    "exploding gradients": {"largest": MORE, "size": MORE, "first_loss": MORE, "all_weights": MORE},
    "softmax twice": {"softmaxes": MORE, "score": LESS, "floor": MORE},
}
