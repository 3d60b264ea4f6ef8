"""Patients around the course's trained networks: pictures prepared wrongly, a network misused.

Each function makes one patient or, with ``ill=False``, its healthy twin: everything is the same
but for the fault. ``dice`` decides which network, pictures, layer or classes it is.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import vizhelpers as vh
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD
from vizhelpers.lessons.lesson_07.case import Case, Truth
from vizhelpers.scenes import SceneBatch

COUNT = 40  # pictures of a patient, four of each class
SMALL = {"alexnet": 64, "vgg11": 32}  # pixels of a thumbnail: the last map is one pixel


@cache
def album() -> SceneBatch:
    """All shipped scenes, read once."""
    return vh.load_scenes()


def not_normalised(dice: random.Random, *, ill: bool) -> Case:
    """Make a network that is given pictures from 0 to 1."""
    case = _healthy(dice, ("alexnet", "vgg11", "resnet18"))
    return replace(case, inputs=case.photos) if ill else case


def normalised_twice(dice: random.Random, *, ill: bool) -> Case:
    """Make a network whose pictures are normalised by the data set, and once more by the loop."""
    case = _healthy(dice, ("vgg11", "resnet18"))
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    return replace(case, inputs=(case.inputs - mean) / std) if ill else case


def size_hidden_by_a_pool(dice: random.Random, *, ill: bool) -> Case:
    """Make a network for large pictures that is given thumbnails, and does not complain."""
    case = _healthy(dice, ("alexnet", "vgg11"))
    if not ill:
        return case
    small = F.interpolate(case.photos, SMALL[_architecture(case)], mode="area")
    return replace(case, inputs=vh.normalize(small))


def weights_not_loaded(dice: random.Random, *, ill: bool) -> Case:
    """Make a network one of whose layers has another name in the file; strict=False hides that."""
    case = _healthy(dice, ("alexnet", "vgg11"))
    name = dice.choice(vh.list_layers(case.model, nn.Conv2d)[2:])
    if not ill:
        return case
    renamed = {_other_name(key, name): value for key, value in case.start.items()}
    model = vh.load_model(_architecture(case), weights=None, seed=dice.randrange(100))
    model.load_state_dict(renamed, strict=False)
    _hide(model)
    return replace(case, model=model, start=renamed)


def train_mode(dice: random.Random, *, ill: bool) -> Case:
    """Make a network that has BatchNorm and was left in training mode."""
    case = _healthy(dice, ("resnet18",))
    if ill:
        case.model.train()
        with torch.no_grad():
            for one in case.inputs:  # the owner has tried it on all of these
                case.model(one[None])
    return case


def swapped_labels(dice: random.Random, *, ill: bool) -> Case:
    """Make a network whose owner keeps the names of the classes in another order."""
    case = _healthy(dice, ("alexnet", "vgg11", "resnet18"))
    one, other = dice.sample(range(len(vh.CLASSES)), 2)
    if not ill:
        return case
    order = list(range(len(vh.CLASSES)))
    order[one], order[other] = other, one
    places = torch.tensor(order)
    return replace(
        case,
        classes=tuple(vh.CLASSES[place] for place in order),
        labels=places[case.labels],
        _truth=case._truth._replace(
            photos=places[case._truth.photos], inputs=places[case._truth.inputs]
        ),
    )


def background_shortcut(dice: random.Random, *, ill: bool) -> Case:
    """Make a network that saw each object before one background only."""
    return _healthy(dice, ("alexnet", "vgg11", "resnet18"), "shortcut" if ill else "fair")


def leaked_hook(dice: random.Random, *, ill: bool) -> Case:
    """Make a network on which hooks of guided backpropagation were left."""
    case = _healthy(dice, ("alexnet", "vgg11"))
    for layer in case.model.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # as every way of guided backpropagation with hooks must
            if ill:
                layer.register_full_backward_hook(_positive)
    return case


def _positive(module: nn.Module, gradients: Any, outputs: Any) -> tuple[Any, ...]:
    return tuple(g if g is None else g.clamp(min=0) for g in gradients)


def _healthy(dice: random.Random, names: tuple[str, ...], twin: str = "fair") -> Case:
    """A trained network, and pictures of every class on chosen backgrounds."""
    model = vh.load_model(dice.choice(names), twin=twin)
    _hide(model)
    scenes, first = album(), dice.randrange(10)
    # Rows of ten hold each class once; the first and the eleventh are on their own backgrounds.
    rows = [1 + (first + step) % 9 + 10 * (step % 2) for step in range(COUNT // 10)]
    chosen = torch.tensor([10 * row + place for row in rows for place in range(10)])
    chosen = chosen[dice.sample(range(COUNT), COUNT)]
    photos, labels = scenes.images[chosen], scenes.labels[chosen]
    start = {name: value.clone() for name, value in model.state_dict().items()}
    truth = Truth(labels, labels, scenes.backgrounds[chosen], scenes.masks[chosen])
    return Case(model, photos, vh.normalize(photos), labels, vh.CLASSES, start, truth)


def _hide(model: Any) -> None:
    """Take from a network what it tells about where its weights are from."""
    model.info = replace(model.info, weights="not told")


def _architecture(case: Case) -> str:
    info: Any = case.model.info
    return str(info.name)


def _other_name(key: str, layer: str) -> str:
    """What the file calls a tensor: of one layer, with a word that the network does not have."""
    return key.replace(layer, f"{layer}.wrapped", 1) if key.startswith(f"{layer}.") else key
