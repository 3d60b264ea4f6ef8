"""Turn a raw error from inside a library into a sentence about the argument that caused it.

One decorator on every public function. A refusal in our own words passes, and so does an error of
the caller's own model or function. Any other error says what was given and what the docstring asks
for; the original one is its cause.
"""

from __future__ import annotations

import inspect
import linecache
import re
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from vizhelpers._utils.messages import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

_OURS = Path(__file__).resolve().parent.parent
_LIBRARIES = [_OURS, *{Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}]
_RAW = (TypeError, ValueError, RuntimeError, AttributeError, LookupError, ArithmeticError)


def clear_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function, so that every error it ends in names the wrong argument."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except _RAW as error:
            if _is_ours(error.__traceback__) or _is_the_callers(error.__traceback__):
                raise
            raise _explained(function, args, kwargs, error) from error

    return call


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether a `raise` of this package made it."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not Path(trace.tb_frame.f_code.co_filename).is_relative_to(_OURS):
        return False
    return "raise" in linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def _is_the_callers(trace: TracebackType | None) -> bool:
    """Whether it came out of a forward pass, or of a function that the caller has written."""
    while trace is not None:
        code = trace.tb_frame.f_code
        library = code.co_filename.startswith("<") or any(
            Path(code.co_filename).is_relative_to(folder) for folder in _LIBRARIES
        )
        if code.co_name == "_call_impl" or not library:
            return True
        trace = trace.tb_next
    return False


def _explained(
    function: Callable[..., Any], args: Any, kwargs: Any, error: BaseException
) -> TypeError | ValueError:
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as problem:
        unknown = [name for name in kwargs if name not in signature.parameters]
        hint = did_you_mean(unknown[0], signature.parameters) if unknown else ""
        return TypeError(f"{function.__name__}(): {problem}. {hint}".rstrip())
    meaning = _documented(function)
    for name, value in given.items():
        kind = signature.parameters[name].annotation
        if not _fits(value, kind, function):
            what = f"{name} must be {_in_words(kind)}, got {describe_briefly(value)}."
            return TypeError(f"{what} {meaning.get(name, '')}".rstrip())
    facts = ", ".join(f"{name}={describe_briefly(value)}" for name, value in given.items())
    expected = " ".join(f"{name}: {meaning[name]}" for name in given if name in meaning)
    first = (str(error) or type(error).__name__).splitlines()[0]
    return ValueError(f"{function.__name__} cannot work with {facts} ({first}). {expected}")


def _fits(value: Any, kind: Any, function: Callable[..., Any]) -> bool:
    from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

    if isinstance(kind, str):
        try:
            kind = eval(kind, function.__globals__)
        except NameError:  # imported for type checkers only
            return True
    ways = [value]
    if getattr(value, "shape", None) == () and not getattr(value, "is_meta", False):
        ways.append(value.item())  # one number of NumPy or PyTorch passes for Python's own
    for way in ways:
        with suppress(TypeCheckError):
            check_type(way, kind, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
            return True
    return False


def _in_words(kind: Any) -> str:
    text = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    words = {"int": "an integer", "float": "a number", "str": "a string", "bool": "True or False"}
    return words.get(text, text)


def describe_briefly(value: Any) -> str:
    """Say what was given in a few words: `'cat'`, `1.5`, `Tensor [2, 3] int64`, `None`."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__} {list(shape)} {kind}"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value)
        return text if len(text) <= 40 else text[:39] + "…"
    if isinstance(value, list | tuple):
        few = ", ".join(map(describe_briefly, value[:3])) + (", …" if len(value) > 3 else "")
        return f"[{few}]" if isinstance(value, list) else f"({few})"
    return type(value).__name__


def _documented(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring's section `Args:` says about each argument, in one line each."""
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", inspect.getdoc(function) or "", re.M)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
