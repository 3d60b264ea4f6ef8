"""Receptive fields: which pixels of the image a unit of a layer sees.

Measured, not derived from kernels and strides: NaN goes into some rows or columns of the image, and
every unit that it comes out of sees one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import mode
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import check_model, named_tensors, to_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.layouts import fits
from vizhelpers.hooks import cut_off_after
from vizhelpers.layers import layer_name

Pair = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """What every unit of one layer sees of the image.

    Attributes:
        layer: The layer's name.
        size: Height and width of the field in pixels, padding included; of the largest one where
            they differ.
        stride: How far the fields of neighbours lie apart, down and to the right, in pixels; 0
            where all units see the same. None where sizes or distances differ.
        start: Top and left pixel that unit (0, 0) sees, negative where padding begins; or None.
        map_shape: Height and width of the layer's maps; (1, 1) for a layer without maps.
        image_shape: Height and width of the image.
        channels_last: Whether the maps are [N, H, W, C] instead of [N, C, H, W].
        boxes: For each row and column of the map, the box of pixels that its unit sees.
    """

    layer: str
    size: Pair
    stride: Pair | None
    start: Pair | None
    map_shape: Pair
    image_shape: Pair
    channels_last: bool
    boxes: tuple[tuple[Box, ...], ...] = field(repr=False)

    def box(self, row: int, column: int, *, clip: bool = True) -> Box:
        """Tell which pixels one unit sees.

        Args:
            row: Row of the unit in the layer's map.
            column: Its column.
            clip: Leave out what lies outside the image.

        Returns:
            (top, left, bottom, right) in pixels: `image[top:bottom, left:right]` is what it sees.

        Raises:
            ValueError: The map has no such row or column.
        """
        rows, columns = self.map_shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"{self.layer!r} has maps of {rows} rows and {columns} columns, counted from 0; "
                f"there is no unit ({row}, {column})."
            )
        if clip or self.stride is None or self.start is None:
            return self.boxes[row][column]
        top = self.start[0] + row * self.stride[0]
        left = self.start[1] + column * self.stride[1]
        return top, left, top + self.size[0], left + self.size[1]

    @property
    def whole(self) -> bool:
        """Whether every unit sees the whole image."""
        return {box for row in self.boxes for box in row} == {(0, 0, *self.image_shape)}

    def __str__(self) -> str:
        """Say it in one sentence."""
        image = f"{_by(self.image_shape)} image"
        if self.whole:
            return f"{self.layer}: every unit sees the whole {image}."
        if self.stride is None or self.start is None:
            return (
                f"{self.layer}: a unit sees up to {_by(self.size)} pixels of the {image}; sizes or "
                "distances differ, box(row, column) tells them."
            )
        return (
            f"{self.layer}: every unit sees {_by(self.size)} pixels of the {image}; neighbouring "
            f"fields start {_by(self.stride)} pixels apart, the first at row {self.start[0]}, "
            f"column {self.start[1]}."
        )


@clear_errors
def receptive_field(
    model: nn.Module, layer: str | nn.Module, input_shape: Sequence[int] = (1, 3, 128, 128)
) -> ReceptiveField:
    """Measure the receptive field of a layer's units.

    The model runs in eval mode on the CPU, up to the layer: with an image of random numbers, then
    with NaN in some of its rows or columns. What is computed from NaN is NaN, so a unit that
    becomes NaN sees one of them, whatever the forward method does. Halving the rows and columns in
    question finds the edges of every unit's field, in a hundred passes or two.

    The field is what a unit could see: a weight of zero counts, too, and so does a coefficient of
    zero, as at the edges of a bilinear interpolation. With trained weights the field's centre
    counts most. Araujo, Norris and Sim derive the same from kernels, strides and padding in
    "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019,
    doi:10.23915/distill.00021).

    Args:
        model: A network that takes one batch of images.
        layer: Name of the layer, or the layer itself. Where it is called several times, the
            first call counts; where it returns no maps, all that it returns is one unit.
        input_shape: Shape of the images, [N, C, H, W]. The model is given one of them.

    Raises:
        TypeError: The model is no module, or the layer neither a name nor a module.
        ValueError: There is no such layer; it is not reached; the shape is no shape of images;
            what the layer returns does not depend on the image, or is several maps of different
            shapes; or the model makes numbers of NaN, as `torch.where(x > 0, x, 0)` does.
    """
    check_model(model)
    shape = tuple(input_shape)
    if len(shape) != 4 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"input_shape must be (images, channels, height, width), such as (1, 3, 128, 128); "
            f"got {input_shape!r}."
        )
    name = layer if isinstance(layer, str) else layer_name(model, layer)
    with cut_off_after(model, layer) as run, torch.no_grad():
        model.cpu().float()  # the fast kernels of GPUs and of half precision spread NaN
        probe = _Probe(name, run, to_model(model, _random_image(*shape[1:])))
        spans = [_spans(partial(probe, axis), shape[2 + axis]) for axis in (0, 1)]
        grids = [_grid(probe, axis, *spans[axis]) for axis in (0, 1)]
    (top, bottom), (left, right) = spans
    boxes = torch.stack([top, left, bottom, right], dim=2).tolist()
    largest = [int((end - first).max()) for first, end in spans]
    known = [grid for grid in grids if grid is not None]
    return ReceptiveField(
        name,
        size=_pair(g.size if g else size for g, size in zip(grids, largest, strict=True)),
        stride=_pair(grid.stride for grid in known) if len(known) == 2 else None,
        start=_pair(grid.start for grid in known) if len(known) == 2 else None,
        map_shape=_pair(top.shape),
        image_shape=_pair(shape[2:]),
        channels_last=probe.channels_last,
        boxes=tuple(tuple((a, b, c, d) for a, b, c, d in row) for row in boxes),
    )


def _random_image(*shape: int) -> Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))


def _pair(numbers: Iterable[int]) -> Pair:
    first, second = numbers
    return first, second


def _by(pair: Pair) -> str:
    return f"{pair[0]}×{pair[1]}"


class _Probe:
    """Tells which units of a layer become NaN when some rows or columns of an image are NaN."""

    def __init__(self, name: str, run: Callable[[Tensor], Any], image: Tensor) -> None:
        self.name, self.run, self.image = name, run, image
        try:
            self.before = self._returned(image)
        except (RuntimeError, TypeError) as error:
            raise RuntimeError(f"the model fails on an image of random floats: {error}") from error
        if not self.before or any(tensor.isnan().any() for tensor in self.before):
            raise ValueError(f"what {name!r} returns for a random image is NaN, or no floats.")
        if len({t.shape[2:] if t.ndim == 4 else () for t in self.before}) > 1:
            raise ValueError(
                f"{name!r} returns several tensors that see different parts of the image; ask for "
                "the layers inside it, or after it, that return one."
            )
        if not any(seen.any() for seen in self._see(torch.full_like(image, torch.nan))):
            raise ValueError(f"what {name!r} returns does not depend on the image.")
        corner = image.clone()
        corner[:, :, 0, 0] = torch.nan
        self.channels_last = _are_channels_last(self._see(corner)[0], image.shape[2:])

    def __call__(self, axis: int, where: Tensor) -> Tensor:
        """The units, bool [rows, columns], that see any of these rows (axis 0) or columns."""
        image = self.image.clone()
        image.movedim(2 + axis, 0)[where] = torch.nan
        channels = 2 if self.channels_last else 0
        seen = [s.any(channels) if s.ndim == 3 else s.any().view(1, 1) for s in self._see(image)]
        return torch.stack(seen).any(0)

    def _returned(self, image: Tensor) -> list[Tensor]:
        # There are models that draw random numbers. (torch.manual_seed is slow: it asks for GPUs.)
        torch.default_generator.manual_seed(0)
        return [t for _, t in named_tensors(self.run(image.clone())) if t.is_floating_point()]

    def _see(self, image: Tensor) -> list[Tensor]:
        """What becomes NaN in each tensor that the layer returns, without the batch."""
        try:
            pairs = list(zip(self.before, self._returned(image), strict=True))
            lost = any(((old != new) & ~new.isnan()).any() for old, new in pairs)
        except Exception as error:  # the model's own: it may look for NaN, or branch on it
            raise ValueError(f"{_NO_NAN.format(self.name)} {error}") from error
        if lost:
            raise ValueError(_NO_NAN.format(self.name))
        return [new.isnan().any(0) for _, new in pairs]


_NO_NAN = (
    "what {!r} sees cannot be measured: the model turns NaN into numbers on the way, as "
    "torch.where(x > 0, x, 0) does, or fails on it. Layers before that have a receptive field."
)


def _are_channels_last(seen: Tensor, image_shape: Sequence[int]) -> bool:
    """Whether a pixel is seen by all channels of some places, where the channels are the last."""
    if seen.ndim != 3:
        return False
    alike = [torch.equal(seen.any(axis), seen.all(axis)) for axis in range(3)]
    if all(alike):  # all see it, or none: only the shape can tell
        return fits(seen.shape[:2], image_shape) and seen.shape[2] > max(seen.shape[:2])
    return alike[2] and not alike[0] and not alike[1]


def _spans(see: Callable[[Tensor], Tensor], length: int) -> tuple[Tensor, Tensor]:
    """The first of so many rows (or columns) that each unit sees, and the one after its last.

    Of each unit it is known in which blocks of rows its first and its last one are. Each step asks
    whether it sees the first half of its first block and the second half of its last one, and goes
    on with blocks of half the size. A unit that sees nothing gets 0 and 0.
    """
    seeing = see(torch.ones(length, dtype=torch.bool))
    first = last = torch.zeros(seeing.shape, dtype=torch.long)
    half = (1 << (length - 1).bit_length()) // 2
    while half:
        pairs = set(zip(first[seeing].tolist(), last[seeing].tolist(), strict=True))
        next_first, next_last = first.clone(), last.clone()
        for starts in _apart(pairs, half, length):
            where = torch.zeros(length, dtype=torch.bool)
            for start in starts:
                where[start : start + half] = True
            sees, asked = see(where), torch.tensor(starts)
            next_first[torch.isin(first, asked) & ~sees] += half
            next_last[torch.isin(last + half, asked) & sees] += half
        first, last, half = next_first, next_last, half // 2
    return first * seeing, (last + 1) * seeing


def _apart(pairs: Iterable[Pair], half: int, length: int) -> list[list[int]]:
    """Group the half blocks to ask for, so that no unit that asks for one sees another as well.

    Args:
        pairs: Where the first and the last block begin that units see.
        half: Half the size of a block.
        length: How many rows there are.

    Returns:
        Where the half blocks of each group begin.
    """
    asked: dict[int, tuple[int, int]] = {}  # from where to where those who ask may see
    for first, last in pairs:
        for start in (first, last + half):
            low, high = asked.get(start, (first, 0))
            asked[start] = min(low, first), max(high, last + 2 * half)
    groups: list[list[int]] = []
    for start in sorted(start for start in asked if start < length):
        for group in groups:
            if group[-1] + half <= asked[start][0] and max(asked[s][1] for s in group) <= start:
                group.append(start)
                break
        else:
            groups.append([start])
    return groups


class _Grid(NamedTuple):
    """Size, stride and start of the receptive fields in one direction, in pixels."""

    size: int
    stride: int
    start: int


# Row or column of the map, the first row or column of the image that is seen there, and the end.
_Line = tuple[int, int, int]


def _grid(probe: _Probe, axis: int, first: Tensor, end: Tensor) -> _Grid | None:
    """What the fields have in common in one direction; None where size or distance differs."""
    length = probe.image.shape[2 + axis]
    lines = _lines(axis, first, end)
    grid = _fit(lines, length)
    if grid or not all(start == 0 or stop == length for _, start, stop in lines):
        return grid
    # All are cut at the image's edge: how large they are can only be seen in a longer image. Three
    # neighbours in its middle are enough to tell.
    size = list(probe.image.shape[1:])
    size[1 + axis], size[2 - axis] = 3 * length, max(1, size[2 - axis] // 8)
    try:
        longer = _Probe(probe.name, probe.run, _random_image(*size).to(probe.image))
        middle = len(longer(axis, torch.ones(3 * length, dtype=torch.bool)).movedim(axis, 0)) // 2
        spans = _spans(lambda w: longer(axis, w).narrow(axis, middle, 3), 3 * length)
    except Exception:  # the model's own: it may take images of one size only
        return None
    grid = _fit([(middle + i, a, b) for i, a, b in _lines(axis, *spans)], 3 * length)
    return grid if grid and _agrees(grid, lines, length) else None


def _lines(axis: int, first: Tensor, end: Tensor) -> list[_Line]:
    """What is seen along one direction; nothing where units beside each other differ."""
    rows = zip(*(edges.transpose(0, axis).tolist() for edges in (first, end)), strict=True)
    seen = [{span for span in zip(*row, strict=True) if span[1]} for row in rows]
    if any(len(different) > 1 for different in seen):
        return []
    return [(i, *span) for i, different in enumerate(seen) for span in different]


def _fit(lines: list[_Line], length: int) -> _Grid | None:
    # Edges that are cut by the image's tell nothing.
    steps = [b[1] - a[1] for a, b in pairwise(lines) if min(a[1], b[1]) > 0]
    steps += [b[2] - a[2] for a, b in pairwise(lines) if max(a[2], b[2]) < length]
    stride = mode(steps or [0])
    starts = [first - stride * i for i, first, _ in lines if first > 0 or not stride]
    ends = [end - stride * i for i, _, end in lines if end < length or not stride]
    if not starts or not ends:
        return None
    grid = _Grid(mode(ends) - mode(starts), stride, mode(starts))
    return grid if _agrees(grid, lines, length) else None


def _agrees(grid: _Grid, lines: list[_Line], length: int) -> bool:
    """Whether the edges that a grid has inside the image are where they were measured."""
    tops = [grid.start + i * grid.stride for i, _, _ in lines]
    return all(
        (top < 0 or first == top) and (top + grid.size > length or end == top + grid.size)
        for top, (_, first, end) in zip(tops, lines, strict=True)
    )
