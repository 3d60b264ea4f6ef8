"""Pictures for the explorer: read what is given, prepare it for the model, see what that sees."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from vizhelpers._utils.checks import to_model
from vizhelpers.images import denormalize, list_pictures, load_image, normalize
from vizhelpers.state import preserve_state

Transform = Callable[[Tensor], Tensor]
USUAL_SIDE = 224
MOST = 32  # pictures to choose from


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was given.

    Attributes:
        name: What to call it.
        pixels: float [C, H, W] in [0, 1], with one channel or three.
        code: The Python that makes it again.
    """

    name: str
    pixels: Tensor
    code: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture on its way into the model.

    Attributes:
        batch: [1, C, h, w], as the model takes it.
        image: float32 [3, h, w] in [0, 1], what the model sees of it, for our eyes.
        mean: Of each channel, what was subtracted; None where that cannot be said.
        std: Of each channel, by what it was divided; likewise.
        code: Lines of Python that make `image` and `batch`.
    """

    batch: Tensor
    image: Tensor
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    code: str


@dataclass(frozen=True)
class Preparation:
    """How pictures are brought into the form that a model takes.

    Attributes:
        function: From a picture [C, H, W] in [0, 1] to an input [C, h, w].
        code: The same as Python, with `image` in it.
        note: What is to be known about it; empty where it was given.
        rgb: Whether it needs three channels.
    """

    function: Transform
    code: str
    note: str = ""
    rgb: bool = True


def side_of(model: nn.Module, images: Any) -> int:
    """Height and width to which picture files are cut, unless it is given."""
    first = images[0] if isinstance(images, list | tuple) and images else images
    if isinstance(first, Tensor) and first.ndim in (3, 4) and first.shape[-1] == first.shape[-2]:
        return first.shape[-1]
    known = [
        getattr(getattr(model, "info", None), "input_size", None),
        (getattr(model, "pretrained_cfg", None) or {}).get("input_size", [None])[-1],
        getattr(model, "image_size", None),
    ]
    return next((side for side in known if isinstance(side, int)), USUAL_SIDE)


def read_pictures(images: Any, size: int, name: str = "images") -> list[Picture]:
    """Read a batch, a list, one picture, a path or a folder; of more than `MOST` one too many.

    Args:
        images: What was given.
        size: Height and width of what comes from files.
        name: What it is called where the explorer is made.

    Raises:
        TypeError: It is none of these.
        ValueError: There are none, or they are no pictures; the message says what to do.
        FileNotFoundError: A path leads nowhere.
    """
    given = enumerate(images) if isinstance(images, list | tuple) else [(None, images)]
    each = (_read(one, size, name if k is None else f"{name}[{k}]") for k, one in given)
    found = list(islice(chain.from_iterable(each), MOST + 1))
    if not found:
        raise ValueError(f"there are no pictures in {name}: give one or more.")
    twice = len({picture.name for picture in found}) < len(found)
    if not twice:
        return found
    return [Picture(f"{k}: {p.name}", p.pixels, p.code) for k, p in enumerate(found)]


def _read(given: Any, size: int, name: str) -> Iterator[Picture]:
    if isinstance(given, str | os.PathLike):
        for path in list_pictures(given):
            code = f"vh.load_image({json.dumps(str(path), ensure_ascii=False)}, size={size})"
            yield Picture(path.name, load_image(path, size=size), code)
    elif isinstance(given, Image.Image):
        label = Path(getattr(given, "filename", "") or name).name
        yield Picture(label, load_image(given, size=size), f"vh.load_image({name}, size={size})")
    elif isinstance(given, Tensor) and given.ndim == 4:
        for k, pixels in enumerate(given):
            yield _checked(pixels, f"{name}[{k}]")
    elif isinstance(given, Tensor):
        yield _checked(given, name)
    else:
        raise TypeError(
            "images are a tensor [N, 3, H, W] in [0, 1], a list of pictures, a path or a folder; "
            f"{name} is {type(given).__name__}."
        )


def _checked(pixels: Tensor, name: str) -> Picture:
    """A tensor as a picture, or an error that says what to do about it."""
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or not pixels.numel():
        hint = ""
        if pixels.shape[-1:] == (3,):
            hint = " Do the channels come last? .movedim(-1, 0)."
        elif pixels.ndim == 3 and pixels.numel():
            hint = f" {other_channels(len(pixels))}"
        raise ValueError(
            f"a picture is [3, H, W], or [1, H, W] in grey; {name} is {list(pixels.shape)}.{hint}"
        )
    if pixels.dtype == torch.uint8:
        return Picture(name, pixels.detach().cpu() / 255, f"{name} / 255")
    low, high = float(pixels.min()), float(pixels.max())
    if not (pixels.is_floating_point() and low >= -0.001 and high <= 1.001):
        raise ValueError(
            f"a picture lies in [0, 1], but {name} goes from {low:.3g} to {high:.3g}. Give "
            "pictures as one sees them: the explorer normalises them for the network itself. "
            "vh.denormalize(images).clamp(0, 1) undoes vh.normalize."
        )
    clean = pixels.detach().cpu().float().clamp(0, 1)
    return Picture(name, clean, name if torch.equal(clean, pixels) else f"{name}.clamp(0, 1)")


def choose_preparation(
    model: nn.Module, transform: Transform | None, names: tuple[str, str], channels: int
) -> Preparation:
    """Find out how a model wants its pictures: it is given, the model says so, or ImageNet's way.

    Args:
        model: Any module.
        transform: What was given.
        names: What model and transform are called where the explorer is made.
        channels: Of the pictures, for networks that begin with no convolution.
    """
    model_name, transform_name = names
    if transform is not None:
        return Preparation(transform, f"{transform_name}(image)", rgb=False)
    of_info = getattr(getattr(model, "info", None), "transform", None)
    if of_info is not None:
        return Preparation(of_info, f"{model_name}.info.transform(image)")
    if channels_of(model, channels) == 1:
        return Preparation(
            lambda image: image.mean(0, keepdim=True),
            "image.mean(0, keepdim=True)",
            "The network takes one channel: pictures become grey, from 0 to 1. If it was trained "
            "otherwise, say transform=.",
            rgb=False,
        )
    cfg = getattr(model, "pretrained_cfg", None) or {}
    if "mean" in cfg and "std" in cfg:
        mean, std = tuple(cfg["mean"]), tuple(cfg["std"])
        return Preparation(
            lambda image: normalize(image, mean, std),
            f"vh.normalize(image, {mean}, {std})",
            "Pictures are normalised as timm's settings of this network say.",
        )
    return Preparation(
        normalize,
        "vh.normalize(image)",
        "The network does not say how it wants pictures: they are normalised with ImageNet's "
        "mean and standard deviation, by vh.normalize. If it was trained otherwise, say "
        "transform=.",
    )


def channels_of(model: nn.Module, otherwise: int) -> int:
    """How many channels the first convolution takes; as many as said where there is none."""
    convs = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    first = next(convs, None)
    return otherwise if first is None else first.in_channels


def other_channels(count: int) -> str:
    """What to do about a network whose pictures nobody can look at."""
    return (
        f"For a network of {count} channels, put a layer before it that makes them of three: "
        f"nn.Sequential(first, model), where first may be nn.Conv2d(3, {count}, 1)."
    )


def prepare(model: nn.Module, preparation: Preparation, picture: Picture) -> Prepared:
    """Bring a picture into the model's form, and find out what the model sees of it.

    What the transform does to black and to white tells its mean and standard deviation.

    Raises:
        TypeError: The transform does not return a tensor.
        ValueError: It does not return one input [C, h, w].
    """
    grey = preparation.rgb and len(picture.pixels) == 1
    pixels = picture.pixels.expand(3, -1, -1) if grey else picture.pixels
    with preserve_state(model), torch.no_grad():  # a transform may draw random numbers
        given, black, white = (
            _transformed(preparation.function, some)
            for some in (pixels, torch.zeros_like(pixels), torch.ones_like(pixels))
        )
    mean, std = _scale(black, white)
    if mean is None or std is None:
        low, high = given.aminmax()
        image = (given - low) / (high - low)
        seen = "(batch[0] - batch.min()) / (batch.max() - batch.min())"
    else:
        image = denormalize(given, mean, std).clamp(0, 1)
        seen = f"vh.denormalize(batch[0], {mean}, {std}).clamp(0, 1)"
    if len(given) == 1:
        image, seen = image.expand(3, -1, -1), f"({seen}).expand(3, -1, -1)"
    if image.shape == pixels.shape and torch.allclose(image, pixels, atol=1e-4):
        image, seen = pixels, ""
    batch = to_model(model, given[None])
    to = "" if batch.device.type == "cpu" else f".to({str(batch.device)!r})"
    to += "" if batch.dtype == torch.float32 else f".to({batch.dtype})"
    lines = [
        f"image = {picture.code}" + ".expand(3, -1, -1)" * grey,
        f"batch = {preparation.code}[None]{to}",
        *([f"image = {seen}"] if seen else []),
    ]
    return Prepared(batch, image, mean, std, "\n".join(lines))


def _transformed(function: Transform, pixels: Tensor) -> Tensor:
    made = function(pixels.clone())
    if not isinstance(made, Tensor):
        raise TypeError(f"transform must return a tensor [C, h, w], not {type(made).__name__}.")
    if made.ndim != 3 or made.shape[0] not in (1, 3):
        raise ValueError(
            f"transform must make one input [C, h, w] of a picture {list(pixels.shape)}, with one "
            f"channel or three; it made {list(made.shape)}."
        )
    return made.detach().cpu().float()


def _scale(black: Tensor, white: Tensor) -> tuple[tuple[float, ...], ...] | tuple[None, None]:
    """Mean and standard deviation of each channel; None where the pixels do not agree on them."""
    spread = (white - black).flatten(1)
    low = black.flatten(1)
    even = all(
        torch.allclose(t, t[:, :1].expand_as(t), atol=1e-5, equal_nan=False) for t in (spread, low)
    )
    if not even or not (spread > 0).all():
        return None, None
    std = 1 / spread[:, 0]
    mean = -low[:, 0] * std
    return tuple(tuple(round(value, 6) + 0.0 for value in some.tolist()) for some in (mean, std))
