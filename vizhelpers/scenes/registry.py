"""Register objects and backgrounds that can be drawn, by two decorators."""

import difflib
from collections.abc import Callable, Mapping

from .canvas import Canvas, FloatArray
from .rng import Dice, Palette

ObjectArtist = Callable[[Canvas, Dice, Palette], None]
BackgroundArtist = Callable[[Dice, int], FloatArray]

OBJECT_ARTISTS: dict[str, ObjectArtist] = {}
BACKGROUND_ARTISTS: dict[str, BackgroundArtist] = {}
_OBJECT_LABELS: dict[int, str] = {}
_BACKGROUND_LABELS: dict[int, str] = {}


def scene_object(*, label: int | None) -> Callable[[ObjectArtist], ObjectArtist]:
    """Register the decorated function as the object of its name.

    The function draws on the given canvas between -1 and 1 on both axes (y down), with the
    colours of the given palette.

    Args:
        label: its class number, written down so that no later addition moves it; None for an
            object that can be drawn but is not a class.
    """

    def register(artist: ObjectArtist) -> ObjectArtist:
        _claim(_OBJECT_LABELS, label, artist.__name__)
        OBJECT_ARTISTS[artist.__name__] = artist
        return artist

    return register


def background(*, label: int | None) -> Callable[[BackgroundArtist], BackgroundArtist]:
    """Register the decorated function as the background of its name.

    The function gets dice and the side in pixels and returns float32 `[S, S, 3]`, 0..255.

    Args:
        label: its number, that of the class whose own background it is; None for a neutral one.
    """

    def register(artist: BackgroundArtist) -> BackgroundArtist:
        _claim(_BACKGROUND_LABELS, label, artist.__name__)
        BACKGROUND_ARTISTS[artist.__name__] = artist
        return artist

    return register


def class_names() -> tuple[str, ...]:
    """The classes in the order of their labels."""
    return _in_order(_OBJECT_LABELS)


def background_names() -> tuple[str, ...]:
    """The backgrounds in the order of their labels."""
    return _in_order(_BACKGROUND_LABELS)


def check_name(name: str, known: Mapping[str, object], kind: str) -> None:
    """Raise `ValueError` that names the nearest known names unless `name` is one of them."""
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) if isinstance(name, str) else []
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ValueError(f"There is no {kind} called {name!r}. {hint}Known: {', '.join(known)}.")


def _claim(labels: dict[int, str], label: int | None, name: str) -> None:
    if label is None:
        return
    if label in labels:
        raise ValueError(f"Label {label} of {name!r} is already that of {labels[label]!r}.")
    labels[label] = name


def _in_order(labels: dict[int, str]) -> tuple[str, ...]:
    if sorted(labels) != list(range(len(labels))):
        raise ValueError(f"Labels must count from 0 without a gap, found {sorted(labels)}.")
    return tuple(labels[label] for label in range(len(labels)))
