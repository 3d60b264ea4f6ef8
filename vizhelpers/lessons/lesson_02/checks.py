"""Exercises and predictions of lesson 02, kernels."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    number,
    prediction,
    right,
    tensor,
    wrong,
)
from vizhelpers.exercises.trials import same

if TYPE_CHECKING:
    from torch import Tensor

KERNEL, CHANNEL = 10, 5  # the plane of VGG11's features.3 that is asked for
RESPONDS = 20  # the kernel of VGG11's features.8 whose part is asked for
WHEELS = 3  # the kernel of VGG11's features.8 that a picture is drawn for
EYES_WANTED = 16  # of the 20 cats


@prediction("02.p1")
def on_a_wall(found: float) -> str:
    """What the kernel (−1, 0, 1) answers to an even, light wall."""
    if abs(found) < 0.001:
        return "b"
    return "a" if found > 0 else "c"


@prediction("02.p2")
def which_is_untrained(found: str) -> str:
    """The letter of the network that was not trained."""
    return found.lower()


@prediction("02.p3")
def without_the_weak(found: float) -> tuple[str, dict[str, object]]:
    """Right answers without the weakest kernels: hardly fewer, clearly fewer, or by chance."""
    letter = "a" if found > 0.95 else "b" if found > 0.3 else "c"
    return letter, {"right": f"{100 * found:.0f} %"}


@prediction("02.p4")
def one_class_with_depth(
    found: tuple[Sequence[float], Sequence[float]],
) -> tuple[str, dict[str, object]]:
    """Whether patches of one class grow with depth: for trained kernels, for untrained ones."""
    trained, untrained = found
    grow = [numbers[-1] > numbers[0] + 0.5 for numbers in (trained, untrained)]
    letter = "b" if grow == [True, False] else "a" if all(grow) else "c"
    return letter, {"trained": f"{trained[-1]:.1f}", "untrained": f"{untrained[-1]:.1f}"}


@prediction("02.p5")
def on_new_scenes(found: tuple[float, float]) -> tuple[str, dict[str, object]]:
    """Hits on the scenes that claims were chosen from, and on new ones."""
    old, new = found
    letter = "a" if new < old - 0.3 else "c" if new > old + 0.3 else "b"
    return letter, {"old": f"{old:.1f}", "new": f"{new:.1f}"}


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


@exercise("02.open")
def find_eyes(answer: object) -> Outcome:
    """Design a kernel whose strongest answer on a picture of a cat lies on its eye."""
    given = tensor(answer).float()
    kernel = given[0] if given.ndim == 4 and len(given) == 1 else given
    if kernel.shape != (3, 5, 5):
        return wrong("shape", found=list(given.shape))
    if not kernel.isfinite().all() or not kernel.any():
        return wrong("empty")
    hits, count, elsewhere = _strongest_parts(kernel)
    if hits >= EYES_WANTED:
        return right(hits=hits, count=count)
    even = kernel.sum().abs() > 0.2 * kernel.abs().sum()
    return wrong("even" if even else "other", hits=hits, count=count, elsewhere=elsewhere)


def _strongest_parts(kernel: "Tensor") -> tuple[int, int, str]:
    """On how many cats the strongest answer is on the eye; of how many; where else it is."""
    from torch.nn.functional import conv2d

    images, parts = _cats()
    answers = conv2d(images, kernel[None])[:, 0]
    parts = parts[:, 2:-2, 2:-2]  # the middle of each patch
    names = [
        vh.scenes.PARTS[int(part[answer == answer.max()][0])]
        for part, answer in zip(parts, answers, strict=True)
    ]
    others = [name for name in names if name != "eye"]
    most = max(sorted(set(others)), key=others.count, default="none")
    return names.count("eye"), len(names), "background" if most == "none" else most


@cache
def _cats() -> "tuple[Tensor, Tensor]":
    """Images and parts of all scenes with a cat."""
    scenes = vh.load_scenes()
    cats = scenes.labels == vh.CLASSES.index("cat")
    return scenes.images[cats], scenes.parts[cats]


@exercise("02.draw")
def draw(answer: object) -> Outcome:
    """Make a picture to which a kernel answers more strongly than to any scene."""
    given = tensor(answer).float()
    picture = given[0] if given.ndim == 4 and len(given) == 1 else given
    if picture.shape != (3, 128, 128):
        return wrong("shape", found=list(given.shape))
    if not picture.isfinite().all() or picture.min() < 0 or picture.max() > 1:
        return wrong("range", low=float(picture.min()), high=float(picture.max()))
    found, (record, name, best) = float(_answers(picture[None])[0]), _record()
    values = {"answer": found, "record": record, "scene": name}
    if found > record * 1.001:
        return right(**values)
    if same(picture, best):
        return wrong("scene", **values)
    return wrong("near" if found > 0.5 * record else "other", **values)


def _answers(pictures: "Tensor") -> "Tensor":
    """The strongest answer of the wheel kernel to each picture in [0, 1]."""
    import torch

    model, answers = vh.load_model("vgg11"), []
    for few in torch.split(vh.normalize(pictures), 10):  # quicker than all at once
        maps = vh.capture(model, few, "features.8", stop_early=True)
        answers.append(maps["features.8"][0][:, WHEELS].amax((1, 2)))
    return torch.cat(answers)


@cache
def _record() -> "tuple[float, str, Tensor]":
    """The strongest answer to any scene; that scene's name, and its picture."""
    scenes = vh.load_scenes()
    answers = _answers(scenes.images)
    best = int(answers.argmax())
    return float(answers.max()), scenes.names[best], scenes.images[best].clone()


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
