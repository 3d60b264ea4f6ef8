"""Exercises of lesson 02, kernels."""

from functools import cache
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    number,
    question,
    right,
    wrong,
)

if TYPE_CHECKING:
    from torch import Tensor

q1 = question("02.q1", right_choice="c")
q2 = question("02.q2", right_choice="a")
q3 = question("02.q3", right_choice="b")

KERNEL, CHANNEL = 10, 5  # the plane of VGG11's features.3 that is asked for
RESPONDS = 20  # the kernel of VGG11's features.8 that the third exercise asks about


@exercise("02.plane")
def plane(answer: object) -> Outcome:
    """Hand in the plane with which a kernel of `features.3` in VGG11 reads one channel."""
    import torch

    weight = _weight("vgg11", "features.3")
    try:  # an array or nested lists hold the same numbers
        given = torch.as_tensor(answer).detach()
    except (TypeError, ValueError, RuntimeError):
        raise WrongKindError("tensor") from None
    shapes = {weight[KERNEL].shape: "kernel", weight[:, CHANNEL].shape: "column"}
    if given.squeeze().shape != weight.shape[2:]:
        return wrong(shapes.get(given.shape, "shape"), found=list(given.shape))
    given, expected = given.squeeze(), weight[KERNEL, CHANNEL]
    mistakes = {
        "swapped": weight[CHANNEL, KERNEL],
        "from_one": weight[KERNEL - 1, CHANNEL - 1],
        "turned": expected.T,
        "flipped": expected.flip(0, 1),
        "untrained": _weight("vgg11", "features.3", weights=None)[KERNEL, CHANNEL],
    }
    if _same(given, expected):
        return right(planes=weight.shape[0] * weight.shape[1])
    return wrong(next((key for key, tile in mistakes.items() if _same(given, tile)), "other"))


@exercise("02.twins")
def twins(answer: object) -> Outcome:
    """Which two kernels of ResNet18's `conv1` are most alike?"""
    given, weight = _as_list(answer), _weight("resnet18", "conv1")
    try:
        numbers = [number(part) for part in given]
    except WrongKindError:
        return wrong("numbers")
    if len(numbers) != 2 or not all(part.is_integer() for part in numbers):
        return wrong("numbers")
    first, second = map(int, numbers)
    if not all(0 <= kernel < len(weight) for kernel in (first, second)):
        return wrong("range", kernels=len(weight), last=len(weight) - 1)
    if first == second:
        return wrong("itself")
    cosine = _cosines(weight)
    mistakes = {
        _largest(_cosines(_weight("resnet18", "conv1", weights=None))): "untrained",
        _largest(_products(weight)): "product",
        _largest(-cosine): "opposite",
    }
    pair, value = frozenset({first, second}), cosine[first, second].item()
    if pair == _largest(cosine):
        return right(cosine=value)
    return wrong(mistakes.get(pair, "other"), cosine=value)


@exercise("02.part")
def part(answer: object) -> Outcome:
    """Which part of which object is on most of a kernel's strongest patches?"""
    from vizhelpers.scenes import CLASSES, PARTS

    given = expect(answer, "text", str).strip().lower()
    hits, count = _hits()
    best = max(hits, key=lambda name: hits[name])
    wanted_part, _, wanted_object = best.partition(" of a ")
    if given == best:
        return right(part=best, hits=hits[best], count=count)
    if given in CLASSES or given in PARTS:
        return wrong("half")
    if given not in hits:
        return wrong("unknown", example=sorted(hits)[0])
    keys = {wanted_part: "object", wanted_object: "part"}
    found = (key for word, key in keys.items() if word in given.split())
    return wrong(next(found, "other"), hits=hits[given], count=count)


def _as_list(answer: Any) -> list[Any]:
    """The two numbers, or twice the one that `argmax` gives for row and column together."""
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    if isinstance(answer, int):
        return [answer, answer]
    return list(answer) if isinstance(answer, tuple | set) else expect(answer, "list", list)


@cache
def _hits() -> tuple[dict[str, int], int]:
    """On how many of the kernel's strongest patches each part is; and how many there are."""
    from vizhelpers.features.patches import top_patches
    from vizhelpers.images import normalize
    from vizhelpers.lessons.lesson_02.part_shares import part_shares
    from vizhelpers.scenes import load_scenes
    from vizhelpers.zoo.loading import load_model

    scenes = load_scenes()
    patches = top_patches(load_model("vgg11"), "features.8", normalize(scenes.images))
    shares = part_shares(patches, scenes.parts, scenes.labels)
    hits = dict(zip(shares.names, shares.hits[RESPONDS].tolist(), strict=True))
    return hits, int(shares.counts[RESPONDS])


def _weight(name: str, layer: str, **options: Any) -> "Tensor":
    """A layer's kernels, `[kernels, channels, height, width]`, in the course's own network."""
    from vizhelpers.layers import get_layer
    from vizhelpers.zoo.loading import load_model

    weight: Tensor = get_layer(load_model(name, **options), layer).weight.detach()  # type: ignore[operator]
    return weight


def _same(one: "Tensor", other: "Tensor") -> bool:
    import torch

    return torch.allclose(one.to("cpu", torch.float32), other, atol=1e-4)


def _products(weight: "Tensor") -> "Tensor":
    rows = weight.flatten(1)
    return rows @ rows.T


def _cosines(weight: "Tensor") -> "Tensor":
    from torch.nn.functional import normalize

    return _products(normalize(weight.flatten(1)))


def _largest(table: "Tensor") -> frozenset[int]:
    """The two different indices whose entry of a symmetric table is largest."""
    import torch

    others = table.masked_fill(torch.eye(len(table), dtype=torch.bool), -torch.inf)
    return frozenset(divmod(int(others.argmax()), len(table)))
