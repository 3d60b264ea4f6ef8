"""Where a layer's output `[N, …]` keeps its channels: first, as convolutions do, or last."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

_CHANNELS_FIRST = (
    *(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d),
)


def channels_last(layer: nn.Module, output: Tensor) -> bool | None:
    """Whether they come last, as far as the kind of layer tells; None where it does not."""
    if isinstance(layer, _CHANNELS_FIRST):
        return False
    # Subclasses of LayerNorm often put the channels first.
    if type(layer) in (nn.LayerNorm, nn.RMSNorm) and layer.normalized_shape == output.shape[-1:]:
        return True
    return None


def fits(map_shape: Sequence[int], image_shape: Sequence[int]) -> bool:
    """Whether a map's rows and columns have an image's proportions, but for rounding."""
    (rows, columns), (height, width) = map_shape, image_shape
    return abs(rows - height * columns / width) < 1 and abs(columns - width * rows / height) < 1
