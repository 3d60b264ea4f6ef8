"""Patients that are trained here, within a second: a small network and what goes wrong with it.

Each function makes one patient or, with ``ill=False``, its healthy twin. The task is to say where
a photo was taken, or whether it stands on its head; with one seed it is the same for all, and so is
the healthy twin of most. Double precision, so that the curves come out the same on every machine.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers._utils.random_numbers import own_random_numbers
from vizhelpers.lessons.lesson_07.case import Case, History, Truth
from vizhelpers.lessons.lesson_07.measurements import dead_layers
from vizhelpers.lessons.lesson_07.shipped import album
from vizhelpers.scenes import BACKGROUNDS

SIDE, TRAINING, STEPS, BATCH, RATE = 16, 56, 60, 16, 3e-3
WITH_HORIZON = ("sea", "road", "meadow", "desert", "snow")
WIDTHS = (3, 8, 12, 16, 16, 16)
POOLED = (1, 2, 4)  # after which convolutions the map gets half as large

Change = Callable[[Tensor, torch.Generator], Tensor]


class Task(NamedTuple):
    """Pictures to learn from, and to be judged by: the first `TRAINING` of them, and the others."""

    photos: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    truth: Truth

    @property
    def inputs(self) -> Tensor:
        """The pictures as a network gets them."""
        return _small(self.photos)


class Branches(nn.Module):
    """A network of two branches, one for the colours and one for the shapes, and a head.

    Args:
        shapes: The convolutions, with linear layers at their end, eight numbers in all.
        tied: How the two are joined.
    """

    def __init__(self, shapes: nn.Module, *, tied: bool) -> None:
        super().__init__()
        self.colours = nn.Linear(3, 2)
        self.shapes = shapes
        self.head = nn.Linear(2 + 8, 4)
        self.tied = tied

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores ``[N, 4]``."""
        shapes = self.shapes(pictures)
        colours = self.colours(pictures.mean(dim=(2, 3))).relu()
        return self.head(torch.cat([colours, shapes if self.tied else shapes.data], dim=1))


def bgr(seed: int, *, ill: bool) -> Case:
    """Make a network that learned from red, green and blue, and is given blue, green and red."""
    case = _healthy(seed)
    return replace(case, inputs=_small(case.photos.flip(1))) if ill else case


def dead_relus(seed: int, *, ill: bool) -> Case:
    """Make a network that learned with far too large steps."""
    if not ill:
        return _healthy(seed)
    rates = (0.1, 0.2, 0.3, 0.05)  # how many units die of one rate is a matter of luck
    tries = (_trained(_network(seed), _places(seed), rate=rate) for rate in rates)
    return next(case for case in tries if dead_layers(case))


def vanishing_gradients(seed: int, *, ill: bool) -> Case:
    """Make a deep network of sigmoids."""
    return _trained(_network(seed, nn.Sigmoid), _places(seed)) if ill else _healthy(seed)


def exploding_gradients(seed: int, *, ill: bool) -> Case:
    """Make a network whose weights begin too large; its owner stopped the training soon."""
    scale = 3.0 + seed % 2 if ill else 1.0
    return _trained(_network(seed, scale=scale), _places(seed), steps=12)


def frozen_layer(seed: int, *, ill: bool) -> Case:
    """Make a network all of whose layers but the last are frozen, as if they had learned before."""
    if not ill:
        return _healthy(seed)
    model = _network(seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc2."))
    return _trained(model, _places(seed))


def softmax_twice(seed: int, *, ill: bool) -> Case:
    """Make a network that ends in a softmax, for a loss that takes one itself."""
    if not ill:
        return _healthy(seed)
    model = _network(seed)
    model.add_module("last", nn.Softmax(dim=1))
    return _trained(model, _places(seed))


def labels_shuffled(seed: int, *, ill: bool) -> Case:
    """Make a network whose pictures were put into another order than their labels."""
    if not ill:
        return _healthy(seed)
    task = _places(seed)
    order = torch.tensor(random.Random(seed).sample(range(len(task.labels)), len(task.labels)))
    return _trained(_network(seed), task._replace(labels=task.labels[order]))


def detached_branch(seed: int, *, ill: bool) -> Case:
    """Make a network of two branches, one of which is cut off from the gradient."""
    shapes = _network(seed, outputs=8)
    with own_random_numbers(seed):
        model = Branches(shapes, tied=not ill).double()
    return _trained(model, _places(seed), steps=100)


def harmful_augmentation(seed: int, *, ill: bool) -> Case:
    """Make a network that tells pictures on their heads, from pictures that are turned by lot."""
    turn = _turned if ill else None
    case = _trained(_network(seed, outputs=2), _heads(seed), change=turn)
    if not ill:
        return case
    lot = torch.Generator().manual_seed(seed)
    turned = _turned(case.inputs, lot)
    same = (turned == case.inputs).flatten(1).all(dim=1)
    seen = case._truth.photos.where(same, 1 - case._truth.photos)
    return replace(case, inputs=turned, _truth=case._truth._replace(inputs=seen))


def _turned(batch: Tensor, lot: torch.Generator) -> Tensor:
    """Each picture, turned upside down with probability one half."""
    heads = torch.rand(len(batch), generator=lot) < 0.5
    return batch.flip(2).where(heads[:, None, None, None], batch)


def _small(photos: Tensor) -> Tensor:
    return vh.normalize(F.interpolate(photos, SIDE, mode="area")).double()


@cache
def _healthy_once(seed: int) -> Case:
    return _trained(_network(seed), _places(seed))


def _healthy(seed: int) -> Case:
    """The network to which nothing was done: the twin of several patients."""
    case = _healthy_once(seed)
    return replace(case, model=copy.deepcopy(case.model))


def _network(
    seed: int, activation: type[nn.Module] = nn.ReLU, *, scale: float = 1.0, outputs: int = 4
) -> nn.Sequential:
    """Five convolutions and two linear layers, with weights of He (2015) times a scale."""
    with own_random_numbers(seed):
        model = _layers(activation, outputs)
        for name, layer in model.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                if activation is nn.ReLU and name != "fc2":
                    nn.init.kaiming_normal_(layer.weight)
                layer.weight.data.mul_(scale)
                layer.get_parameter("bias").data.zero_()
    return model.double()


def _layers(activation: type[nn.Module], outputs: int) -> nn.Sequential:
    model = nn.Sequential()
    for number, (width, wider) in enumerate(itertools.pairwise(WIDTHS), start=1):
        model.add_module(f"conv{number}", nn.Conv2d(width, wider, 3, padding=1))
        model.add_module(f"act{number}", activation())
        if number in POOLED:
            model.add_module(f"pool{number}", nn.MaxPool2d(2))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc1", nn.Linear(WIDTHS[-1] * (SIDE // 2 ** len(POOLED)) ** 2, 16))
    model.add_module("act6", activation())
    model.add_module("fc2", nn.Linear(16, outputs))
    return model


def _places(seed: int) -> Task:
    """Photos from four places; the labels say where."""
    scenes, lot = album(), random.Random(seed)
    places = lot.sample(range(len(BACKGROUNDS)), 4)
    chosen = [n for n, place in enumerate(scenes.backgrounds.tolist()) if place in places]
    lot.shuffle(chosen)
    labels = torch.tensor([places.index(int(scenes.backgrounds[n])) for n in chosen])
    return _task(chosen, labels, tuple(BACKGROUNDS[place] for place in places))


def _heads(seed: int) -> Task:
    """Photos with a horizon, every other one upside down; the labels say which."""
    scenes, lot = album(), random.Random(seed)
    places = [BACKGROUNDS.index(name) for name in WITH_HORIZON]
    chosen = [n for n, place in enumerate(scenes.backgrounds.tolist()) if place in places]
    chosen = lot.sample(chosen, 80)
    labels = torch.arange(len(chosen)) % 2
    task = _task(chosen, labels, ("upright", "on its head"))
    down = labels[:, None, None, None] == 1
    masks = task.truth.masks.flip(1).where(down[:, 0], task.truth.masks)
    photos = task.photos.flip(2).where(down, task.photos)
    return task._replace(photos=photos, truth=task.truth._replace(masks=masks))


def _task(chosen: Sequence[int], labels: Tensor, classes: tuple[str, ...]) -> Task:
    scenes, places = album(), torch.tensor(chosen)
    truth = Truth(labels, labels, scenes.backgrounds[places], scenes.masks[places])
    return Task(scenes.images[places], labels, classes, truth)


def _trained(
    model: nn.Module,
    task: Task,
    *,
    rate: float = RATE,
    steps: int = STEPS,
    change: Change | None = None,
) -> Case:
    """Train a network, and make a patient of it: with its pictures and its curves."""
    start = copy.deepcopy(model.state_dict())
    inputs = task.inputs
    history = train(model, inputs, task.labels, rate=rate, steps=steps, change=change)
    return Case(
        model.eval(),
        task.photos[:TRAINING],
        inputs[:TRAINING],
        task.labels[:TRAINING],
        task.classes,
        start,
        Truth(*(part[:TRAINING] for part in task.truth)),
        history,
    )


def train(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rate: float = RATE,
    steps: int = STEPS,
    change: Change | None = None,
) -> History:
    """Train a network with Adam, as the owners of the patients do, and keep its curves.

    Args:
        model: The network; it is changed.
        inputs: What it gets; it learns from the first 56, the others are for validation.
        labels: What they are.
        rate: The learning rate.
        steps: How many batches of 16 pictures, drawn by lot.
        change: What is done to each batch before.

    Returns:
        The curves: ``"loss"`` at every step, ``"accuracy, training"`` and, where pictures are left
        for it, ``"accuracy, validation"`` at every tenth.
    """
    lot = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    losses: tuple[list[int], list[float]] = ([], [])
    parts = {"training": slice(TRAINING), "validation": slice(TRAINING, None)}
    parts = {name: part for name, part in parts.items() if len(labels[part])}
    shares: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in parts}
    for step in range(steps):
        chosen = torch.randint(TRAINING, (BATCH,), generator=lot)
        batch = inputs[chosen] if change is None else change(inputs[chosen], lot)
        loss = F.cross_entropy(model(batch), labels[chosen])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses[0].append(step)
        losses[1].append(loss.item())
        if step % 10 and step < steps - 1:
            continue
        for name, part in parts.items():
            with torch.no_grad():
                right = model(inputs[part]).argmax(dim=1) == labels[part]
            shares[name][0].append(step)
            shares[name][1].append(right.double().mean().item())
    optimizer.zero_grad()
    accuracies = {f"accuracy, {name}": curve for name, curve in shares.items()}
    return {"loss": losses, **accuracies}
