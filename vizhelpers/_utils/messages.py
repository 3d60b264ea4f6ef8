"""Words of error messages that several modules share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(wrong: str, names: Iterable[str]) -> list[str]:
    """The up to three names that are written most like a wrong one, whatever their case."""
    by_lower_case = {name.lower(): name for name in names}
    near = get_close_matches(wrong.lower(), by_lower_case, n=3, cutoff=0.5)
    return [by_lower_case[name] for name in near]


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """The question at the end of a message about a wrong name; empty where nothing is like it."""
    near = nearest(wrong, names)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
