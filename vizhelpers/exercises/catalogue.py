"""Texts of the exercises: one TOML file per language and lesson.

`texts/en/lesson_01.toml` holds what lesson 01 says, `texts/en/common.toml` what every exercise
says. Another language is another folder beside `en`; a text that it lacks is shown in English. The
environment variable `VIZHELPERS_LANG` names the folder.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent / "texts"
ENGLISH = "en"


def language() -> str:
    """The folder of the language in use."""
    return os.environ.get("VIZHELPERS_LANG", "").strip() or ENGLISH


def texts(file: str) -> dict[str, Any]:
    """All texts of one file, such as `lesson_01`: in the chosen language, else in English."""
    english, chosen = (_read(TEXTS / folder / f"{file}.toml") for folder in (ENGLISH, language()))
    return english if chosen is english else _merge(english, chosen)


def common(*keys: str, **values: object) -> str:
    """One of the sentences that every exercise shares, filled in."""
    found: Any = texts("common")
    for key in keys:
        found = found[key]
    return fill(found, values)


def fill(text: str, values: Mapping[str, object]) -> str:
    """Put values into a text's `{placeholders}`; numbers get a readable form, words stay."""
    readable = {k: v if isinstance(v, str) else describe(v) for k, v in values.items()}
    return text.strip().format_map(readable)


def describe(value: object) -> str:
    """A short name for any object: the same on every machine, and never an error.

    Examples: `73,856`, `0.125`, `'cat'`, `[1, 2]`, `Tensor [2, 10]`, `Linear`.
    """
    try:
        return _describe(value)
    except Exception:  # a learner's object may fail at anything, even at its shape
        return type(value).__name__


def _describe(value: object) -> str:
    name = type(value).__name__
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):  # a tensor that is one number
        value = value.item()
    if value is None or value is ... or isinstance(value, bool):
        return str(value)
    if isinstance(value, Real):
        return _describe_number(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if isinstance(value, list | tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [type(v).__name__ if isinstance(v, list | tuple) else describe(v) for v in value]
        return left + ", ".join(parts[:5] + ["…"] * (len(parts) > 5)) + right
    if isinstance(shape, tuple):
        return f"{name} {list(shape)}"
    return str(getattr(value, "__name__", name))


def _describe_number(value: Real) -> str:
    number = float(value)
    if isinstance(value, Integral) or number.is_integer():
        return f"{number:,.0f}" if abs(number) < 1e15 else f"{number:.3g}"
    return f"{number:,.3f}".rstrip("0") if abs(number) >= 0.001 else f"{number:.3g}"


@cache
def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and isinstance(over[key], dict):
            merged[key] = _merge(base[key], over[key])
    return merged
