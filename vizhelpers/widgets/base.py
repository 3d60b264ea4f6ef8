"""What all widgets share: one picture, a line of text, callbacks in the thread of the cells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets
from IPython import get_ipython


class PictureBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A PNG on the page; of a picture of cells, mouse and arrow keys choose one, a click keeps it.

    The browser sends nothing new before Python has answered: of many cells that the mouse
    passes, only the last one is drawn.
    """

    _esm = Path(__file__).with_name("base.js").read_text(encoding="utf-8")
    _css = Path(__file__).with_name("base.css").read_text(encoding="utf-8")
    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    stale = traitlets.Bool().tag(sync=True)  # another picture is being drawn, or failed to be
    label = traitlets.Unicode().tag(sync=True)  # what one cell is
    grid = traitlets.List([0] * 8).tag(sync=True)  # a `Grid` of vizhelpers.features.unit_plot
    chosen = traitlets.Int(-1).tag(sync=True)
    home = traitlets.Int(None, allow_none=True).tag(sync=True)  # chosen when nothing is kept
    kept = traitlets.Bool().tag(sync=True)


class View:
    """A picture that answers to the hand, and a line of text about it: base of all widgets.

    May be driven from Python as well, with or without a browser. What goes wrong while drawing
    is said in the text line and kept in ``last_error``; the picture stays. Running the notebook
    cell that made a view once more closes it, so that nothing piles up.

    Attributes:
        widget: All of it, as ipywidgets.
        shown: What the picture is of, in a few words.
        text: The line of text.
        last_error: What went wrong last; None once there is a picture again.
    """

    widget: ipywidgets.Widget

    def __init__(self, image: PictureBox | None = None) -> None:
        self.shown = self.text = ""
        self.last_error: Exception | None = None
        self._quiet = False
        self.image = PictureBox() if image is None else image
        self.status = ipywidgets.HTML().add_class("vh-status")
        self._cell = _running_cell()
        if self._cell:
            get_ipython().events.register("pre_run_cell", self._on_cell)

    @property
    def picture(self) -> bytes:
        """The PNG that is shown."""
        return self.image.png

    def close(self) -> None:
        """Take it off the page, and let go of all that it holds, such as the network."""
        if not vars(self):
            return
        if self._cell:
            get_ipython().events.unregister("pre_run_cell", self._on_cell)
        _close(self.widget)
        vars(self).clear()  # IPython itself keeps what a cell has shown, in ``Out``

    def __repr__(self) -> str:
        what = f"{self.shown or 'nothing'} shown" if vars(self) else "closed"
        return f"<{type(self).__name__}: {what}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # As Matplotlib's own widget does: a page takes the widget where it runs, and without a
        # kernel the picture.
        bundle = {**self.widget._repr_mimebundle_(**options), "text/plain": repr(self)}
        picture = self.picture
        return {**bundle, "image/png": picture} if picture else bundle

    def _listen(self, callback: Callable[[], None], *widgets: ipywidgets.Widget, to: str) -> None:
        """Call back when that trait of a widget has changed, in the thread of the cells."""
        call = self._at_home(callback)
        for widget in widgets:
            widget.observe(call, to)

    def _at_home(self, callback: Callable[[], None]) -> Callable[..., None]:
        """Have a callback of widgets run where the cell ran that asks for it.

        JupyterLab and ipykernel 7 hand what is clicked and typed now to the thread in which cells
        run, now to another one, beside them: two could change the same network at a time. From
        the other thread it is passed on, and its turn comes between two cells.
        """
        home, thread = running_loop(), threading.get_ident()

        def turn() -> None:
            if vars(self):  # not closed meanwhile
                callback()

        def call(*_: object) -> None:
            if home is None or threading.get_ident() == thread:
                turn()
            else:
                home.call_soon_threadsafe(turn)

        return call

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Set boxes from Python, each of which looks at ``_quiet`` before it answers."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    @contextmanager
    def _attempt(self, failed: str) -> Iterator[None]:
        """Say what goes wrong in here, after the words of ``failed``; the picture stays."""
        try:
            yield
        except Exception as error:  # raised in a callback, it would be lost
            self.last_error, self.image.stale = error, True
            self._complain(f"{failed} {type(error).__name__}: {error}")

    def _put(self, shown: str, png: bytes, text: str, title: str = "") -> None:
        """Show a picture and, last, the text about it: once that is there, all is."""
        self.last_error, self.shown = None, shown
        with self.image.hold_sync():
            self.image.png, self.image.stale, self.image.alt = png, False, f"{shown}: {text}"
        self._say("caption", text, title)

    def _complain(self, text: str) -> None:
        still = f" (The picture is still that of {self.shown}.)" if self.picture else ""
        self._say("problem", text + still)

    def _say(self, kind: str, text: str, title: str = "") -> None:
        self.text = text
        head = f"<b>{escape(title)}</b><br>" if title else ""
        data = f'class="vh-{kind}" data-shown="{escape(self.shown)}"'
        self.status.value = f"<span {data}>{head}{escape(text)}</span>"

    def _on_cell(self, info: Any) -> None:
        if info.cell_id == self._cell:
            self.close()


def boxed(name: str, *widgets: ipywidgets.Widget) -> ipywidgets.Box:
    """Put widgets into a box that the style sheet lays out."""
    return ipywidgets.Box(widgets).add_class(name)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of a notebook's kernel; None in a script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _running_cell() -> str | None:
    """The notebook cell that is being run; None elsewhere."""
    parent: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)()
    return parent.get("metadata", {}).get("cellId")


def _close(widget: ipywidgets.Widget) -> None:
    """Close a widget with all that it holds: ipywidgets keeps each of them in a list of its own."""
    parts = [*getattr(widget, "children", ()), *widget.trait_values().values()]
    widget.close()
    widget.unobserve_all()
    for part in parts:
        if isinstance(part, ipywidgets.Widget) and part.comm is not None:
            _close(part)
