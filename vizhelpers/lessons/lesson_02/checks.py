"""Exercises of lesson 02, kernels."""

from functools import cache
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    number,
    right,
    tensor,
    wrong,
)
from vizhelpers.exercises.trials import same

if TYPE_CHECKING:
    from torch import Tensor

KERNEL, CHANNEL = 10, 5  # the plane of VGG11's features.3 that is asked for
RESPONDS = 20  # the kernel of VGG11's features.8 that the third exercise asks about


@exercise("02.plane")
def plane(answer: object) -> Outcome:
    """Hand in the plane with which a kernel of `features.3` in VGG11 reads one channel."""
    given, (weight, untrained) = tensor(answer), _weights("vgg11", "features.3")
    shapes = {weight[KERNEL].shape: "kernel", weight[:, CHANNEL].shape: "column"}
    if given.squeeze().shape != weight.shape[2:]:
        return wrong(shapes.get(given.shape, "shape"), found=list(given.shape))
    given, expected = given.squeeze(), weight[KERNEL, CHANNEL]
    mistakes = {
        "swapped": weight[CHANNEL, KERNEL],
        "from_one": weight[KERNEL - 1, CHANNEL - 1],
        "turned": expected.T,
        "flipped": expected.flip(0, 1),
        "untrained": untrained[KERNEL, CHANNEL],
    }
    if same(given, expected):
        return right(planes=weight.shape[0] * weight.shape[1])
    return wrong(next((key for key, tile in mistakes.items() if same(given, tile)), "other"))


@exercise("02.twins")
def twins(answer: Any) -> Outcome:
    """Which two kernels of ResNet18's `conv1` are most alike?"""
    given = answer.tolist() if hasattr(answer, "tolist") else answer
    if isinstance(given, int):  # `argmax` of a table: its row and column in one
        given = [given, given]
    weight, untrained = (each.flatten(1) for each in _weights("resnet18", "conv1"))
    numbers = expect(list(given) if isinstance(given, tuple | set) else given, "list", list)
    try:
        pair = frozenset(map(number, numbers))
    except WrongKindError:
        return wrong("numbers")
    if len(numbers) != 2 or not all(each.is_integer() for each in pair):
        return wrong("numbers")
    if not pair <= set(range(len(weight))):
        return wrong("range", kernels=len(weight), last=len(weight) - 1)
    if len(pair) == 1:
        return wrong("itself")
    cosine = _cosines(weight)
    mistakes: dict[Any, str] = {
        _largest(_cosines(untrained)): "untrained",
        _largest(weight @ weight.T): "product",
        _largest(-cosine): "opposite",
    }
    first, second = map(int, pair)
    value = cosine[first, second].item()
    if pair == _largest(cosine):
        return right(cosine=value)
    return wrong(mistakes.get(pair, "other"), cosine=value)


@exercise("02.part")
def part(answer: object) -> Outcome:
    """Which part of which object is on most of a kernel's strongest patches?"""
    given = expect(answer, "text", str).strip().lower()
    hits, count = _hits()
    best = max(hits, key=lambda name: hits[name])
    wanted_part, _, wanted_object = best.partition(" of a ")
    if given == best:
        return right(part=best, hits=hits[best], count=count)
    if given in (*vh.CLASSES, *vh.scenes.PARTS):
        return wrong("half")
    if given not in hits:
        return wrong("unknown")
    keys = {wanted_part: "object", wanted_object: "part"}
    found = (key for word, key in keys.items() if word in given.split())
    return wrong(next(found, "other"), hits=hits[given], count=count)


@cache
def _hits() -> tuple[dict[str, int], int]:
    """On how many of the kernel's strongest patches each part is; and how many there are."""
    from vizhelpers.lessons.lesson_02.part_shares import part_shares

    scenes, vgg11 = vh.load_scenes(), vh.load_model("vgg11")
    patches = vh.features.top_patches(vgg11, "features.8", vh.normalize(scenes.images))
    shares = part_shares(patches, scenes.parts, scenes.labels)
    hits = dict(zip(shares.names, shares.hits[RESPONDS].tolist(), strict=True))
    return hits, int(shares.counts[RESPONDS])


@cache
def _weights(name: str, layer: str) -> "tuple[Tensor, Tensor]":
    """A layer's kernels in the course's network, trained and untrained."""
    networks = vh.load_model(name), vh.load_model(name, weights=None)
    trained, untrained = (model.get_parameter(f"{layer}.weight").detach() for model in networks)
    return trained, untrained


def _cosines(weight: "Tensor") -> "Tensor":

    from torch.nn.functional import normalize

    rows = normalize(weight)
    return rows @ rows.T


def _largest(table: "Tensor") -> frozenset[int]:
    """The two different indices whose entry of a symmetric table is largest."""
    import torch

    others = table.masked_fill(torch.eye(len(table), dtype=torch.bool), -torch.inf)
    return frozenset(divmod(int(others.argmax()), len(table)))
