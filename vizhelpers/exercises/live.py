"""A card that answers to a click: in a notebook a small widget, elsewhere what it says now."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.cards import Card

if TYPE_CHECKING:
    from vizhelpers.exercises.buttons import Buttons

# Of each notebook cell: the run that showed cards, and their widgets. The next run closes them.
_shown: dict[str, tuple[str, list["Buttons"]]] = {}


class LiveCard:
    """A card with a button for each choice; a click shows another card in its place.

    A file and a page without a kernel show the HTML, and a terminal the text, of the card as it
    was when the cell had run. Widgets are imported only to be shown.

    Args:
        draw: Makes the card; gets the letter that was clicked on, or `...` if it is none.
        choice: What is handed to `draw` for the first card.

    Attributes:
        card: What is shown now.
    """

    def __init__(self, draw: Callable[[object], Card], choice: object = ...) -> None:
        self._draw = draw
        self._widgets: list[Buttons] = []
        self.card = draw(choice)

    def choose(self, choice: object = ...) -> None:
        """Do what a click on that letter does; without one, draw the card anew."""
        self.card = self._draw(choice)
        for widget in self._widgets:
            widget.show(self.card)

    def __bool__(self) -> bool:
        return bool(self.card)

    def __repr__(self) -> str:
        return repr(self.card)

    def _repr_html_(self) -> str:
        return self.card._repr_html_()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data: dict[str, Any] = {"text/plain": repr(self), "text/html": self._repr_html_()}
        message = _running()
        if message is None:
            return data, {}
        from vizhelpers.exercises.buttons import Buttons

        widget = Buttons(self.card, self.choose)
        self._widgets.append(widget)
        _close_earlier(message, widget)
        page, metadata = widget._repr_mimebundle_()
        return {**page, **data}, metadata


def _running() -> dict[str, Any] | None:
    """The message that asked a notebook's kernel to run a cell; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return shell.get_parent() if hasattr(shell, "kernel") else None


def _close_earlier(message: dict[str, Any], widget: "Buttons") -> None:
    """Close what an earlier run of the same cell had shown, so that nothing piles up."""
    cell = message.get("metadata", {}).get("cellId")  # not every page gives one
    if cell is None:
        return
    run = message["header"]["msg_id"]
    before, widgets = _shown.get(cell, (run, []))
    if before != run:
        for old in widgets:
            old.close()
        widgets = []
    _shown[cell] = run, [*widgets, widget]
