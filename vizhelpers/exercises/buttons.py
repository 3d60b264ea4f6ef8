"""The widget of a card: its choices are buttons, for the mouse, the keyboard and screen readers."""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from vizhelpers.exercises.cards import Card


class Buttons(anywidget.AnyWidget):  # type: ignore[misc]
    """A card on the page. What is clicked on is told to Python, which shows another card.

    Args:
        card: What to show first.
        choose: Called with the letter of a choice that was clicked on.
    """

    _esm = Path(__file__).with_name("buttons.js").read_text(encoding="utf-8")
    _css = Path(__file__).with_name("buttons.css").read_text(encoding="utf-8")
    parts = traitlets.Dict().tag(sync=True)

    def __init__(self, card: Card, choose: Callable[[str], None]) -> None:
        super().__init__()
        self.show(card)
        self.on_msg(lambda _widget, message, _buffers: choose(message["choose"]))

    def show(self, card: Card) -> None:
        """Put a card in the place of the one that is shown."""
        self.parts = {**card.parts(buttons=True), "style": card.style}
