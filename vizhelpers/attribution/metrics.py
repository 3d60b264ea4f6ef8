"""Score heatmaps against exact object masks: pointing game, energy inside the mask, IoU.

Also the bootstrap interval of such a score. Baselines to beat are in `baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vizhelpers._utils.arrays import as_numbers
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.charts import bootstrap_interval

Array: TypeAlias = Tensor | NDArray[Any]


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
        pointing, energy, iou = map(with_interval, self._scores().values())
        count = f"{len(self.iou)} maps, {self.empty} empty"
        return f"pointing {pointing}  energy {energy}  IoU {iou}  ({count})"

    __repr__ = __str__


@clear_errors
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
    values, coverage = checked_maps(maps), checked("masks", masks, 3, "[N, H, W]")
    check_shape(values, coverage.shape)
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
    missing = area[:, 0] - above.sum(1)
    return (above & inside).sum(1) + missing * (tied & inside).sum(1) / tied.sum(1)


@clear_errors
def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Tell how far a mean could have come out differently with other images of the same kind.

    The percentile bootstrap (Efron 1979): draw as many of the values as there are, with
    repetitions, take their mean, do so 2,000 times, and cut off both ends of what came out. The
    random numbers are the same at every call, and their own.

    To compare two methods on the same images, ask about the difference, image by image. It
    leaves out what both find easy or hard, so it says more than two intervals side by side:

            low, high = interval(grad_cam.pointing - centre.pointing)  # beyond 0: a difference

    Args:
        values: `[N]`, one value per image, N from 2. Not one per pixel: those go together.
        level: share of the drawn means that the interval holds.

    Raises:
        TypeError: `values` is neither a tensor nor an array.
        ValueError: it has another shape, fewer than two values or a NaN, or `level` is not
            between 0 and 1.
    """
    numbers = checked("values", values, 1, "[N]").numpy()
    if len(numbers) < 2:
        raise ValueError(f"an interval needs two values or more, got {len(numbers)}.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    return bootstrap_interval(numbers, level)


def with_interval(values: Tensor) -> str:
    """The mean and, where there are several values, its interval, as text."""
    mean = f"{values.mean():.2f}"
    if len(values) < 2:
        return mean
    low, high = interval(values)
    return f"{mean} [{low:.2f}, {high:.2f}]"


def checked(name: str, value: Any, ndim: int, shape: str) -> Tensor:
    """Return what was given as float32 on the CPU, if it has that many dimensions."""
    if not isinstance(value, Tensor | np.ndarray):
        raise TypeError(f"{name} must be a tensor or array {shape}, got {type(value).__name__}.")
    tensor = torch.from_numpy(as_numbers(value))
    if tensor.ndim != ndim or tensor.numel() == 0:
        raise ValueError(f"{name} must have the shape {shape}, got {list(tensor.shape)}.")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must be finite, but there are NaN or infinite values.")
    return tensor


def checked_maps(maps: Array) -> Tensor:
    """Return maps as float32 [N, H, W], if nothing is negative."""
    values = checked("maps", maps, 3, "[N, H, W]")
    if values.min() < 0:
        cure = "maps.clamp(min=0) ignores what is negative, maps.abs() counts it as important."
        raise ValueError(f"maps must be 0 or more, but go down to {values.min():.3g}. {cure}")
    return values


def check_shape(maps: Tensor, shape: torch.Size) -> None:
    """Refuse maps of another size than what they are compared with."""
    if maps.shape != shape:
        resize = f"F.interpolate(maps[:, None], {tuple(shape[1:])}, mode='bilinear')[:, 0]"
        cure = f" Resize them: {resize}" if len(maps) == shape[0] else ""
        raise ValueError(f"maps must be {list(shape)}, but are {list(maps.shape)}.{cure}")
