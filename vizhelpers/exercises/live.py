"""A card that answers to a click: in a notebook a small widget, elsewhere what it says now."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.cards import Card

if TYPE_CHECKING:
    from vizhelpers.exercises.buttons import Buttons

# By notebook cell and exercise: running a cell once more closes what it had shown.
_shown: dict[tuple[str, str], "Buttons"] = {}


class LiveCard:
    """A card with a button for each choice; a click shows another card in its place.

    A file and a page without a kernel show the HTML, and a terminal the text, of the card as it
    was when the cell had run. Widgets are imported only to be shown.

    Args:
        about: The exercise's id.
        draw: Makes the card; gets the letter that was clicked on, or `...` if it is none.
        choice: What is handed to `draw` for the first card.

    Attributes:
        card: What is shown now.
    """

    def __init__(self, about: str, draw: Callable[[object], Card], choice: object = ...) -> None:
        self._about, self._draw = about, draw
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
        cell = _notebook_cell()
        if cell is None:
            return data, {}
        from vizhelpers.exercises.buttons import Buttons

        widget = Buttons(self.card, self.choose)
        self._widgets.append(widget)
        if cell:
            before = _shown.pop((cell, self._about), None)
            if before:
                before.close()
            _shown[cell, self._about] = widget
        page, metadata = widget._repr_mimebundle_()
        return {**page, **data}, metadata


def _notebook_cell() -> str | None:
    """The id of the cell that is being run; empty if the page gives none, None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return None
    return str(get_ipython().get_parent().get("metadata", {}).get("cellId", ""))
