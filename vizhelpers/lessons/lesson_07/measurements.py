"""What the tools of the clinic measure, as numbers: by layer, by picture, by class.

The model runs as it came, in its own mode and with its own hooks, and is left like that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.lessons.lesson_07.case import Case, once

FEW = 16  # pictures that are enough for a layer's outputs
BATCH = 24  # pictures that are enough for its gradient
WEIGHTED = (nn.Conv2d, nn.Linear)
SHOWN = (*WEIGHTED, nn.ReLU, nn.Sigmoid, nn.Softmax)


class Activity(NamedTuple):
    """What a layer gives out: mean absolute value, and the share of units that stay silent.

    The share is NaN for layers that are no ReLUs: there, to be below zero is nothing special.
    """

    size: float
    silent: float


@once
def activity(case: Case) -> dict[str, Activity]:
    """Measure what each layer gives out, over some pictures.

    A unit is a channel or a number of a fully connected layer. It is silent if it is not above
    zero at any place of any of the pictures.
    """
    names = vh.list_layers(case.model, SHOWN)
    with vh.preserve_state(case.model), torch.no_grad():
        found = vh.capture(case.model, case.inputs[:FEW], names)
    rectified = set(vh.list_layers(case.model, nn.ReLU))
    return {
        name: Activity(
            found[name][-1].abs().mean().item(),
            _silent(found[name][-1]) if name in rectified else math.nan,
        )
        for name in names
        if name in found
    }


def _silent(values: Tensor) -> float:
    highest = values.transpose(0, 1).flatten(1).amax(dim=1)
    return (highest <= 0).double().mean().item()


def silent_shares(case: Case) -> dict[str, float]:
    """Measure the share of silent units of each ReLU."""
    found = activity(case).items()
    return {name: each.silent for name, each in found if not math.isnan(each.silent)}


def dead_layers(case: Case) -> int:
    """Count the ReLUs all of whose units are silent."""
    return sum(share == 1 for share in silent_shares(case).values())


@once
def gradient_sizes(case: Case) -> dict[str, float]:
    """Measure the loss's gradient at the weights of each layer: its mean absolute value.

    It is NaN where there is no gradient at all, not even one of zeros.
    """
    weights = {
        name: vh.get_layer(case.model, name).get_parameter("weight")
        for name in vh.list_layers(case.model, WEIGHTED)
    }
    asked = {name: weight for name, weight in weights.items() if weight.requires_grad}
    with vh.preserve_state(case.model), torch.enable_grad():
        loss = case.loss(case.model(case.inputs[:BATCH]), case.labels[:BATCH])
        found = torch.autograd.grad(loss, list(asked.values()), allow_unused=True)
    sizes = {
        name: gradient.abs().mean().item()
        for name, gradient in zip(asked, found, strict=True)
        if gradient is not None
    }
    return {name: sizes.get(name, math.nan) for name in weights}


def cut_off(case: Case) -> int:
    """Count the layers that may learn, and get no gradient at all."""
    return sum(
        math.isnan(size) and vh.get_layer(case.model, name).get_parameter("weight").requires_grad
        for name, size in gradient_sizes(case).items()
    )


def trainable(case: Case) -> float:
    """Measure the share of the parameters that may learn."""
    every = list(case.model.parameters())
    return sum(p.numel() for p in every if p.requires_grad) / sum(p.numel() for p in every)


def moved(case: Case) -> dict[str, float]:
    """Measure how far each layer is from its start, as a share of the size that it had there.

    Of BatchNorm it is the running mean that counts, of all others the weight. Infinite where the
    start holds nothing of that name.
    """
    kinds = {"weight": WEIGHTED, "running_mean": (nn.BatchNorm2d,)}
    held = {name: key for key, kind in kinds.items() for name in vh.list_layers(case.model, kind)}
    return {
        name: _distance(case, f"{name}.{held[name]}")
        for name in vh.list_layers(case.model)
        if name in held
    }


def _distance(case: Case, key: str) -> float:
    if key not in case.start:
        return math.inf
    now, then = case.model.state_dict()[key].double(), case.start[key].double()
    return ((now - then).norm() / then.norm()).item()


def spread(case: Case) -> dict[str, float]:
    """Measure the standard deviation of each layer's weights."""
    return {
        name: vh.get_layer(case.model, name).get_parameter("weight").std().item()
        for name in vh.list_layers(case.model, WEIGHTED)
    }


def layer_kinds(case: Case, kind: type[nn.Module]) -> int:
    """Count the layers of a kind."""
    return len(vh.list_layers(case.model, kind))


def stretched_by_pool(case: Case) -> float:
    """Measure how much wider a map gets in the adaptive pool: 1 where it stays as it is."""
    pools = vh.list_layers(case.model, nn.AdaptiveAvgPool2d)
    if not pools:
        return 1.0
    with vh.preserve_state(case.model), torch.no_grad():
        found = vh.capture(case.model, case.inputs[:1], pools, with_inputs=True)
    return found[pools[0]][0].shape[-1] / found.inputs[pools[0]][0].shape[-1]


def colour_order(case: Case) -> float:
    """Compare colours over the pictures: 1 if red goes in as red, -1 if it goes in as blue."""
    photos, inputs = (_red_less_blue(each) for each in (case.photos, case.inputs))
    return torch.corrcoef(torch.stack([photos, inputs]))[0, 1].item()


def _red_less_blue(pictures: Tensor) -> Tensor:
    red, _, blue = pictures.double().mean(dim=(2, 3)).unbind(dim=1)
    return red - blue


def confusion(case: Case) -> Tensor:
    """Count how often each class (row) was called each class (column)."""
    count = len(case.classes)
    pairs = case.labels * count + case.answers()
    return torch.bincount(pairs, minlength=count**2).view(count, count)


def exchanged(case: Case) -> float:
    """Measure the share of two classes that is called by the other's name, for the worst pair."""
    table = confusion(case).double()
    shares = table / table.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.minimum(shares, shares.T).fill_diagonal_(0).max().item()


def follows_background(case: Case) -> float:
    """Measure how often the answer is the class whose own background it is; NaN for places."""
    if case.history is not None:
        return math.nan
    return agreement(case.answers(), case._truth.backgrounds)


def heat_on_object(case: Case) -> float:
    """Measure the share of Grad-CAM's heat that lies on the object; NaN where there is none."""
    try:
        maps = class_heat(case)
    except ValueError:  # no map leads to the answer
        return math.nan
    size = case._truth.masks.shape[1:]
    maps = nn.functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0]
    return vh.attribution.score_maps(maps, case._truth.masks[:FEW]).energy.mean().item()


def class_heat(case: Case, target: int | None = None, count: int = FEW) -> Tensor:
    """Make Grad-CAM maps of the first pictures, [count, h, w].

    Raises:
        ValueError: There is no layer whose maps lead to the answer.
    """
    with warnings.catch_warnings():  # PyTorch's, of a hook that sees no gradient of the input
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        return vh.class_maps(case.model, case.inputs[:count], target).maps


def likely_classes(case: Case, picture: int) -> list[int]:
    """Find the answer to a picture, and up to three classes that come next."""
    with vh.preserve_state(case.model), torch.no_grad():
        scores = case.model(case.inputs[picture : picture + 1])[0]
    places: list[int] = scores.topk(min(4, len(scores))).indices.tolist()
    return places


def class_gradients(case: Case, picture: int) -> Tensor:
    """Make the gradients of the scores of a picture's likely classes, [classes, 3, h, w].

    Raises:
        ValueError: The scores do not depend on the picture.
    """
    image = case.inputs[picture : picture + 1]
    found = [vh.saliency_maps(case.model, image, c).signed for c in likely_classes(case, picture)]
    return torch.cat(found)


def least_alike(gradients: Tensor) -> float:
    """Correlate the first class's gradient with each other's: the smallest, 1 if all are alike."""
    table = torch.corrcoef(gradients.flatten(1))
    return table[0].min().item()


def same_for_all_classes(case: Case) -> float:
    """Measure how alike the gradients of several classes are: 1 if the same, in a few pictures.

    It is 0 if in one of them a class has nothing in common with the answer, or is opposite to it.
    """
    try:
        found = [class_gradients(case, picture) for picture in range(2)]
    except ValueError:  # no gradient at all
        return math.nan
    return max(0.0, min(map(least_alike, found)))


def in_company(case: Case, picture: int = 0) -> dict[str, Tensor]:
    """Ask for one picture alone, in two companies, and alone once more: {how: probabilities}."""
    first, others = case.inputs[picture : picture + 1], case.inputs[picture + 1 :]
    batches = {
        "alone": first,
        "with 3 others": torch.cat([first, others[:3]]),
        "with 8 others": torch.cat([first, others[3:11]]),
        "alone, once more": first,
    }
    with vh.preserve_state(case.model), torch.no_grad():
        scores = {how: case.model(batch)[0] for how, batch in batches.items()}
    return {how: each.softmax(dim=0) for how, each in scores.items()}


def moved_by_company(case: Case) -> float:
    """Measure how far the probability of an answer moves with the company, at most of a few."""
    return max(_range(list(in_company(case, picture).values())) for picture in range(3))


def _range(answers: list[Tensor]) -> float:
    chances = torch.stack(answers)[:, int(answers[0].argmax())]
    return (chances.max() - chances.min()).item()


def curve_end(name: str, which: int = -1) -> Callable[[Case], float]:
    """Make a function that reads the end of a curve, or its beginning; of a loss, a mean of 5."""

    def read(case: Case) -> float:
        if case.history is None:
            return math.nan
        values = case.history[name][1]
        last = values[-5:] if name == "loss" and which == -1 else [values[which]]
        return sum(last) / len(last)

    return read


def agreement(given: Tensor, true: Tensor) -> float:
    """Measure the share of labels that are the right ones."""
    return (given == true).double().mean().item()
