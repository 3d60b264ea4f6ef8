"""Words of error messages that several modules share."""

from __future__ import annotations

from difflib import get_close_matches


def did_you_mean(wrong: str, names: list[str]) -> str:
    by_lower_case = {name.lower(): name for name in names}
    near = get_close_matches(wrong.lower(), by_lower_case, n=3)
    if not near:
        return ""
    return f"Did you mean {' or '.join(repr(by_lower_case[name]) for name in near)}?"
