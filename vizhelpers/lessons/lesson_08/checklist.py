"""Before you believe a heatmap: six questions, each answered by a measurement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.attribution import deletion_insertion, randomize_from_top, rank_correlation
from vizhelpers.attribution.cam import ClassMaps
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD

SAME = 0.02  # how far colours may be from those of the picture, of 1
ALIKE = 0.7  # the rank correlation from which on two maps count as the same
MOSTLY = 0.8  # the share of other pictures that has to be right
OTHERS, DRAWS = 4, 2  # other classes that are asked about; times the last layer is drawn anew
RANDOM_MAPS, STEPS = 3, 4  # of deletion

Colours = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Line:
    """One line of the checklist.

    Attributes:
        question: What was asked.
        measured: The number that answers it, in a few words.
        passes: Whether it is as it should be; None where it was not measured.
    """

    question: str
    measured: str
    passes: bool | None


@dataclass(frozen=True, eq=False)
class Checked:
    """A class activation map, and what came of checking it.

    Attributes:
        picture: `[3, H, W]` in [0, 1], what you see.
        heat: `[h, w]`, the map.
        lines: One for each question.
    """

    picture: Tensor
    heat: Tensor
    lines: list[Line]


def before_you_believe(
    model: nn.Module,
    picture: Tensor,
    batch: Tensor,
    target: int,
    *,
    others: Tensor | None = None,
    trained_with: Colours | None = None,
    **options: Any,
) -> Checked:
    """Check a class activation map: six measurements, one for each reason not to believe it.

    Args:
        model: A classifier; it is left as it was.
        picture: `[3, H, W]` in [0, 1], what you see.
        batch: `[1, 3, h, w]`, what you give the network.
        target: The class that *you* see in the picture.
        others: `[N, 3, h, w]`, other pictures of that class, as you give them to the network.
        trained_with: Mean and standard deviation of each channel that were used in training; by
            default those of `model.info`, or else ImageNet's.
        options: Of the map, as for `vh.class_maps`: `method`, `layer`, `reshape`.

    Example:
        >>> scene = load_scenes()["cat_on_sky_0"]
        >>> cat = CLASSES.index("cat")
        >>> before_you_believe(model, scene.image, normalize(scene.image)[None], cat).lines[1]
        Line(question='Is my class its answer?', measured='number 1, 99%', passes=True)
    """
    target = int(target)

    def maps(inputs: Tensor, targets: Any) -> Tensor:
        return _map(vh.class_maps(model, inputs, targets, **options))

    with vh.preserve_state(model), torch.no_grad():
        model.eval()  # not chained: there are models whose eval() returns nothing
        own = vh.class_maps(model, batch, target, **options)
        if own.raw is not None:  # FullGrad has no layer
            options["layer"] = own.layer
        scores = model(batch)[0]
        classes = _other_classes(target, len(scores))
        asked = maps(batch.expand(len(classes), -1, -1, -1), classes)
        forgot = [maps(batch, target) for _ in _with_random_last_layer(model)]
        lines = [
            _sees(picture, batch, trained_with or _colours(model)),
            _top(scores, target),
            _moved("Does it move with the class?", _map(own), asked),
            _moved("Does it need what was learned?", _map(own), torch.cat(forgot)),
            _deletion(model, _map(own), batch, target),
            _another(model, others, target),
        ]
    return Checked(picture, own.maps[0], lines)


def _map(found: ClassMaps) -> Tensor:
    """The maps as coarse as the layer made them, where they are known."""
    return found.maps if found.raw is None else found.raw


def _other_classes(target: int, count: int) -> list[int]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    return [number for number in order if number != target][:OTHERS]


def _with_random_last_layer(model: nn.Module) -> Iterator[int]:
    """While each number is handed out, the weights of the model's last layer are others."""
    for seed in range(DRAWS):
        with randomize_from_top(model, seed=seed) as layers:
            next(layers)
            yield seed


def _colours(model: nn.Module) -> Colours:
    info: Any = getattr(model, "info", None)
    return (info.mean, info.std) if info else (IMAGENET_MEAN, IMAGENET_STD)


def _sees(picture: Tensor, batch: Tensor, colours: Colours) -> Line:
    """Undo the training's normalisation: what the network takes the picture for."""
    seen = vh.denormalize(batch, *colours)
    shown = F.interpolate(picture[None], seen.shape[2:], mode="bilinear", antialias=True)
    apart = (seen - shown).abs().mean().item()
    return Line("Does it see what I see?", f"colours {apart:.2f} apart", apart <= SAME)


def _top(scores: Tensor, target: int) -> Line:
    rank = int((scores > scores[target]).sum()) + 1
    sure = scores.softmax(dim=0)[target].item()
    return Line("Is my class its answer?", f"number {rank}, {sure:.0%}", rank == 1)


def _moved(question: str, own: Tensor, others: Tensor) -> Line:
    """Whether maps differ, on average. An empty map has no order, and so is like no other."""
    found = rank_correlation(own.expand_as(others), others)
    alike = found.nan_to_num(0).mean().item()
    return Line(question, f"maps {alike:.2f} alike".replace("-", "−"), alike < ALIKE)


def _deletion(model: nn.Module, own: Tensor, batch: Tensor, target: int) -> Line:
    """Delete pixels in the order of the map, and in that of maps as coarse but random."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.cat([own, torch.rand(RANDOM_MAPS, *own.shape[1:], generator=generator)])
    smooth = F.interpolate(coarse[:, None], batch.shape[2:], mode="bilinear")[:, 0]
    images = batch.expand(len(smooth), -1, -1, -1)
    curves = deletion_insertion(model, images, smooth, target, fill=0.0, steps=STEPS)
    its, *random = curves.areas[0].tolist()
    measured = f"{its:.2f}, random {sum(random) / len(random):.2f}"
    return Line("Do its pixels matter?", measured, its < min(random))


def _another(model: nn.Module, others: Tensor | None, target: int) -> Line:
    question = "Other pictures of the class?"
    if others is None:
        return Line(question, "not measured", None)
    right = (model(others).argmax(dim=1) == target).float().mean().item()
    return Line(question, f"{right:.0%} of {len(others)} right", right >= MOSTLY)
