"""Activation maximization: make the picture to which a channel, unit or class responds most.

Gradient ascent on the input (Erhan et al. 2009), for many channels in one batch. `channel_means`
measures the same number on real images; their strongest patches are found in `patches`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import (
    Output,
    check_hookable,
    check_images,
    is_float,
    select,
    to_model,
    what_it_holds,
    whole,
)
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.layouts import channels_last, fits
from vizhelpers._utils.messages import callers_level
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.hooks import cut_off_after
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD, normalize
from vizhelpers.layers import get_layer, layer_name

Objective = Literal["channel", "neuron"]
Run = Callable[..., Any]

# At 0 and at 1 the inverse of the sigmoid is infinite, and near them hardly a gradient passes.
_EDGE = 0.02
_STEPS_BETWEEN_BLURS = 4
# Standard deviation of the noise to start from: of the spectrum, and of pixels before the sigmoid.
_SPECTRUM_NOISE, _PIXEL_NOISE = 0.01, 0.1


@dataclass(frozen=True)
class _State:
    """What one step leaves to the next. Replaced as a whole: half a step is never made."""

    values: Tensor  # what makes the pictures
    mean: Tensor  # of the gradients, and of their squares: Adam's
    square: Tensor
    random: Tensor  # where the random numbers are
    history: tuple[Tensor, ...] = ()
    silent: tuple[int, ...] = ()


class ActivationAscent:
    """Pictures on their way to what some channels respond to; `maximize_activation` makes it.

    It can go on at any time, in steps as small as one likes: `run(10)` twice gives the same
    pictures, bit for bit, as `run(20)`. Between the runs the model is as it was before.

    Attributes:
        layer: The layer's name; `""` is the model itself.
        channels: Which of its channels, in the order of the pictures.
    """

    def __init__(
        self,
        goal: _Goal,
        channels: tuple[int, ...],
        canvas: _Canvas,
        start: Tensor,
        *,
        change: _Change,
        random: torch.Generator,
    ) -> None:
        self.layer, self.channels = goal.layer, channels
        self._goal, self._canvas, self._change, self._random = goal, canvas, change, random
        values = start.repeat(len(channels), *[1] * (start.ndim - 1))
        zeros = torch.zeros_like(values)
        self._state = _State(values, zeros, zeros, random.get_state())
        self._measured: tuple[_State, Tensor] | None = None

    @property
    def images(self) -> Tensor:
        """The pictures as they are now: float32 `[K, C, H, W]` in [0, 1], on the CPU."""
        with torch.inference_mode(False), torch.no_grad():
            return self._canvas.images(self._state.values).cpu()

    @property
    def activations(self) -> Tensor:
        """What the pictures reach as they are now, not shifted: float32 `[K]`."""
        if self._measured is None or self._measured[0] is not self._state:
            with cut_off_after(self._goal.model, self.layer) as run:
                self._measure(run)
        assert self._measured
        return self._measured[1]

    @property
    def history(self) -> Tensor:
        """What each step found before it changed the pictures: float32 `[steps, K]`.

        With jitter this is measured on the shifted pictures.
        """
        none = torch.zeros(0, len(self.channels))
        return torch.stack(self._state.history) if self.steps else none

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return len(self._state.history)

    @property
    def silent(self) -> tuple[int, ...]:
        """The channels that no pixel has moved in any step: their pictures are as at the start."""
        return self._state.silent

    @property
    def note(self) -> str:
        """What is to be known about silent channels, in a sentence or two; empty without any."""
        if not self.silent:
            return ""
        which = "channel" if len(self.silent) == 1 else "channels"
        return (
            f"no pixel changes the value of {which} {', '.join(map(str, self.silent))} of "
            f"{self._goal.source}: what is shown is still the picture that was begun with. Take "
            "the layer before the ReLU, or as start= an image that drives it."
        )

    def __repr__(self) -> str:
        few = ", ".join(map(str, self.channels))
        which = f"channels {few}" if len(self.channels) <= 6 else f"{len(self.channels)} channels"
        return f"ActivationAscent({self.layer or 'output'}: {which}; {self.steps} steps)"

    def run(self, steps: int, *, progress: bool = True) -> None:
        """Make more steps, from where the pictures are.

        After an error or an interruption, the steps made until then remain.

        Args:
            steps: How many; 0 changes nothing.
            progress: Show a bar where that takes longer than two seconds.

        Raises:
            TypeError: `steps` is no integer; or no gradient leads from the layer back to
                the picture.
            ValueError: `steps` is negative; or what the layer returns, or its gradient, is not
                finite.

        Warns:
            UserWarning: In the first run, no pixel could move a channel; see `silent`.
        """
        if whole("steps", steps) < 0:
            raise ValueError(f"steps must be 0 or more, got {steps}.")
        if not steps:
            return
        turns, first = range(steps), not self.steps
        with cut_off_after(self._goal.model, self.layer) as run:
            for _ in with_progress(turns, self.layer or "output") if progress else turns:
                self._state = self._step(run, self._state)
            self._measure(run)
        if first and self.note:
            warnings.warn(self.note, stacklevel=callers_level())

    def _step(self, run: Run, state: _State) -> _State:
        change, values = self._change, state.values
        # Before a step, not after it: so the last four steps have their full sharpness.
        if change.blur and self.steps and self.steps % _STEPS_BETWEEN_BLURS == 0:
            values = self._canvas.blurred(values, change.blur)
        values = values.clone().requires_grad_()
        images = self._canvas.images(values)
        if change.jitter:
            self._random.set_state(state.random)
            shift = torch.randint(-change.jitter, change.jitter + 1, (2,), generator=self._random)
            images = images.roll(shift.tolist(), dims=(2, 3))
        reached = self._own(self._goal.measure(run, images))
        gradient = self._gradient(reached, values)
        moved = gradient.flatten(1).any(1).tolist()
        before = state.silent if self.steps else self.channels
        here = zip(self.channels, moved, strict=True)
        silent = tuple(c for c, has_moved in here if not has_moved and c in before)
        # Adam uphill (Kingma and Ba, 2015, arXiv:1412.6980). PyTorch's own loads its compiler.
        count = self.steps + 1
        mean = state.mean.lerp(gradient, 1 - 0.9)
        square = (0.999 * state.square).addcmul(gradient, gradient, value=1 - 0.999)
        size = (square / (1 - 0.999**count)).sqrt() + 1e-8
        values = values.detach().addcdiv(mean, size, value=change.lr / (1 - 0.9**count))
        history = (*state.history, reached.detach().cpu())
        random = self._random.get_state()
        return _State(values * (1 - change.decay), mean, square, random, history, silent)

    def _gradient(self, reached: Tensor, values: Tensor) -> Tensor:
        """Of what was reached, with respect to what makes the pictures."""
        if not reached.requires_grad:
            raise TypeError(
                f"no gradient leads from what {self._goal.source} returns back to the picture: "
                "there is a detach(), torch.no_grad() or argmax() on the way."
            )
        (gradient,) = torch.autograd.grad(reached.sum(), values)
        if not (reached.isfinite().all() and gradient.isfinite().all()):
            raise ValueError(
                f"after {self.steps} steps, {self._goal.source} returns numbers that are not "
                "finite (NaN or infinity), or its gradient is not."
            )
        return gradient

    def _measure(self, run: Run) -> None:
        with torch.no_grad():
            values = self._goal.measure(run, self._canvas.images(self._state.values))
            self._measured = self._state, self._own(values).cpu()

    def _own(self, values: Tensor) -> Tensor:
        """Of each picture the value of the channel that it is made for."""
        return values[list(range(len(values))), list(self.channels)]


@clear_errors
def maximize_activation(
    model: nn.Module,
    layer: str | nn.Module,
    channels: int | Iterable[int],
    *,
    steps: int = 64,
    shape: Sequence[int] = (3, 128, 128),
    start: Tensor | None = None,
    objective: Objective = "channel",
    fourier: bool = True,
    jitter: int = 4,
    blur: float = 0.5,
    decay: float = 0.0,
    lr: float = 0.05,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    output: Output | None = None,
    seed: int = 0,
) -> ActivationAscent:
    """Make for each channel a picture to which it responds as strongly as possible.

    Gradient ascent on the picture (Erhan et al., "Visualizing Higher-Layer Features of a Deep
    Network", 2009), for all channels in one batch and with Adam. What is changed are numbers
    without bounds, of which a sigmoid makes pixels in [0, 1], so that the result is an image
    that the network could be given. The model runs in eval mode and only as far as the layer;
    nothing in it is changed, nor are the global random numbers.

    A channel that no pixel can move, such as one that is silent everywhere behind a ReLU, keeps
    the picture it started with; a warning says so, and `silent` names it. Ask for the layer
    before the ReLU instead.

    Args:
        model: A network that takes one batch of images; they are made on its device.
        layer: Name of a layer, or the layer itself. It returns maps `[N, C, H, W]`, vectors
            `[N, C]` or tokens `[N, T, C]`. `""` is the model itself: its channels are classes.
            Where a layer is called several times, the first call counts.
        channels: Which channels, one picture for each. The start and the shifts are the same
            for all, so that a picture does not depend on which others are made with it.
        steps: How many; `run` makes more of them later.
        shape: Channels, height and width of the pictures. With `start`, those of that image.
        start: `[C, H, W]` in [0, 1], the image to begin with, as in deep dream (Mordvintsev et
            al., "Inceptionism", 2015). By default faint noise on grey.
        objective: `"channel"` for the channel's mean over all positions (or tokens), as in
            FlashTorch; `"neuron"` for the one unit in the middle (row `H // 2`, column
            `W // 2`, token `T // 2`). Terms of Olah et al., "Feature Visualization", 2017,
            doi:10.23915/distill.00007.
        fourier: Change the picture's spectrum, each frequency scaled by 1 / frequency, as in
            Olah et al.; otherwise its pixels.
        jitter: Before every step, shift the picture by up to so many pixels down or up and
            right or left, around the edge (Mordvintsev et al.). 0 for never.
        blur: Standard deviation in pixels of a Gaussian blur, from edge to edge, of the picture
            before its sigmoid. It comes before steps 5, 9, 13 and so on, so that the last steps
            are not blurred (Yosinski et al., "Understanding Neural Networks Through Deep
            Visualization", 2015, arXiv:1506.06579). 0 for never.
        decay: After every step, bring the picture before its sigmoid nearer to grey by this
            share, from 0 to below 1 (Yosinski et al.).
        lr: Adam's step size.
        mean: With which the network's images are normalised, one number per channel.
        std: Likewise.
        output: From what the layer returns to one tensor, if that is a dictionary or a tuple:
            `lambda out: out["logits"]`. It can also put channels that come last where they
            belong: `lambda out: out.movedim(-1, 1)`.
        seed: Of the noise and of the shifts; the same ones on every device.

    Raises:
        TypeError: The model is no module; the layer is neither a name nor a module, or does not
            return one tensor of floats; no gradient leads back from it; a number is not whole.
        ValueError: There is no such layer or channel; the model never calls the layer; it
            returns another shape, or numbers that are not finite; `mean` and `std` do not fit
            the picture; any other option is out of range.

    Example:
        >>> ascent = maximize_activation(model, "layer2", [4, 5], steps=2)
        >>> ascent.images.shape  # ready for show_mosaic
        torch.Size([2, 3, 128, 128])
        >>> times = ascent.activations / channel_means(model, "layer2", images).amax(0)[[4, 5]]
    """
    model, name = _found(model, layer)
    goal = _Goal(model, name, objective, output, partial(normalize, mean=mean, std=std))
    change = _Change(jitter, blur, decay, lr)
    wanted = _integers(channels)
    # Drawn on the CPU, so that every device gets the same numbers.
    random = torch.Generator().manual_seed(whole("seed", seed))
    # The caller may be in inference mode, whose tensors autograd refuses.
    with torch.inference_mode(False), torch.no_grad():
        size = _checked_shape(shape) if start is None else _checked_start(start)
        _check_mean(size[0], mean, std)
        canvas = _Canvas(size, fourier, to_model(model, torch.empty(0)).device)
        values = canvas.noise(random) if start is None else canvas.values_of(start)
        with cut_off_after(model, name) as run:
            count = goal.measure(run, canvas.images(values)).shape[1]
    if wrong := [channel for channel in wanted if not 0 <= channel < count]:
        raise ValueError(f"{goal.source} has channels 0 to {count - 1}, there is no {wrong[0]}.")
    ascent = ActivationAscent(goal, tuple(wanted), canvas, values, change=change, random=random)
    ascent.run(steps)
    return ascent


@clear_errors
def channel_means(
    model: nn.Module,
    layer: str | nn.Module,
    images: Tensor,
    *,
    objective: Objective = "channel",
    output: Output | None = None,
    batch_size: int = 50,
) -> Tensor:
    """Measure what `maximize_activation` maximises, on any images and for all channels.

    So a made picture can be compared with real ones: does it drive the channel further than
    the strongest of them, `channel_means(…).amax(0)`?

    Args:
        model: As for `maximize_activation`; so are `layer`, `objective` and `output`.
        layer: Which layer.
        images: `[N, C, H, W]` as the network takes them, that is, already normalised.
        objective: `"channel"` or `"neuron"`.
        output: From what the layer returns to one tensor.
        batch_size: How many images at a time.

    Returns:
        float32 `[N, channels]`, on the CPU.

    Raises:
        TypeError: The model is no module, the images are no tensor of floats, or the layer does
            not return one.
        ValueError: There is no such layer, or the model never calls it; the images are no
            batch; the layer returns another shape; an option is out of range.
    """
    model, name = _found(model, layer)
    check_images(model, images)
    if whole("batch_size", batch_size) < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}.")
    goal = _Goal(model, name, objective, output)
    with cut_off_after(model, name) as run, torch.no_grad():
        batches = with_progress(torch.split(images, batch_size), name or "output")
        return torch.cat([goal.measure(run, batch).cpu() for batch in batches])


@dataclass(frozen=True)
class _Goal:
    """What is to grow: a number for each channel of what a layer returns."""

    model: nn.Module
    layer: str
    objective: Objective
    output: Output | None
    prepare: Callable[[Tensor], Tensor] = Tensor.clone  # the model may write into its input

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise ValueError(f"objective must be 'channel' or 'neuron', got {self.objective!r}.")

    @property
    def source(self) -> str:
        """The layer, in messages."""
        return repr(self.layer) if self.layer else "the model"

    def measure(self, run: Run, images: Tensor) -> Tensor:
        """The objective for every image and channel: float32 [N, C]."""
        maps = select(run(to_model(self.model, self.prepare(images))), self.output)
        source = "what output= makes of it" if self.output else self.source
        if not is_float(maps):
            kind = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
            holds = what_it_holds(maps, "it is")
            raise TypeError(f"{source} is or returns {kind}, not one tensor of floats. {holds}")
        if maps.ndim not in (2, 3, 4) or len(maps) != len(images):
            raise ValueError(
                f"for {len(images)} images, {source} is or returns {list(maps.shape)}; this needs "
                "maps [N, C, H, W], vectors [N, C] or tokens [N, T, C]."
            )
        if maps.ndim == 3 or (maps.ndim == 4 and not self.output and self._last(maps, images)):
            maps = maps.movedim(-1, 1)
        if self.objective == "neuron":
            return maps[(..., *(side // 2 for side in maps.shape[2:]))].float()
        return maps.flatten(2).mean(2).float() if maps.ndim > 2 else maps.float()

    def _last(self, maps: Tensor, images: Tensor) -> bool:
        """Whether maps have their channels last."""
        last = channels_last(get_layer(self.model, self.layer), maps)
        first_fits, last_fits = (fits(maps.shape[i : i + 2], images.shape[2:]) for i in (2, 1))
        if last is None and last_fits and not first_fits:
            raise ValueError(
                f"{self.source} returns {list(maps.shape)}: the channels may come first or last. "
                "Say output=lambda out: out.movedim(-1, 1) if last, output=lambda out: out if "
                "first."
            )
        return bool(last)


@dataclass(frozen=True)
class _Change:
    """What happens to the pictures in a step."""

    jitter: int
    blur: float
    decay: float
    lr: float

    def __post_init__(self) -> None:
        if whole("jitter", self.jitter) < 0:
            raise ValueError(f"jitter must be 0 pixels or more, got {self.jitter}.")
        if not 0 <= self.blur < math.inf:
            raise ValueError(f"blur must be 0 pixels or more, got {self.blur}.")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be a share from 0 to below 1, got {self.decay}.")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be above 0, got {self.lr}.")


class _Canvas:
    """How numbers without bounds, pixels or a spectrum, become pictures in [0, 1]."""

    def __init__(self, size: tuple[int, ...], fourier: bool, device: torch.device) -> None:
        self.size, self.fourier, self.device = size, fourier, device
        rows, columns = torch.fft.fftfreq(size[1])[:, None], torch.fft.rfftfreq(size[2])
        # In cycles per pixel, [H, W // 2 + 1]: a real picture needs only half of the plane.
        self._frequencies = (rows**2 + columns**2).sqrt().to(device)
        self._scale = 0.25 / self._frequencies.clamp(min=1 / max(size[1:]))

    def images(self, values: Tensor) -> Tensor:
        """The pictures themselves, [K, C, H, W]."""
        if not self.fourier:
            return values.sigmoid()
        spectrum = torch.view_as_complex(values) * self._scale
        return torch.fft.irfft2(spectrum, s=self.size[1:], norm="ortho").sigmoid()

    def blurred(self, values: Tensor, std: float) -> Tensor:
        """Their spectrum times that of a Gaussian."""
        kept = torch.exp(-2 * (math.pi * std * self._frequencies) ** 2)
        if self.fourier:
            return values * kept[:, :, None]
        return torch.fft.irfft2(torch.fft.rfft2(values) * kept, s=self.size[1:])

    def noise(self, random: torch.Generator) -> Tensor:
        """Something to start from, for one picture."""
        if not self.fourier:
            return (torch.randn(1, *self.size, generator=random) * _PIXEL_NOISE).to(self.device)
        shape = 1, *self._frequencies.expand(self.size[0], -1, -1).shape, 2
        return (torch.randn(shape, generator=random) * _SPECTRUM_NOISE).to(self.device)

    def values_of(self, image: Tensor) -> Tensor:
        """Those of a given image [C, H, W], as exactly as the sigmoid allows."""
        logits = image.detach().to(self.device).float().clamp(_EDGE, 1 - _EDGE).logit()[None]
        if not self.fourier:
            return logits
        spectrum = torch.fft.rfft2(logits, norm="ortho") / self._scale
        return torch.view_as_real(spectrum).clone()


def _found(model: nn.Module, layer: str | nn.Module) -> tuple[nn.Module, str]:
    """The model that torch.compile was given, and the layer's name in it."""
    inner = check_hookable(model)
    if layer is model:
        return inner, ""
    given = layer.removeprefix("_orig_mod").removeprefix(".") if isinstance(layer, str) else layer
    module = get_layer(inner, given)
    return inner, given if isinstance(given, str) else layer_name(inner, module)


def _checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    size = tuple(whole("each number in shape", side) for side in shape)
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"shape must be (channels, height, width), got {tuple(shape)}.")
    return size


def _checked_start(start: Tensor) -> tuple[int, ...]:
    if not is_float(start):
        kind = start.dtype if isinstance(start, Tensor) else type(start).__name__
        raise TypeError(f"start must be a tensor [C, H, W] of floats in [0, 1], got {kind}.")
    if start.ndim != 3 or not start.numel():
        raise ValueError(
            f"start must be one image [C, H, W], got {list(start.shape)}. Of a batch, take one: "
            "images[0]."
        )
    low, high = (float(value) for value in start.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"start must be in [0, 1], but it goes from {low:.3g} to {high:.3g}. It is the image "
            "before it is normalised."
        )
    return tuple(start.shape)


def _check_mean(channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) == len(std) == channels:
        return
    raise ValueError(
        f"the pictures have {channels} channels, mean has {len(mean)} numbers and std {len(std)} "
        "(by default ImageNet's, for 3). Give what the network's images are normalised with, one "
        f"number per channel; if nothing, mean=[0] * {channels}, std=[1] * {channels}."
    )


def _integers(channels: Any) -> list[int]:
    values = channels.tolist() if hasattr(channels, "tolist") else channels
    several = isinstance(values, Iterable) and not isinstance(values, str)
    numbers = [whole("a channel", value) for value in (values if several else [values])]
    if not numbers:
        raise ValueError("no channels were asked for.")
    return numbers
