"""Receptive fields: which pixels of the image a unit of a layer sees."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from vizhelpers._utils.checks import check_model
from vizhelpers.hooks import capture
from vizhelpers.layers import layer_name
from vizhelpers.state import preserve_state

Pair = tuple[int, int]
Box = tuple[int, int, int, int]

# PyTorch's own names of operations, without the underscore of in-place variants.
_ADAPTIVE = {"_adaptive_avg_pool2d", "adaptive_max_pool2d"}
_WINDOWS = {"convolution", "max_pool2d_with_indices", "avg_pool2d", "constant_pad_nd"} | _ADAPTIVE
_SUMS = {"mean", "sum", "amax", "amin"}
# They leave positions alone, although PyTorch does not tag them as pointwise. They are only
# trusted where height and width stay the same.
_STAYS = {"_prelu_kernel", "_to_copy", "alias", "cat", "channel_shuffle", "detach", "hardswish"}
_STAYS |= {"slice", "split", "split_with_sizes", "view"} | _SUMS


@dataclass(frozen=True)
class ReceptiveField:
    """What every unit of one layer sees of the image.

    The unit in row r and column c sees the pixels from `start + (r, c) · stride`, `size` many
    in each direction. They may lie outside the image: there, padding begins.

    Attributes:
        layer: The layer's name.
        size: Height and width of the field in pixels.
        stride: How far the fields of neighbours lie apart, down and to the right, in pixels; 0
            where all units see the same.
        start: Top and left pixel that unit (0, 0) sees; negative where padding begins.
        map_shape: Height and width of the layer's maps; (1, 1) for a layer without maps.
        image_shape: Height and width of the image.
    """

    layer: str
    size: Pair
    stride: Pair
    start: Pair
    map_shape: Pair
    image_shape: Pair

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
        top = self.start[0] + row * self.stride[0]
        left = self.start[1] + column * self.stride[1]
        bottom, right = top + self.size[0], left + self.size[1]
        if clip:
            height, width = self.image_shape
            top, bottom = (min(max(edge, 0), height) for edge in (top, bottom))
            left, right = (min(max(edge, 0), width) for edge in (left, right))
        return top, left, bottom, right

    @property
    def whole(self) -> bool:
        """Whether every unit sees the whole image."""
        first, last = self.box(0, 0), self.box(*(n - 1 for n in self.map_shape))
        return first == last == (0, 0, *self.image_shape)

    def __str__(self) -> str:
        """Say it in one sentence."""
        image = f"{_by(self.image_shape)} image"
        if self.whole:
            return f"{self.layer}: every unit sees the whole {image}."
        return (
            f"{self.layer}: every unit sees {_by(self.size)} pixels of the {image}; neighbouring "
            f"fields start {_by(self.stride)} pixels apart, the first at row {self.start[0]}, "
            f"column {self.start[1]}."
        )


def receptive_field(
    model: nn.Module, layer: str | nn.Module, input_shape: Sequence[int] = (1, 3, 128, 128)
) -> ReceptiveField:
    """Compute the receptive field of a layer's units.

    The model runs once, in eval mode, while three numbers per direction are handed from tensor
    to tensor: a window of k (dilation d, stride s, padding p) makes

        size + (k − 1) · d · stride,    stride · s,    start − p · stride

    of the size, stride and start before it. Araujo, Norris and Sim derive this in "Computing
    Receptive Fields of Convolutional Neural Networks" (Distill, 2019, doi:10.23915/distill.00021).
    Where branches meet (residual additions, concatenations) the field is what any of them sees.
    Functions count like modules. Linear layers, attention, and means over the map see the whole
    image. The field is what a unit could see; with trained weights its centre counts most.

    Args:
        model: A network that takes one batch of images.
        layer: Name of the layer, or the layer itself. Where it is called several times, the
            first call counts.
        input_shape: Shape of the images, [N, C, H, W].

    Raises:
        TypeError: The model is no module, or the layer neither a name nor a module.
        ValueError: There is no such layer; it is not reached; the shape is no shape of images;
            or the positions cannot be followed to it: uneven adaptive pooling, upsampling,
            transposed convolutions, permuted axes.
    """
    check_model(model)
    shape = tuple(input_shape)
    if len(shape) != 4 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"input_shape must be (images, channels, height, width), such as (1, 3, 128, 128); "
            f"got {input_shape!r}."
        )
    some = next(model.parameters(), torch.empty(0))
    image = torch.zeros(1, *shape[1:], device=some.device, dtype=some.dtype)
    follower = _Follower(image)
    with preserve_state(model), follower:
        captured = capture(model.eval(), image, layer, stop_early=True)
    first_calls = [calls[0] for calls in captured.values()]
    seen = {(_map_shape(t), follower.fields[t]) for t in first_calls if t in follower.fields}
    name = layer if isinstance(layer, str) else layer_name(model, layer)
    return _found(name, seen, follower.image_shape)


def _found(name: str, seen: set[tuple[Pair, _Field]], image_shape: Pair) -> ReceptiveField:
    if not seen:
        raise ValueError(f"what {name!r} returns does not depend on the image.")
    if len(seen) > 1:
        raise ValueError(
            f"{name!r} returns several tensors that see different parts of the image; ask for "
            "the layers inside it, or after it, that return one."
        )
    map_shape, field = seen.pop()
    if isinstance(field, str):
        raise ValueError(
            f"positions in the image cannot be followed to {name!r}: {field} on the way moves them "
            "in a way that is no plain window. Layers before it do have a receptive field."
        )
    size, stride, start = zip(*field, strict=True)
    return ReceptiveField(name, size, stride, start, map_shape, image_shape)


def _map_shape(tensor: Tensor) -> Pair:
    return (tensor.shape[2], tensor.shape[3]) if tensor.ndim == 4 else (1, 1)


def _by(pair: Pair) -> str:
    return f"{pair[0]}×{pair[1]}"


class _Axis(NamedTuple):
    """Size, stride and start of the receptive field in one direction, in pixels."""

    size: int
    stride: int
    start: int

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> _Axis:
        return _Axis(
            self.size + (kernel - 1) * dilation * self.stride,
            self.stride * stride,
            self.start - padding * self.stride,
        )


# What a tensor's units see, down and across; or the operation after which that is not known.
_Field = tuple[_Axis, _Axis] | str


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's, untyped
    """Watches every operation that PyTorch carries out and hands the fields on."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.image_shape = _map_shape(image)
        self.everything: _Field = (_Axis(image.shape[2], 0, 0), _Axis(image.shape[3], 0, 0))
        # Weak: what the model lets go of may be freed, and its place in memory used again.
        self.fields: MutableMapping[Tensor, _Field] = WeakTensorKeyDictionary()
        self.fields[image] = (_Axis(1, 1, 0), _Axis(1, 1, 0))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        options |= kwargs or {}
        sources = [leaf for leaf in tree_leaves(options) if isinstance(leaf, Tensor)]
        known = [(source, self.fields[source]) for source in sources if source in self.fields]
        result = func(*args, **(kwargs or {}))
        for output in tree_leaves(result) if known else ():
            if isinstance(output, Tensor):
                self.fields[output] = self._after(func, options, known, output)
        return result

    def _after(
        self, func: Any, options: dict[str, Any], known: list[tuple[Tensor, _Field]], output: Tensor
    ) -> _Field:
        """What the units of an operation's output see, from what those of its inputs see."""
        name = func.overloadpacket.__name__.rstrip("_")
        if any(field == self.everything for _, field in known):
            return self.everything
        lost = [field for _, field in known if isinstance(field, str)]
        if lost:  # for good, unless all positions become one vector
            return self.everything if output.ndim == 2 and len(output) == 1 else lost[0]
        fields = [field for _, field in known if not isinstance(field, str)]
        source = known[0][0]
        if name in _WINDOWS and source.ndim == 4 and len(fields) == 1:
            return _through_window(name, options, source, output, fields[0])
        kept = all(t.ndim == 4 and t.shape[2:] == output.shape[2:] for t, _ in known)
        frozen_norm = name.endswith("batch_norm") and not options.get("training")
        if kept and (frozen_norm or name in _STAYS or torch.Tag.pointwise in func.tags):
            return _union(fields) or name
        mixed = name.endswith("_norm") or (name in _SUMS and output.shape[2:] == (1, 1))
        return self.everything if mixed or output.ndim < 4 else name


def _through_window(
    name: str, options: dict[str, Any], source: Tensor, output: Tensor, field: tuple[_Axis, _Axis]
) -> _Field:
    """What is seen through a convolution, a pooling or padding with a constant."""
    if options.get("transposed"):
        return "a transposed convolution"
    kernel: Any = options.get("kernel_size")
    stride, padding = options.get("stride"), options.get("padding", 0)
    if name == "convolution":
        kernel = options["weight"].shape[2:]
    elif name == "constant_pad_nd":
        left, _, top, _ = [*options["pad"], 0, 0][:4]
        kernel, stride, padding = 1, 1, (top, left)
    elif name in _ADAPTIVE:
        if any(n % m for n, m in zip(source.shape[2:], output.shape[2:], strict=True)):
            return f"{name} with uneven windows"
        kernel = [n // m for n, m in zip(source.shape[2:], output.shape[2:], strict=True)]
    options_by_axis = (kernel, stride or kernel, padding, options.get("dilation", 1))
    down, across = zip(*map(_pair, options_by_axis), strict=True)
    return field[0].window(*down), field[1].window(*across)


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    """One number for both directions, as PyTorch allows, or one for each."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * (3 - len(numbers))


def _union(fields: list[tuple[_Axis, _Axis]]) -> _Field | None:
    """What any of several maps sees; None where their units lie at different distances."""
    axes = []
    for same_direction in zip(*fields, strict=True):
        if len({axis.stride for axis in same_direction}) > 1:
            return None
        start = min(axis.start for axis in same_direction)
        end = max(axis.start + axis.size for axis in same_direction)
        axes.append(_Axis(end - start, same_direction[0].stride, start))
    return axes[0], axes[1]
