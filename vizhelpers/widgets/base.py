"""What all widgets share: callbacks run in the thread of the notebook's cells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget


def at_home(callback: Callable[..., Any]) -> Callable[..., None]:
    """Have a callback of widgets run where the cell ran that asks for it.

    JupyterLab and ipykernel 7 hand what is clicked and typed now to the thread in which cells
    run, now to another one, beside them: two could change the same network at a time. From the
    other thread it is passed on, and its turn comes between two cells.
    """
    home, thread = _running_loop(), threading.get_ident()

    def call(*args: Any) -> None:
        if home is None or threading.get_ident() == thread:
            callback(*args)
        else:
            home.call_soon_threadsafe(callback, *args)

    return call


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class KeepKeys(anywidget.AnyWidget):  # type: ignore[misc]
    """Nothing to see: its script lets the list keep the arrow keys, its style lays all out."""

    _esm = Path(__file__).with_name("base.js").read_text(encoding="utf-8")
    _css = Path(__file__).with_name("base.css").read_text(encoding="utf-8")
