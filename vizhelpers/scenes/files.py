"""Load the shipped scenes: PNG files under data/images, read and written.

They are shipped, although they could be drawn again, so that no number in a lesson depends on
the version of a drawing library.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import ClearKeyError, did_you_mean
from vizhelpers._utils.paths import IMAGES, make_writable, written_beside

from .canvas import PARTS, ByteArray
from .compose import BACKGROUNDS, CLASSES, compose_scene, compose_two
from .rng import Dice, Stream, hsv
from .tensors import PairScene, Scene, picture, shares

# Far above the seeds that data sets use (seed * 10,000,000 + index): never a training image.
# The grid's is public: with it, any of its scenes can be drawn again, changed in one thing.
GRID_SEED, _HARD_SEED, _PAIR_SEED = 10**15, 2 * 10**15, 3 * 10**15
_GRID_COPIES, _HARD_COUNT, _PAIR_COUNT = 2, 40, 30
_SETS = ("grid", "hard")
_PAIRS = "pairs"
_NAME = re.compile(r"([a-z]+)(?:_and_([a-z]+))?_on_([a-z]+)_\d+")


@dataclass(frozen=True, eq=False, repr=False)
class SceneBatch:
    """Shipped scenes with one object; `scenes["cat_on_space_0"]` is one of them.

    Attributes:
        images: float32 `[N, 3, H, W]` in [0, 1], RGB.
        labels: int64 `[N]`, index in `CLASSES`.
        backgrounds: int64 `[N]`, index in `BACKGROUNDS`.
        masks: float32 `[N, H, W]` in [0, 1], how much of each pixel the visible object covers.
        parts: uint8 `[N, H, W]`, index in `PARTS`.
        names: the file names without ending, such as "cat_on_space_0".
    """

    images: torch.Tensor
    labels: torch.Tensor
    backgrounds: torch.Tensor
    masks: torch.Tensor
    parts: torch.Tensor
    names: tuple[str, ...]

    def __getitem__(self, name: str | int) -> Scene:
        """The scene of that name, or of that place in `names`; so a loop goes through all.

        Raises:
            KeyError: if there is none; the nearest names are in the message.
            IndexError: if there are fewer.
        """
        index = _index(name, self.names)
        obj, _, background = _parse(self.names[index])
        image, mask, parts = self.images[index], self.masks[index], self.parts[index]
        return Scene(image, mask, parts, obj, background)

    def __repr__(self) -> str:
        return f"SceneBatch({len(self.names)} scenes, {self.names[0]} to {self.names[-1]})"


@dataclass(frozen=True, eq=False, repr=False)
class PairBatch:
    """Shipped scenes with two objects; `pairs["cat_and_car_on_sea_0"]` is one of them.

    Attributes:
        images: float32 `[N, 3, H, W]` in [0, 1], RGB.
        labels_a: int64 `[N]`, index in `CLASSES` of the first object.
        labels_b: int64 `[N]`, the same for the second object.
        backgrounds: int64 `[N]`, index in `BACKGROUNDS`.
        masks_a: float32 `[N, H, W]` in [0, 1], how much the first object visibly covers.
        masks_b: the same for the second object.
        names: the file names without ending, such as "cat_and_car_on_sea_0".
    """

    images: torch.Tensor
    labels_a: torch.Tensor
    labels_b: torch.Tensor
    backgrounds: torch.Tensor
    masks_a: torch.Tensor
    masks_b: torch.Tensor
    names: tuple[str, ...]

    def __getitem__(self, name: str | int) -> PairScene:
        """The scene of that name, or of that place in `names`; so a loop goes through all.

        Raises:
            KeyError: if there is none; the nearest names are in the message.
            IndexError: if there are fewer.
        """
        index = _index(name, self.names)
        masks = self.masks_a[index], self.masks_b[index]
        return PairScene(self.images[index], *masks, *_parse(self.names[index]))

    def __repr__(self) -> str:
        return f"PairBatch({len(self.names)} scenes, {self.names[0]} to {self.names[-1]})"


@clear_errors
def load_scenes(name: str = "grid", *, limit: int | None = None) -> SceneBatch:
    """Read a shipped set of scenes with one object. Labels take turns from 0 to 9.

    Args:
        name: "grid", every class on every background, twice: the first ten on their own
            backgrounds, the next ten each on the background one further, and so on; or "hard",
            small, cut off or partly hidden objects. `load_pairs` reads two-object scenes.
        limit: read only the first so many.

    Raises:
        ValueError: if there is no such set, or `limit` is below 1.
        FileNotFoundError: if files are missing; the message says how to make them again.
        OSError: if a file is damaged; likewise.

    Example:
        >>> scenes = load_scenes()
        >>> scenes.images.shape
        torch.Size([200, 3, 128, 128])
        >>> scenes["cat_on_space_0"].mask.shape
        torch.Size([128, 128])
    """
    if name not in _SETS:
        hint = " Two-object scenes: load_pairs()." if name == _PAIRS else ""
        known = " and ".join(repr(known) for known in _SETS)
        raise ValueError(f"There is no set of scenes called {name!r}; there are {known}.{hint}")
    names = _first(_grid_names() if name == "grid" else _hard_names(), limit)
    labels, _, backgrounds = _labels(names)
    return SceneBatch(
        images=picture(_read(name, names, "")),
        labels=labels,
        backgrounds=backgrounds,
        masks=shares(_read(name, names, ".mask")),
        parts=torch.from_numpy(_read(name, names, ".parts")),
        names=tuple(names),
    )


@clear_errors
def load_pairs(*, limit: int | None = None) -> PairBatch:
    """Read the shipped scenes with two objects.

    Args:
        limit: read only the first so many.

    Raises:
        ValueError: if `limit` is below 1.
        FileNotFoundError: if files are missing; the message says how to make them again.
        OSError: if a file is damaged; likewise.
    """
    names = _first(_pair_names(), limit)
    labels_a, labels_b, backgrounds = _labels(names)
    return PairBatch(
        images=picture(_read(_PAIRS, names, "")),
        labels_a=labels_a,
        labels_b=labels_b,
        backgrounds=backgrounds,
        masks_a=shares(_read(_PAIRS, names, ".mask_a")),
        masks_b=shares(_read(_PAIRS, names, ".mask_b")),
        names=tuple(names),
    )


def write_shipped(folder: str | Path = IMAGES) -> None:
    """Draw all shipped scenes again and write them as PNG files below `folder`."""
    folder = Path(folder)
    for name in (*_SETS, _PAIRS):
        make_writable(folder / name)
    # None: tqdm itself finds out whether there is a terminal.
    jobs = tqdm(_shipped().items(), "drawing shipped scenes", unit="scene", disable=None)
    for stem, draw in jobs:
        for ending, pixels in draw().items():
            with written_beside(folder / f"{stem}{ending}.png") as draft:
                _png(ending, pixels).save(draft, optimize=True)


def _shipped() -> dict[str, Callable[[], dict[str, ByteArray]]]:
    """Every shipped scene by set and name, and what draws its files, by their endings."""
    return {
        f"{set_name}/{name}": partial(draw, index, name)
        for set_name, names, draw in (
            ("grid", _grid_names(), partial(_draw_single, GRID_SEED, hard=False)),
            ("hard", _hard_names(), partial(_draw_single, _HARD_SEED, hard=True)),
            (_PAIRS, _pair_names(), _draw_pair),
        )
        for index, name in enumerate(names)
    }


def _grid_names() -> list[str]:
    count = len(BACKGROUNDS)
    return [
        f"{name}_on_{BACKGROUNDS[(label + shift) % count]}_{copy}"
        for copy in range(_GRID_COPIES)
        for shift in range(count)
        for label, name in enumerate(CLASSES)
    ]


def _hard_names() -> list[str]:
    names = []
    for index in range(_HARD_COUNT):
        background = Dice(_HARD_SEED + index, Stream.PLAN).choice(BACKGROUNDS)
        names.append(f"{CLASSES[index % len(CLASSES)]}_on_{background}_{index // len(CLASSES)}")
    return names


def _pair_names() -> list[str]:
    count, names = len(CLASSES), []
    for index in range(_PAIR_COUNT):
        dice = Dice(_PAIR_SEED + index, Stream.PLAN)
        other = CLASSES[(index + 1 + dice.below(count - 1)) % count]
        first, background = CLASSES[index % count], dice.choice(BACKGROUNDS)
        names.append(f"{first}_and_{other}_on_{background}_{index // count}")
    return names


def _first(names: list[str], limit: int | None) -> list[str]:
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, or None for all scenes, found {limit!r}.")
    return names[:limit]


def _index(name: str | int, names: tuple[str, ...]) -> int:
    if isinstance(name, int) and -len(names) <= name < len(names):
        return name
    if isinstance(name, int):
        raise IndexError(f"there is no scene {name} here, only 0 to {len(names) - 1}.")
    if name in names:
        return names.index(name)
    raise ClearKeyError(f"there is no scene {name!r} here. {did_you_mean(name, names)}".strip())


def _parse(name: str) -> tuple[str, str, str]:
    """First object, second object (or an empty string) and background of a file name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a shipped scene.")
    first, second, background = match.groups(default="")
    return first, second, background


def _labels(names: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Labels of the first objects, of the second ones (-1: none) and of the backgrounds."""
    firsts, seconds, backgrounds = zip(*map(_parse, names), strict=True)
    return (
        torch.tensor([CLASSES.index(name) for name in firsts]),
        torch.tensor([CLASSES.index(name) if name else -1 for name in seconds]),
        torch.tensor([BACKGROUNDS.index(name) for name in backgrounds]),
    )


def _draw_single(first_seed: int, index: int, name: str, *, hard: bool) -> dict[str, ByteArray]:
    obj, _, background = _parse(name)
    scene = compose_scene(obj, background, seed=first_seed + index, hard=hard)
    return {"": scene.image, ".mask": scene.mask, ".parts": scene.parts}


def _draw_pair(index: int, name: str) -> dict[str, ByteArray]:
    pair = compose_two(*_parse(name), seed=_PAIR_SEED + index)
    return {"": pair.image, ".mask_a": pair.mask_a, ".mask_b": pair.mask_b}


def _png(ending: str, pixels: ByteArray) -> Image.Image:
    image = Image.fromarray(pixels)
    if ending == ".parts":
        # A palette, so that a person who opens the file sees the parts in colours.
        colors = [(0, 0, 0), *(hsv(part * 0.382, 0.7, 0.95) for part in range(1, len(PARTS)))]
        image.putpalette([channel for color in colors for channel in color])
    return image


def _read(set_name: str, names: Iterable[str], ending: str) -> ByteArray:
    """The files of a set with the given ending, stacked: uint8."""
    return np.stack([_read_png(IMAGES / set_name / f"{name}{ending}.png") for name in names])


@cache  # those of all sets are 22 MB
def _read_png(path: Path) -> ByteArray:
    remake = "Make the shipped scenes again with: python -m vizhelpers data"
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"The shipped scene {path} is missing. {remake}") from None
    except OSError as error:
        raise OSError(f"The shipped scene {path} is damaged ({error}). {remake}") from error
