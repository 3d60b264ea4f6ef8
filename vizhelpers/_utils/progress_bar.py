"""Progress bars (tqdm) for work of more than two seconds, in terminals and in notebooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
SECONDS = 2
_shown = ContextVar("shown", default=True)  # of each thread its own


@contextmanager
def without_progress() -> Iterator[None]:
    """Show no bar inside the block, in this thread: the explorer has its own."""
    token = _shown.set(False)
    try:
        yield
    finally:
        _shown.reset(token)


def with_progress(items: Iterable[T], what: str) -> Iterable[T]:
    """Go through items, with a progress bar where that takes longer than two seconds.

    Without a reader, as in a log file, there is no bar. Setting the environment variable
    `TQDM_DISABLE`, tqdm's own, hides it in notebooks, too.

    Args:
        items: What to go through.
        what: A word or two in front of the bar.
    """
    if not _shown.get():
        return items
    # A notebook's output passes for a file, in which tqdm would hide the bar.
    if "ipykernel" in sys.modules and not os.environ.get("TQDM_DISABLE"):
        from tqdm.notebook import tqdm as bar_in_notebook

        in_notebook: Iterable[T] = bar_in_notebook(items, what, delay=SECONDS, leave=False)
        return in_notebook
    from tqdm import tqdm

    in_terminal: Iterable[T] = tqdm(items, what, delay=SECONDS, leave=False, disable=None)
    return in_terminal
