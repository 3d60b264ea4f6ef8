"""Activation maximization: make the picture to which a channel, unit or class responds most.

Gradient ascent on the input (Erhan et al. 2009), for many channels in one batch. `channel_means`
measures the same number on real images; their strongest patches are found in `patches`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import (
    Output,
    check_images,
    check_model,
    is_float,
    select,
    to_model,
    what_it_holds,
    whole,
)
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
        model: nn.Module,
        layer: str | nn.Module,
        channels: int | Iterable[int],
        *,
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
    ) -> None:
        self._model, self.layer = _found(model, layer)
        _check_options(objective, jitter=jitter, blur=blur, decay=decay, lr=lr)
        self._jitter, self._blur, self._decay = jitter, blur, decay
        self._objective, self._output, self._mean, self._std = objective, output, mean, std
        # Drawn on the CPU, so that every device gets the same numbers.
        self._random = torch.Generator().manual_seed(whole("seed", seed))
        wanted = _whole_numbers(channels)
        # The caller may be in inference mode, whose tensors autograd refuses.
        with torch.inference_mode(False), torch.no_grad():
            first = _first_picture(shape, start, fourier, self._random)
            _check_mean(first.size, mean, std)
            first = first.repeated(1, next(self._model.parameters(), first.values))
            with cut_off_after(self._model, self.layer) as run:
                values = self._measure(run, first.images())[0].detach()
            self.channels = _within(wanted, len(values), self.layer)
            self._picture = first.repeated(len(self.channels), first.values)
            self._optimizer = _Adam(self._picture.values, lr)
        self._measured: Tensor | None = values[list(self.channels)].cpu()
        self._history: list[Tensor] = []

    @property
    def images(self) -> Tensor:
        """The pictures as they are now: float32 `[K, C, H, W]` in [0, 1], on the CPU."""
        with torch.inference_mode(False), torch.no_grad():
            return self._picture.images().cpu()

    @property
    def activations(self) -> Tensor:
        """What the pictures reach as they are now, not shifted: float32 `[K]`."""
        if self._measured is None:  # the last run was interrupted
            with cut_off_after(self._model, self.layer) as run:
                self._measured = self._reached(run)
        return self._measured

    @property
    def history(self) -> Tensor:
        """What each step found before it changed the pictures: float32 `[steps, K]`.

        With jitter this is measured on the shifted pictures.
        """
        return torch.stack(self._history) if self._history else torch.zeros(0, len(self.channels))

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return len(self._history)

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
        """
        if whole("steps", steps) < 0:
            raise ValueError(f"steps must be 0 or more, got {steps}.")
        if not steps:
            return
        turns = range(steps)
        with cut_off_after(self._model, self.layer) as run:
            self._measured = None
            for _ in with_progress(turns, self.layer or "output") if progress else turns:
                self._step(run)
            self._measured = self._reached(run)

    def _step(self, run: Run) -> None:
        picture = self._picture
        # Before a step, not after it: so the last four steps have their full sharpness.
        if self._blur and self.steps and self.steps % _STEPS_BETWEEN_BLURS == 0:
            picture.blur(self._blur)
        images = picture.images()
        if self._jitter:
            shift = torch.randint(-self._jitter, self._jitter + 1, (2,), generator=self._random)
            images = images.roll(shift.tolist(), dims=(2, 3))
        values = self._own(self._measure(run, images))
        self._optimizer.step(self._uphill(values))
        if self._decay:
            picture.shrink(1 - self._decay)
        self._history.append(values.detach().cpu())

    def _uphill(self, values: Tensor) -> Tensor:
        """The gradient of the values with respect to what makes the pictures."""
        layer = repr(self.layer) if self.layer else "the model"
        if not values.requires_grad:
            raise TypeError(
                f"no gradient leads from what {layer} returns back to the picture: there is a "
                "detach(), torch.no_grad() or argmax() on the way."
            )
        (gradient,) = torch.autograd.grad(values.sum(), self._picture.values)
        if not (values.isfinite().all() and gradient.isfinite().all()):
            raise ValueError(
                f"after {self.steps} steps, {layer} returns numbers that are not finite (NaN or "
                "infinity), or its gradient is not."
            )
        return gradient

    def _measure(self, run: Run, images: Tensor) -> Tensor:
        given = to_model(self._model, normalize(images, self._mean, self._std))
        return _means(run(given), len(images), self.layer, self._objective, self._output)

    def _reached(self, run: Run) -> Tensor:
        with torch.no_grad():
            return self._own(self._measure(run, self._picture.images())).cpu()

    def _own(self, values: Tensor) -> Tensor:
        """Of each picture the value of the channel that it is made for."""
        return values[list(range(len(values))), list(self.channels)]


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
    the picture it started with. Ask for the layer before the ReLU instead.

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
        >>> ascent = maximize_activation(model, "features.8", [40, 5])
        >>> show_mosaic(ascent.images)
        >>> ascent.activations / channel_means(model, "features.8", images).amax(0)[[40, 5]]
    """
    ascent = ActivationAscent(
        model,
        layer,
        channels,
        shape=shape,
        start=start,
        objective=objective,
        fourier=fourier,
        jitter=jitter,
        blur=blur,
        decay=decay,
        lr=lr,
        mean=mean,
        std=std,
        output=output,
        seed=seed,
    )
    ascent.run(steps)
    return ascent


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
    _check_options(objective)
    check_images(model, images)
    if whole("batch_size", batch_size) < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}.")
    parts = []
    with cut_off_after(model, name) as run, torch.no_grad():
        for batch in with_progress(torch.split(images, batch_size), name or "output"):
            # A copy: the model may write into its input.
            answer = run(to_model(model, batch.clone()))
            parts.append(_means(answer, len(batch), name, objective, output).cpu())
    return torch.cat(parts)


def _means(
    answer: Any, count: int, layer: str, objective: Objective, output: Output | None
) -> Tensor:
    """The objective for every image and channel: float32 [N, C]."""
    maps = select(answer, output)
    source = "what output= makes of it" if output else repr(layer) if layer else "the model"
    if not is_float(maps):
        raise TypeError(_no_tensor(maps, source))
    if maps.ndim not in (2, 3, 4) or len(maps) != count:
        raise ValueError(
            f"for {count} images, {source} is or returns {list(maps.shape)}; this needs maps "
            "[N, C, H, W], vectors [N, C] or tokens [N, T, C]."
        )
    maps = maps.movedim(-1, 1) if maps.ndim == 3 else maps
    if objective == "neuron":
        return maps[(..., *(side // 2 for side in maps.shape[2:]))].float()
    return maps.flatten(2).mean(2).float() if maps.ndim > 2 else maps.float()


def _no_tensor(value: Any, source: str) -> str:
    if isinstance(value, Tensor):
        return f"{source} is or returns a tensor of {value.dtype}, which has no gradient."
    holds = what_it_holds(value, "it is")
    return f"{source} is or returns {type(value).__name__}, not one tensor. {holds}"


class _Picture:
    """Pictures in [0, 1] made from numbers without bounds: pixels, or a spectrum."""

    def __init__(self, values: Tensor, size: tuple[int, ...], fourier: bool) -> None:
        self.values, self.size, self.fourier = values, size, fourier
        height, width = size[1:]
        rows = torch.fft.fftfreq(height)[:, None]
        columns = torch.fft.rfftfreq(width)
        # In cycles per pixel, [H, W // 2 + 1]: a real picture needs only half of the plane.
        self._frequencies = (rows**2 + columns**2).sqrt().to(values.device)
        lowest = 1 / max(height, width)
        self._scale = 0.25 / self._frequencies.clamp(min=lowest)

    def repeated(self, count: int, like: Tensor) -> _Picture:
        """The same picture several times, as something to optimise, on the device of `like`."""
        copies = self.values.detach().to(like.device).repeat(count, *[1] * (self.values.ndim - 1))
        return _Picture(copies.requires_grad_(), self.size, self.fourier)

    def images(self) -> Tensor:
        """The pictures themselves, [K, C, H, W]."""
        if not self.fourier:
            return self.values.sigmoid()
        spectrum = torch.view_as_complex(self.values) * self._scale
        return torch.fft.irfft2(spectrum, s=self.size[1:], norm="ortho").sigmoid()

    def blur(self, std: float) -> None:
        """Multiply the spectrum by that of a Gaussian."""
        kept = torch.exp(-2 * (math.pi * std * self._frequencies) ** 2)
        with torch.no_grad():
            if self.fourier:
                self.values.mul_(kept[:, :, None])
            else:
                spectrum = torch.fft.rfft2(self.values) * kept
                self.values.copy_(torch.fft.irfft2(spectrum, s=self.size[1:]))

    def shrink(self, share: float) -> None:
        """Bring the pictures nearer to grey, where all values are 0."""
        with torch.no_grad():
            self.values.mul_(share)

    @classmethod
    def of(cls, image: Tensor, fourier: bool) -> _Picture:
        """One given image [C, H, W], as exactly as the sigmoid allows."""
        logits = image.detach().cpu().float().clamp(_EDGE, 1 - _EDGE).logit()[None]
        picture = cls(logits, tuple(image.shape), fourier)
        if fourier:
            spectrum = torch.fft.rfft2(logits, norm="ortho") / picture._scale
            picture.values = torch.view_as_real(spectrum).clone()
        return picture


class _Adam:
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980) with PyTorch's numbers, uphill.

    PyTorch's own loads its compiler at its first use, which takes seconds.
    """

    def __init__(self, values: Tensor, lr: float) -> None:
        self._values, self._lr, self._steps = values, lr, 0
        self._mean, self._square = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, gradient: Tensor, fade: float = 0.9, fade_square: float = 0.999) -> None:
        """Change the values a little in the direction of the gradient."""
        self._steps += 1
        self._mean.lerp_(gradient, 1 - fade)
        self._square.mul_(fade_square).addcmul_(gradient, gradient, value=1 - fade_square)
        # Both began at zero, which these two divisions make up for.
        rate = self._lr / (1 - fade**self._steps)
        size = (self._square / (1 - fade_square**self._steps)).sqrt_().add_(1e-8)
        self._values.addcdiv_(self._mean, size, value=rate)


def _first_picture(
    shape: Sequence[int], start: Tensor | None, fourier: bool, generator: torch.Generator
) -> _Picture:
    if start is not None:
        _check_start(start)
        return _Picture.of(start, fourier)
    size = tuple(whole("each number in shape", side) for side in shape)
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"shape must be (channels, height, width), got {tuple(shape)}.")
    if not fourier:
        return _Picture(torch.randn(1, *size, generator=generator) * _PIXEL_NOISE, size, False)
    channels, height, width = size
    spectrum = torch.randn(1, channels, height, width // 2 + 1, 2, generator=generator)
    return _Picture(spectrum * _SPECTRUM_NOISE, size, True)


def _check_start(start: Tensor) -> None:
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


def _found(model: nn.Module, layer: str | nn.Module) -> tuple[nn.Module, str]:
    """The model that torch.compile was given, and the layer's name in it."""
    check_model(model)
    inner: nn.Module = getattr(model, "_orig_mod", model)
    if isinstance(layer, str):
        name = layer.removeprefix("_orig_mod").removeprefix(".")
    else:
        name = "" if layer is model else layer_name(inner, get_layer(inner, layer))
    get_layer(inner, name)
    return inner, name


def _check_options(
    objective: str, *, jitter: int = 0, blur: float = 0, decay: float = 0, lr: float = 1
) -> None:
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be 'channel' or 'neuron', got {objective!r}.")
    if whole("jitter", jitter) < 0:
        raise ValueError(f"jitter must be 0 pixels or more, got {jitter}.")
    if not 0 <= blur < math.inf:
        raise ValueError(f"blur must be 0 pixels or more, got {blur}.")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be a share from 0 to below 1, got {decay}.")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be above 0, got {lr}.")


def _check_mean(size: tuple[int, ...], mean: Sequence[float], std: Sequence[float]) -> None:
    channels = size[0]
    if len(mean) == len(std) == channels:
        return
    raise ValueError(
        f"the pictures have {channels} channels, mean has {len(mean)} numbers and std {len(std)} "
        "(by default ImageNet's, for 3). Give what the network's images are normalised with, one "
        f"number per channel; if nothing, mean=[0] * {channels}, std=[1] * {channels}."
    )


def _whole_numbers(channels: Any) -> list[int]:
    values = channels.tolist() if hasattr(channels, "tolist") else channels
    several = isinstance(values, Iterable) and not isinstance(values, str)
    numbers = [whole("a channel", value) for value in (values if several else [values])]
    if not numbers:
        raise ValueError("no channels were asked for.")
    return numbers


def _within(channels: list[int], count: int, layer: str) -> tuple[int, ...]:
    if wrong := [channel for channel in channels if not 0 <= channel < count]:
        raise ValueError(
            f"{repr(layer) if layer else 'the model'} has channels 0 to {count - 1}, there is no "
            f"{wrong[0]}."
        )
    return tuple(channels)
