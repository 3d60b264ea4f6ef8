"""Scores of heatmaps: against exact masks, and against what the network itself answers.

Belongs here: numbers about given maps, simple baselines that every method has to beat, and how
sure such a number is. Making class activation maps is not; drawing is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vizhelpers.layers import check_model, to_model
from vizhelpers.state import preserve_state
from vizhelpers.waiting import with_progress

Array: TypeAlias = Tensor | NDArray[Any]

_BATCH, _DRAWS = 50, 2000


@dataclass(frozen=True, eq=False, repr=False)
class MapScores:
    """How well each map finds its object. All are 1 at best; an empty map counts as a miss, 0.

    Attributes:
        pointing: float32 `[N]`, whether the map's peak lies on the object.
        energy: float32 `[N]`, which share of the map's sum lies on the object.
        iou: float32 `[N]`, how well the map's strongest pixels, as many as the object has, cover
            the object: intersection over union.
        empty: how many of the maps are zero everywhere.
    """

    pointing: Tensor
    energy: Tensor
    iou: Tensor
    empty: int

    def means(self) -> dict[str, float]:
        """Mean over the images of each score."""
        return {name: float(values.mean()) for name, values in self._scores().items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of each score, the interval in which its mean lies; see `interval`.

        Raises:
            ValueError: there is only one map.
        """
        return {name: interval(values) for name, values in self._scores().items()}

    def _scores(self) -> dict[str, Tensor]:
        return {"pointing": self.pointing, "energy": self.energy, "iou": self.iou}

    def __str__(self) -> str:
        pointing, energy, iou = map(_with_interval, self._scores().values())
        count = f"{len(self.iou)} maps, {self.empty} empty"
        return f"pointing {pointing}  energy {energy}  IoU {iou}  ({count})"

    __repr__ = __str__


def score_maps(maps: Array, masks: Array) -> MapScores:
    """Compare maps with the exact masks of what they should show.

    A pixel is on the object where the mask is above 0.5.

    - pointing: 1 if the map's largest value is on the object (the pointing game, Zhang et al.
      2018, "Top-down neural attention by excitation backprop"; here without its tolerance of
      15 pixels). Where several pixels tie, the share of them that is on the object: what a
      random choice would score on average. So a uniform map scores the object's area.
    - energy: share of the map's sum on the object (Wang et al. 2020, "Score-CAM").
    - iou: of the object and equally many of the map's strongest pixels. Of pixels that tie for
      the last places, each is taken in part: as often as a random choice would on average.

    Args:
        maps: `[N, H, W]`, 0 or more; only their order and proportions count.
        masks: `[N, H, W]` in [0, 1] or bool, of the same size.

    Raises:
        TypeError: one of the two is neither a tensor nor an array.
        ValueError: shapes do not match, values are negative, not finite or, of masks, above 1,
            or a mask is empty, so that nothing could be found.
    """
    values, coverage = _checked_maps(maps), _checked("masks", masks, 3, "[N, H, W]")
    _check_shape(values, coverage.shape)
    if coverage.max() > 1:
        raise ValueError(f"masks must be in [0, 1], but the largest value is {coverage.max():.3g}.")
    inside = coverage.flatten(1) > 0.5
    if len(nothing := (~inside.any(1)).nonzero()):
        which = int(nothing[0])
        raise ValueError(f"masks[{which}] is empty (nowhere above 0.5): there is nothing to find.")
    values = values.flatten(1)
    some = values.amax(1) > 0
    peaks = values == values.amax(1, keepdim=True)
    pointing = (peaks & inside).sum(1) / peaks.sum(1)
    energy = (values * inside).sum(1) / values.sum(1).where(some, torch.tensor(1.0))
    found = _strongest_on(values, inside)
    iou = found / (2 * inside.sum(1) - found)
    return MapScores(pointing * some, energy * some, iou * some, empty=int((~some).sum()))


def _strongest_on(values: Tensor, inside: Tensor) -> Tensor:
    """How many of the strongest pixels, as many as are inside, are inside, ties in part: [N]."""
    area = inside.sum(1, keepdim=True)
    last = values.sort(dim=1, descending=True).values.gather(1, area - 1)
    above, tied = values > last, values == last
    room = area[:, 0] - above.sum(1)
    return (above & inside).sum(1) + room * (tied & inside).sum(1) / tied.sum(1)


def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Tell how far a mean could have come out differently with other images of the same kind.

    The percentile bootstrap (Efron 1979): draw as many of the values as there are, with
    repetitions, take their mean, do so 2,000 times, and cut off both ends of what came out. The
    random numbers are the same at every call, and their own.

    To compare two methods on the same images, ask about the difference, image by image. It
    leaves out what both find easy or hard, so it says more than two intervals side by side:

        >>> low, high = interval(grad_cam.pointing - centre.pointing)  # beyond 0: a difference

    Args:
        values: `[N]`, one value per image, N from 2. Not one per pixel: those go together.
        level: share of the drawn means that the interval holds.

    Raises:
        TypeError: `values` is neither a tensor nor an array.
        ValueError: it has another shape, fewer than two values or a NaN, or `level` is not
            between 0 and 1.
    """
    numbers = _checked("values", values, 1, "[N]").numpy()
    if len(numbers) < 2:
        raise ValueError(f"an interval needs two values or more, got {len(numbers)}.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    chosen = np.random.default_rng(0).integers(len(numbers), size=(_DRAWS, len(numbers)))
    low, high = np.quantile(numbers[chosen].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


Baseline = Literal["centre", "edges", "random", "whole"]


def baseline_maps(images: Array, kind: Baseline, *, seed: int = 0) -> Tensor:
    """Make maps that know nothing of the network: what a method has to beat.

    Args:
        images: `[N, C, H, W]` in [0, 1], before they were normalised.
        kind: "centre", a round blob in the middle, its standard deviation a fifth of the side;
            "edges", how steep the brightness is (Sobel), blurred by two pixels; "random",
            another noise for each image, 8×8 and enlarged as a class activation map is;
            "whole", 1 everywhere.
        seed: of "random"; the global random numbers are left alone.

    Returns:
        float32 `[N, H, W]` in [0, 1], the largest value of each being 1; where a picture has no
        edges, "edges" are 0.

    Raises:
        TypeError: `images` is neither a tensor nor an array.
        ValueError: it has another shape or values outside [0, 1], or `kind` is unknown.
    """
    pictures = _checked("images", images, 4, "[N, C, H, W]")
    if pictures.min() < 0 or pictures.max() > 1:
        found = f"{pictures.min():.3g} to {pictures.max():.3g}"
        raise ValueError(f"images must be in [0, 1], found {found}. Use denormalize(images).")
    if kind == "centre":
        maps = _blob(*pictures.shape[2:]).expand(len(pictures), -1, -1)
    elif kind == "edges":
        maps = _edges(pictures.mean(1))
    elif kind == "random":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(len(pictures), 1, 8, 8, generator=generator)
        maps = F.interpolate(noise, pictures.shape[2:], mode="bilinear")[:, 0]
    elif kind == "whole":
        maps = torch.ones_like(pictures[:, 0])
    else:
        raise ValueError(f"kind must be one of {', '.join(get_args(Baseline))}; got {kind!r}.")
    # Where all is 0, the smallest number keeps it so.
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _blob(height: int, width: int) -> Tensor:
    y, x = (torch.linspace(-0.5, 0.5, n) for n in (height, width))
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.2**2))


def _edges(grey: Tensor) -> Tensor:
    from scipy.ndimage import gaussian_filter, sobel  # type: ignore[import-untyped]

    def steepness(picture: NDArray[Any]) -> NDArray[Any]:
        # "nearest" continues the picture, so that its border is no edge.
        down, across = (sobel(picture, axis, mode="nearest") for axis in (0, 1))
        return gaussian_filter(np.hypot(down, across), 2)

    return torch.from_numpy(np.stack([steepness(picture) for picture in grey.numpy()]))


@dataclass(frozen=True, eq=False, repr=False)
class Curves:
    """What becomes of a class's probability while pixels go or come, strongest in the map first.

    Attributes:
        shares: float32 `[S]`, which share of the pixels was exchanged, from 0 to 1.
        deletion: float32 `[N, S]`, probability while pixels are removed from the image.
        insertion: float32 `[N, S]`, probability while pixels are put into the fill.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def areas(self) -> tuple[Tensor, Tensor]:
        """Areas under deletion (low is good) and insertion (high is good), `[N]` each."""
        deletion = torch.trapezoid(self.deletion, self.shares)
        return deletion, torch.trapezoid(self.insertion, self.shares)

    def __str__(self) -> str:
        deletion, insertion = map(_with_interval, self.areas)
        count = f"{len(self.deletion)} images, {len(self.shares) - 1} steps"
        return f"deletion {deletion}  insertion {insertion}  ({count})"

    __repr__ = __str__


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    maps: Array,
    targets: int | Tensor,
    *,
    fill: float | Tensor,
    steps: int = 16,
    output: Callable[[Any], Tensor] | None = None,
) -> Curves:
    """Test maps on the network itself: do the pixels they call important matter to it?

    From Petsiuk et al. 2018, "RISE": in the order of the map, pixels are exchanged for those of
    `fill` (deletion), or the other way round (insertion). Pixels of equal value go in one random
    order, the same at every call.

    What is tested is the map as an account of *this network*, so a map that points at a
    background can rightly win. But half-removed images look like nothing that the network was
    trained on: its answer may be to the hole's edge or shape, or to grey itself. With drawn
    scenes, the same scene without its object is the most honest fill, and the exact mask as map
    is what a perfect finder of the object would get.

    Args:
        model: classifier, run in eval mode and left as it was.
        images: `[N, 3, H, W]`, normalised as the network takes them.
        maps: `[N, H, W]`, 0 or more, of the images' size.
        targets: the class whose probability is followed: one, or int64 `[N]`.
        fill: what stands where pixels are removed: images like `images`, or one number (0 is
            the mean colour of the training images). Normalised, too.
        steps: how often pixels are exchanged, an equal share each time.
        output: picks the class scores `[N, classes]` out of what the model returns, if that
            is not a tensor.

    Raises:
        TypeError: the model is no module, it returns no tensor, or an argument is of a wrong
            kind.
        ValueError: shapes do not match, there is no such class, or `steps` is below 1.
    """
    check_model(model)
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}.")
    inputs = _checked("images", images, 4, "[N, 3, H, W]")
    values = _checked_maps(maps)
    _check_shape(values, inputs[:, 0].shape)
    order, other = _order(values), _checked_fill(fill, inputs)
    classes = _checked_targets(targets, len(inputs))
    shares = torch.linspace(0, 1, steps + 1)
    found: list[Tensor] = []
    with preserve_state(model), torch.no_grad():
        model.eval()
        for share in with_progress(shares.tolist(), "deletion and insertion"):
            exchanged = (order < round(share * order[0].numel()))[:, None]
            for old, new in ((inputs, other), (other, inputs)):
                mixed = torch.where(exchanged, new, old)
                found.append(_probabilities(model, mixed, classes, output))
    return Curves(shares, torch.stack(found[::2], dim=1), torch.stack(found[1::2], dim=1))


def _order(maps: Tensor) -> Tensor:
    """Give every pixel its place in its map's order, the strongest pixel 0: int64 [N, H, W]."""
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    # A stable sort leaves equal values as they stand, which is shuffled: not from the top down.
    strongest = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return strongest.argsort(dim=1).view_as(maps)


def _probabilities(
    model: nn.Module, images: Tensor, classes: Tensor, output: Callable[[Any], Tensor] | None
) -> Tensor:
    """Probability of each image's class: [N]."""
    found = []
    for start in range(0, len(images), _BATCH):
        answer = model(to_model(model, images[start : start + _BATCH]))
        scores = answer if output is None else output(answer)
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            cure = "Say where they are: output=lambda answer: answer['logits']"
            raise TypeError(f"class scores must be a tensor [N, classes], got {got}. {cure}")
        found.append(scores.float().softmax(1).cpu())
    probabilities = torch.cat(found)
    count, low, high = probabilities.shape[1], int(classes.min()), int(classes.max())
    if low < 0 or high >= count:
        raise ValueError(f"the classes are 0 to {count - 1}, but targets are {low} to {high}.")
    return probabilities.gather(1, classes[:, None])[:, 0]


def _with_interval(values: Tensor) -> str:
    mean = f"{values.mean():.2f}"
    if len(values) < 2:
        return mean
    low, high = interval(values)
    return f"{mean} [{low:.2f}, {high:.2f}]"


def _checked(name: str, value: Any, ndim: int, shape: str) -> Tensor:
    """Return what was given as float32 on the CPU, if it has that many dimensions."""
    if not isinstance(value, Tensor | np.ndarray):
        raise TypeError(f"{name} must be a tensor or array {shape}, got {type(value).__name__}.")
    tensor = torch.as_tensor(value).detach().cpu().float()
    if tensor.ndim != ndim or tensor.numel() == 0:
        raise ValueError(f"{name} must have the shape {shape}, got {list(tensor.shape)}.")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must be finite, but there are NaN or infinite values.")
    return tensor


def _checked_maps(maps: Array) -> Tensor:
    values = _checked("maps", maps, 3, "[N, H, W]")
    if values.min() < 0:
        cure = "maps.clamp(min=0) ignores what is negative, maps.abs() counts it as important."
        raise ValueError(f"maps must be 0 or more, but go down to {values.min():.3g}. {cure}")
    return values


def _check_shape(maps: Tensor, shape: torch.Size) -> None:
    if maps.shape != shape:
        resize = f"F.interpolate(maps[:, None], {tuple(shape[1:])}, mode='bilinear')[:, 0]"
        cure = f" Resize them: {resize}" if len(maps) == shape[0] else ""
        raise ValueError(f"maps must be {list(shape)}, but are {list(maps.shape)}.{cure}")


def _checked_fill(fill: float | Tensor, images: Tensor) -> Tensor:
    other = torch.as_tensor(fill, dtype=torch.float32).detach().cpu()
    if other.ndim and other.shape != images.shape:
        shapes = f"{list(images.shape)}, got {list(other.shape)}"
        raise ValueError(f"fill must be one number or images of the shape {shapes}.")
    return other.expand_as(images)


def _checked_targets(targets: int | Tensor, count: int) -> Tensor:
    if not isinstance(targets, int | Sequence | Tensor | np.ndarray) or isinstance(targets, str):
        raise TypeError(f"targets must be one class or one for each image, got {targets!r}.")
    classes = torch.as_tensor(targets).cpu()
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise TypeError(f"targets must be whole numbers, got {classes.dtype}.")
    if classes.ndim and classes.shape != (count,):
        shapes = f"[{count}], got {list(classes.shape)}"
        raise ValueError(f"targets must be one class or one for each image, {shapes}.")
    return classes.long().expand(count)
