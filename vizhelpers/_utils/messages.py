"""Words of error messages that several modules share."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import NoReturn

# Modules whose lines a warning does not name: FlashTorch's and contextlib's stand between ours.
_OURS = ("vizhelpers.", "flashtorch.", "contextlib")


class ClearKeyError(KeyError):
    """A KeyError whose message is shown as it was written, without quotes around it."""

    def __str__(self) -> str:
        return str(self.args[0])


def nearest(wrong: str, names: Iterable[str]) -> list[str]:
    """The up to three names that are written most like a wrong one, whatever their case."""
    by_lower_case = {name.lower(): name for name in names}
    near = get_close_matches(wrong.lower(), by_lower_case, n=3, cutoff=0.5)
    return [by_lower_case[name] for name in near]


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """The question at the end of a message about a wrong name; empty where nothing is like it."""
    near = nearest(wrong, names)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""


def refuse(what: str, wrong: str, names: Collection[str], also: str = "") -> NoReturn:
    """Raise a ValueError about a wrong name, with the nearest names, and all if they are few."""
    there = f"There are: {', '.join(names)}." if len(names) < 10 else ""
    parts = [f"{what}.", did_you_mean(wrong, names), there, also]
    raise ValueError(" ".join(part for part in parts if part))


def callers_level() -> int:
    """The `stacklevel` at which a warning names the line that called this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].startswith(_OURS):
        level, frame = level + 1, frame.f_back
    return level
