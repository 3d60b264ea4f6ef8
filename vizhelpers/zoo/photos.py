"""Six photos that need no download: a cat, an espresso, a rocket, a motorcycle, a palace, a flower.

Where the licence allows it their pixels are shipped, so that no number in a lesson depends on how
a library decodes JPEG. A photo of your own is read by `vizhelpers.images.load_image`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import ClearKeyError, did_you_mean
from vizhelpers._utils.paths import DATA, make_writable, written_beside
from vizhelpers.images import load_image

PHOTOS = DATA / "photos"
SIZE = 224


class _Photo(NamedTuple):
    package: str
    file: str
    box: tuple[int, int, int, int]  # left, top, right, bottom in the original's pixels
    label: int  # ImageNet's class of what it shows; -1 for none
    credit: str
    licence: str
    shipped: bool = True


# Squares that show the whole object, where there is space for it, and in which the network's
# first answer is clear: a few pixels further, its probability can be half of that.
_PHOTOS = {
    "cat": _Photo(
        package="scikit-image",
        file="skimage/data/chelsea.png",
        box=(25, 0, 325, 300),
        label=285,  # Egyptian cat
        credit="Stefan van der Walt",
        licence="CC0 1.0",
    ),
    "espresso": _Photo(
        package="scikit-image",
        file="skimage/data/coffee.png",
        box=(80, 0, 480, 400),
        label=967,  # espresso
        credit="Rachel Michetti",
        licence="CC0 1.0",
    ),
    "rocket": _Photo(
        package="scikit-image",
        file="skimage/data/rocket.jpg",
        box=(90, 30, 474, 414),
        label=657,  # missile
        credit="SpaceX",
        licence="public domain",
    ),
    "motorcycle": _Photo(
        package="scikit-image",
        file="skimage/data/motorcycle_left.png",
        box=(120, 0, 620, 500),
        label=665,  # moped
        credit="Middlebury Stereo 2014, Scharstein et al.",
        licence="none stated",
        shipped=False,
    ),
    "palace": _Photo(
        package="scikit-learn",
        file="sklearn/datasets/images/china.jpg",
        box=(0, 16, 380, 396),
        label=698,  # palace
        credit="danielbuechele on Flickr",
        licence="CC BY 2.0",
    ),
    "flower": _Photo(
        package="scikit-learn",
        file="sklearn/datasets/images/flower.jpg",
        box=(100, 60, 440, 400),
        label=-1,
        credit="vultilion on Flickr",
        licence="CC BY 2.0",
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class PhotoBatch:
    """Photos: each field holds the same ones in the same order.

    Attributes:
        images: float32 `[N, 3, 224, 224]` in [0, 1], RGB.
        labels: int64 `[N]`, the ImageNet class of what is seen. ImageNet has no better word than
            "missile" for the rocket and "moped" for the motorcycle; -1 for the flower, a dahlia,
            which is none of its 1,000 classes.
        names: such as "cat".
        sources: who took each, and which package has the original.
        licences: under which it may be used.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]
    sources: tuple[str, ...]
    licences: tuple[str, ...]

    def __getitem__(self, name: str | int) -> Tensor:
        """The photo of that name, or of that place in `names`, [3, 224, 224].

        Raises:
            KeyError: there is none of that name here.
            IndexError: there are fewer.
        """
        if isinstance(name, int):
            return self.images[name]
        if name not in self.names:
            raise ClearKeyError(f"there is no photo {name!r} here, only {', '.join(self.names)}.")
        return self.images[self.names.index(name)]

    def __repr__(self) -> str:
        return f"PhotoBatch({', '.join(self.names)})"


@clear_errors
def load_photos(*names: str) -> PhotoBatch:
    """Load real photos, 224×224, for a network that was trained on ImageNet.

    Args:
        names: Which ones, in this order: "cat", "espresso", "rocket", "motorcycle", "palace",
            "flower". All of them by default.

    Raises:
        ValueError: There is no photo of that name.
        FileNotFoundError: A file or package is missing; the message names it.

    Example:
        >>> load_photos("cat", "espresso").images.shape
        torch.Size([2, 3, 224, 224])
    """
    for name in names:
        if name not in _PHOTOS:
            there = f"There are {', '.join(_PHOTOS)}."
            raise ValueError(f"no photo {name!r}. {did_you_mean(name, _PHOTOS)} {there}")
    names = names or tuple(_PHOTOS)
    chosen = [_PHOTOS[name] for name in names]
    return PhotoBatch(
        images=torch.stack([_load(name) for name in names]),
        labels=torch.tensor([photo.label for photo in chosen]),
        names=names,
        sources=tuple(f"{photo.credit}, in {photo.package}" for photo in chosen),
        licences=tuple(photo.licence for photo in chosen),
    )


@clear_errors
def write_photos(folder: str | Path = PHOTOS) -> None:
    """Cut the photos out of the packages' files again, and write those that may be shipped."""
    make_writable(Path(folder))
    for name, photo in _PHOTOS.items():
        if photo.shipped:
            pixels = (_cut(photo) * 255).round().byte().permute(1, 2, 0)
            with written_beside(Path(folder, f"{name}.png")) as draft:
                Image.fromarray(pixels.numpy()).save(draft, optimize=True)


def _load(name: str) -> Tensor:
    photo = _PHOTOS[name]
    return load_image(PHOTOS / f"{name}.png") if photo.shipped else _cut(photo)


def _cut(photo: _Photo) -> Tensor:
    """The chosen square of the package's file: `[3, 224, 224]`."""
    try:
        path = Path(str(distribution(photo.package).locate_file(photo.file)))
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"{photo.file} comes with the package {photo.package}: pip install {photo.package}"
        ) from None
    with Image.open(path) as original:
        return load_image(original.crop(photo.box), size=SIZE)
