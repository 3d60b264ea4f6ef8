"""Load images as tensors, normalize them for a network, and undo it.

An image is float32 in [0, 1], RGB, shape [3, H, W] or [N, 3, H, W]; only `normalize` makes
anything else of it.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import nearest

# The training set's mean and standard deviation per channel, as torchvision's weights use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# A phone's photo has 12 to 50 million pixels. A file of a few kB can claim billions.
MAX_PIXELS = 50_000_000

# Not every format that Pillow knows: for some of them (PostScript) it starts another program.
_FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM")


@clear_errors
def load_image(source: str | os.PathLike[str] | Image.Image, *, size: int | None = None) -> Tensor:
    """Read a photo or drawing into a tensor, the right way up and in RGB.

    The camera's rotation (EXIF) is applied, the first frame of an animation is taken, and what
    is transparent becomes white. Grey, palette, CMYK, 1-bit and 16-bit files all come out as
    RGB in [0, 1]; 16-bit grey keeps its full range (65535 is 1). Colour profiles are ignored.

    Args:
        source: A path, or a Pillow image (which is left as it is).
        size: Make the picture ``size`` × ``size`` pixels: the largest centred square,
            resized (bilinear, antialiased), never squashed. ``None`` keeps every pixel.

    Returns:
        float32 in [0, 1], shape [3, H, W]. `normalize` makes it a network's input.

    Raises:
        FileNotFoundError: there is no such file; the message names the nearest ones.
        IsADirectoryError: the path is a folder.
        TypeError: ``source`` or ``size`` is of a wrong kind.
        ValueError: a web address, an empty, broken or unknown file, too many pixels, a bad size.

    Example:
        >>> load_image("photo.jpg", size=224).shape  # doctest: +SKIP
        torch.Size([3, 224, 224])
    """
    if size is not None:
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"size must be an integer of pixels, not {size!r}.")
        if not 1 <= size <= math.isqrt(MAX_PIXELS):
            raise ValueError(f"size must be 1 to {math.isqrt(MAX_PIXELS)} pixels, not {size}.")
    image = _read(source)
    if 0 in image.size:
        raise ValueError(f"The image has no pixels: it is {image.width} × {image.height}.")
    image = _to_rgb_or_float(image)
    if size is not None:
        # fit() cuts first and resizes then: a 1 × 10000 picture never grows on the way.
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR)
    pixels = np.array(image, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    else:
        pixels /= 255
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@clear_errors
def list_pictures(*sources: str | os.PathLike[str]) -> list[Path]:
    """List the picture files that paths and folders name, for `load_image` to read.

    Args:
        sources: Paths of pictures, which must exist, and folders. Of a folder the files that end
            as a picture does are taken, ``2.png`` before ``10.png``; not what its folders hold.

    Raises:
        FileNotFoundError: there is no such file or folder, or no picture in a folder.
        ValueError: a web address or an empty file.

    Example:
        >>> pictures = [load_image(path, size=224) for path in list_pictures("holiday/")]
    """
    endings = [end for end, kind in Image.registered_extensions().items() if kind in _FORMATS]
    found: list[Path] = []
    for source in sources:
        folder = Path(source).expanduser()
        if not folder.is_dir():
            found.append(_existing_file(os.fspath(source)))
            continue
        inside = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
        pictures = [path for path in inside if path.suffix.lower() in endings]
        if not pictures:
            raise FileNotFoundError(
                f"There is no picture in the folder '{folder}'{_names_in(folder)}. "
                f"Formats that are read here: {', '.join(_FORMATS)}."
            )
        found += sorted(pictures, key=_by_number)
    return found


@clear_errors
def normalize(
    images: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Turn images into what a network takes: ``(images - mean) / std`` for each channel.

    Args:
        images: Floats in [0, 1], shape [..., C, H, W]. Never changed in place.
        mean: One number per channel. ImageNet's by default.
        std: One number per channel, above zero. ImageNet's by default.

    Returns:
        A new tensor of the same shape, dtype and device; gradients flow through it.

    Raises:
        TypeError: ``images`` is not a tensor of floats.
        ValueError: values lie clearly outside [0, 1], or the channels do not match ``mean``.

    Example:
        >>> scenes = load_scenes(limit=4)
        >>> scores = model(normalize(scenes.images))
    """
    shift, scale = _per_channel(images, mean, std)
    if images.numel() and not images.is_meta:
        low, high = (float(value) for value in images.detach().aminmax())
        # A resized or perturbed image may overshoot a little; 0…255 or a second
        # normalisation overshoots by far more.
        if not (low >= -0.1 and high <= 1.1):
            raise ValueError(
                f"normalize needs images in [0, 1], but these go from {low:.3g} to {high:.3g}. "
                + _out_of_range_advice(low, high)
            )
    return (images - shift) / scale


@clear_errors
def denormalize(
    images: Tensor,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Undo `normalize`, so that the image can be looked at: ``images * std + mean``.

    Nothing is clamped: an image that an optimiser has pushed outside [0, 1] stays visible
    as such, and gradients flow through. To draw it, add ``.detach().clamp(0, 1)``.

    Args:
        images: Floats, shape [..., C, H, W]. Never changed in place.
        mean: The mean that `normalize` was given.
        std: The standard deviation that `normalize` was given.

    Returns:
        A new tensor of the same shape, dtype and device.

    Raises:
        TypeError: ``images`` is not a tensor of floats.
        ValueError: the channels do not match ``mean``.

    Example:
        >>> picture = denormalize(images[0]).clamp(0, 1)  # what the network saw, as one sees it
    """
    shift, scale = _per_channel(images, mean, std)
    return images * scale + shift


def _per_channel(
    images: Tensor, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Mean and std as [C, 1, 1] tensors that fit ``images``; errors say what does not fit."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a tensor, not {type(images).__name__}. "
            "load_image(path) makes one from a file."
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images must be floats in [0, 1], but these are {images.dtype}. "
            "If they go from 0 to 255, write images.float() / 255."
        )
    if images.ndim < 3:
        raise ValueError(
            f"images must have the shape [C, H, W] or [N, C, H, W], not {list(images.shape)}."
        )
    if len(mean) != len(std):
        raise ValueError(f"mean has {len(mean)} numbers and std has {len(std)}; they must match.")
    if min(std) <= 0:
        raise ValueError(f"every std must be above zero, but std is {tuple(std)}.")
    channels = images.shape[-3]
    if channels != len(mean):
        hint = ""
        if images.shape[-1] == len(mean):
            hint = " The channels seem to come last: move them with images.movedim(-1, -3)."
        elif channels == 1:
            hint = " For a grey image, repeat its channel: images.expand(..., 3, -1, -1)."
        raise ValueError(
            f"images {list(images.shape)} have {channels} channels (third dimension from the "
            f"end), but mean and std are for {len(mean)}.{hint}"
        )
    shape = (-1, 1, 1)
    shift = torch.tensor(mean, dtype=images.dtype, device=images.device).view(shape)
    scale = torch.tensor(std, dtype=images.dtype, device=images.device).view(shape)
    return shift, scale


def _out_of_range_advice(low: float, high: float) -> str:
    if math.isnan(low):
        return "They contain NaN: look at where they come from."
    if low >= 0 and high > 2:
        return "They look like 0 to 255: divide by 255 first."
    if low < 0:
        return "They look normalised already: normalising twice is a common bug."
    return "Clamp or rescale them first."


def _read(source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """The decoded picture, rotated as the camera says."""
    if isinstance(source, Image.Image):
        return ImageOps.exif_transpose(source)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"load_image takes a path or a Pillow image, not {type(source).__name__}.")
    path = _existing_file(os.fspath(source))
    with path.open("rb") as file:
        return _decode(file, path)


def _decode(file: BinaryIO, path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow only warns where we refuse.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(
                f"{image.width} × {image.height} pixels, and load_image takes at most "
                f"{MAX_PIXELS // 10**6} million"
            )
        image.load()
        return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError(
            f"'{path}' is not a picture in a format that is read here ({', '.join(_FORMATS)}). "
            "Export HEIC, SVG or PDF as PNG or JPEG first."
        ) from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"'{path}' is too large: {error}. Make it smaller first.") from None
    except Exception as error:  # each of Pillow's decoders has its own way to fail
        raise ValueError(
            f"'{path}' is broken or cut off ({error}). Copy or download it again."
        ) from error


def _existing_file(text: str) -> Path:
    """The file that ``text`` names, or an error that says what is there instead."""
    if text.lower().startswith(("http://", "https://", "ftp://", "data:")):
        raise ValueError(
            f"load_image reads files, not web addresses. Download it first: "
            f"urllib.request.urlretrieve({text!r}, 'photo.jpg')."
        )
    path = Path(text).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; name a picture in it{_names_in(path)}.")
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"There is no '{path}': its folder does not exist. Paths count from '{Path.cwd()}'."
            )
        raise FileNotFoundError(f"There is no '{path}'{_names_in(path.parent, path.name)}.")
    if path.stat().st_size == 0:
        raise ValueError(f"'{path}' is empty (0 bytes). Copy or download it again.")
    return path


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort as people do: by the numbers in a name, and where there is none by the letters."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _names_in(folder: Path, wanted: str = "") -> str:
    """'; near it: …' for an error message: the nearest file names, or just some."""
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()]
    if not names:
        return " (that folder holds no files)"
    if near := nearest(wanted, names):
        return f"; the nearest names there: {', '.join(near)}"
    return f"; there are: {', '.join(names[:3])}"


def _to_rgb_or_float(image: Image.Image) -> Image.Image:
    """An 8-bit "RGB" image, or a float "F" image in [0, 1] where 8 bits would lose something."""
    if image.mode.startswith(("I", "F")):
        values = np.array(image, dtype=np.float32)
        transparent = values == image.info.get("transparency")
        if image.mode != "F":  # I;16 and its like; "I" is what Pillow makes of some 16-bit files
            if image.mode == "I" and 1 < values.max() <= 255:
                raise ValueError(
                    "This is a 32-bit image whose values end at 255 or below, so what counts as "
                    "white is unknown. If it is 255, write image.convert('L')."
                )
            values /= np.float32(65535)
        values[transparent] = 1
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"This is a {image.mode!r} image whose values do not fit "
                f"{'[0, 1]' if image.mode == 'F' else '0…65535'}, so what counts as white "
                "is unknown. Read it with numpy and scale it yourself."
            )
        return Image.fromarray(values)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
