"""Kernel slider: slide a convolution's kernel over a picture, see its feature map come about."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets
from torch import Tensor, nn

from vizhelpers._utils.checks import whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import to_png
from vizhelpers.plotting import SIGNED_MAP
from vizhelpers.widgets.base import PictureBox, View, boxed
from vizhelpers.widgets.kernel_slider_plot import (
    Kernel,
    colour_table,
    draw_kernel,
    read_convolution,
)

_FILE = Path(__file__)


class SliderBox(anywidget.AnyWidget):  # type: ignore[misc]
    """The page of the kernel slider: the numbers of one kernel, and where that kernel stands."""

    _esm = _FILE.with_suffix(".js").read_text(encoding="utf-8")
    _css = PictureBox._css + _FILE.with_suffix(".css").read_text(encoding="utf-8")
    shape = traitlets.Dict().tag(sync=True)  # `Convolution.shape`
    planes = traitlets.Bytes().tag(sync=True)  # float32 [channels, height, width], unpadded
    kernel = traitlets.Bytes().tag(sync=True)  # float32 [channels, kernelHeight, kernelWidth]
    map = traitlets.Bytes().tag(sync=True)  # float32 [rows, columns]
    bias = traitlets.Float(None, allow_none=True).tag(sync=True)
    photo = traitlets.Bytes().tag(sync=True)  # uint8 [height, width, 3]; empty without colours
    reaches = traitlets.List().tag(sync=True)  # `Kernel.reaches`
    limits = traitlets.List().tag(sync=True)  # the values of a plane's first and last colour
    colours = traitlets.Bytes().tag(sync=True)  # uint8 [256, 3] of a plane, within the limits
    signed = traitlets.Bytes().tag(sync=True)  # uint8 [256, 3], its middle is zero
    channel = traitlets.Int().tag(sync=True)  # whose numbers these are
    asked = traitlets.Int().tag(sync=True)  # the channel that the page would like
    at = traitlets.List([0, 0]).tag(sync=True)  # row and column of the feature map
    plane = traitlets.Int(-1).tag(sync=True)  # the input channel that is shown; -1: the colours


class KernelSlider(View):
    """Slide a convolution's kernel over a picture: patch × kernel = products, added up.

    The mouse, a finger, a pen or the arrow keys move the kernel; where it has been, the feature
    map is painted. All of this happens in the page, without Python. A click holds the kernel, a
    second click or Escape lets go of it. A number box chooses the output channel, a list the input
    channel: pixels, weights and products of one channel, or of all three as colours. The sum is
    always that over all channels. A picture of one channel is drawn in grey. A notebook cell that
    ends with the slider shows it; who runs nothing sees a picture of it, with the whole map.

    The weights are read once: after training on, make another slider.

    Args:
        image: [C, H, W] or [1, C, H, W], what the convolution gets: a network's input, which for
            a first layer means a normalised picture, or the maps of the layer before.
        conv: The convolution, any kernel size, stride, dilation, groups and zero padding.
        channel: Which output channel, and so which kernel.
        picture: [3, H, W] in [0, 1], the colours of ``image``, where it has three channels. By
            default ``image`` itself if it lies in [0, 1], else what `denormalize` makes of it
            if that does; else channels are shown one at a time.

    Raises:
        TypeError: ``conv`` is no `torch.nn.Conv2d`, ``image`` no tensor of floats, ``channel``
            no integer.
        ValueError: there is no such channel; ``image`` has other channels than ``conv`` reads,
            is too small or large or holds NaN; ``picture`` does not fit; a padding other than
            zeros.

    Attributes:
        channel: The output channel that is shown; may be set.
        at: Row and column of the feature map at which the kernel stands; may be set.
        value: The feature map's number there, as PyTorch's own convolution computes it.

    Example:
        >>> slider = vh.kernel_slider(vh.normalize(scene.image), model.conv1, channel=1)
        >>> slider.at = 20, 12
        >>> slider
        <KernelSlider: channel 1 at row 20, column 12 shown>
    """

    @clear_errors
    def __init__(
        self, image: Tensor, conv: nn.Conv2d, channel: int = 0, *, picture: Tensor | None = None
    ) -> None:
        self._conv = read_convolution(image, conv, picture)
        self._kernel = self._conv.kernel(whole("channel", channel))
        super().__init__(SliderBox().add_class("vh-slides"))
        self.widget = boxed("vh-view", self.image, self.status)
        self._start()
        self._load(self._kernel)
        self.at = self._kernel.strongest(self._conv.geometry)
        self._listen(self._on_asked, self.image, to="asked")
        self._listen(self._on_move, self.image, to="at")

    @property
    def channel(self) -> int:
        """The output channel that is shown."""
        return self._kernel.channel

    @channel.setter
    def channel(self, channel: int) -> None:
        self._load(self._conv.kernel(whole("channel", channel)))

    @property
    def at(self) -> tuple[int, int]:
        """Row and column of the feature map at which the kernel stands."""
        row, column = self.image.at
        return row, column

    @at.setter
    def at(self, place: tuple[int, int]) -> None:
        self.image.at = list(self._conv.place(place))
        self._on_move()

    @property
    def value(self) -> float:
        """The feature map's number where the kernel stands, computed by PyTorch."""
        return float(self._kernel.map[self.at])

    @property
    def picture(self) -> bytes:
        """A PNG of what is shown, with the whole map."""
        return to_png(draw_kernel(self._conv, self._kernel, self.at, self.image.plane))

    def _start(self) -> None:
        """Hand the page what is the same for all kernels."""
        photo, (low, high, _) = self._conv.photo, self._conv.limits
        self.image.photo = b"" if photo is None else photo.tobytes()
        self.image.plane = 0 if photo is None else -1
        self.image.shape = self._conv.geometry._asdict()
        self.image.limits = [low, high]
        self.image.colours = colour_table(self._conv.colours)
        self.image.signed = colour_table(SIGNED_MAP)

    def _load(self, kernel: Kernel) -> None:
        """Hand the page one kernel's numbers."""
        self._kernel = kernel
        with self.image.hold_sync():
            self.image.planes, self.image.kernel, self.image.map = (
                values.astype("<f4").tobytes()
                for values in (kernel.planes, kernel.weight, kernel.map)
            )
            self.image.bias, self.image.reaches = kernel.bias, kernel.reaches(self._conv.geometry)
            self.image.channel = self.image.asked = kernel.channel
            if self.image.plane >= 0:
                self.image.plane = kernel.heaviest()
        self.last_error = None
        self._on_move()
        self._say("caption", self._conv.sentence(kernel.channel))

    # The page's own changes.

    def _on_asked(self) -> None:
        if self.image.asked != self.channel or self.last_error is not None:
            with self._attempt(f"channel {self.image.asked} could not be shown."):
                self._load(self._conv.kernel(self.image.asked))

    def _on_move(self) -> None:
        row, column = self.at
        self.shown = f"channel {self.channel} at row {row}, column {column}"


kernel_slider = KernelSlider
