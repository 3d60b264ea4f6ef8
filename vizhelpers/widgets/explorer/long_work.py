"""Long work beside the notebook: on a copy of the model, with progress, and it can be stopped."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from vizhelpers._utils.progress_bar import without_progress


class Stopped(BaseException):
    """Somebody said stop; no Exception, which a library might catch."""


@dataclass
class Work:
    """What long work is told, and what it tells.

    Attributes:
        model: The model to use; None for the one that all use.
        stopped: Whether somebody said stop.
        finishing: Whether what was reached is being shown, although somebody said stop.
        counting: Whether the pictures that go through the model are what is counted.
        made: How many pictures went through the model, or how many steps were made.
        goal: How many it will be; 0 where that is not known.
        on_news: Called with a function that makes a picture of how far it is, or with None.
    """

    model: nn.Module | None = None
    stopped: bool = False
    finishing: bool = False
    counting: bool = False
    made: int = 0
    goal: int = 0
    on_news: Callable[[Callable[[], bytes] | None], None] | None = None

    def count_to(self, goal: int) -> None:
        """Count pictures that go through the model, up to about so many; 0 if that is unknown."""
        self.goal, self.counting = goal, goal > 0

    def tell(self, made: int, goal: int, preview: Callable[[], bytes] | None = None) -> None:
        """Say how far it is."""
        self.made, self.goal = made, goal
        if self.on_news is not None:
            self.on_news(preview)


_running: ContextVar[Work | None] = ContextVar("running", default=None)  # of each thread its own


def _count(module: nn.Module, args: tuple[Any, ...]) -> None:
    """A pre-hook of the copy: a picture goes through it. Elsewhere it does nothing."""
    work = _running.get()
    if work is not None and work.stopped and not work.finishing:
        raise Stopped
    if work is not None and work.counting and args:
        work.tell(work.made + len(args[0]), work.goal)


class Beside:
    """Runs one piece of work at a time in a thread beside the event loop, on a copy of the model.

    What runs beside the notebook's cells must not share the model with them: both hang hooks on
    it and put back how they found it.

    Args:
        loop: Of the notebook.
        model: Is copied when it is first needed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, model: nn.Module) -> None:
        self._loop, self._original = loop, model
        self._thread: threading.Thread | None = None
        self.work: Work | None = None

    @cached_property
    def model(self) -> nn.Module | None:
        """The copy; None where the model cannot be copied."""
        try:
            other = copy.deepcopy(self._original)
        except Exception:  # the model's own
            return None
        other.register_forward_pre_hook(_count)
        return other

    def start(
        self,
        work: Work,
        function: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Begin, after what runs has ended; `done` is called on the loop, unless stopped before."""
        self.stop()
        self.work = work

        def finish(result: Any, error: BaseException | None) -> None:
            if self.work is work:
                self.work = self._thread = None
                done(result, error)

        def run() -> None:
            result, error = None, None
            _running.set(work)
            try:
                with without_progress():
                    result = function()
            except BaseException as problem:  # told where the others are
                error = problem
            self._loop.call_soon_threadsafe(finish, result, error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """Say stop; what was reached until then is shown."""
        if self.work is not None:
            self.work.stopped = True

    def stop(self) -> None:
        """Say stop, and wait until it has ended: at the latest after one forward pass."""
        thread = self._thread
        self.halt()
        self.work = self._thread = None
        if thread is not None:
            thread.join()
