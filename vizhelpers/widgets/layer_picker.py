"""Layer picker: search a layer in a list, see its picture. Runs no network itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import ipywidgets
from torch import nn

from vizhelpers._utils.messages import did_you_mean
from vizhelpers.figures import to_png
from vizhelpers.layers import Kind, get_layer, list_layers
from vizhelpers.widgets.base import View, boxed


class LayerPicker(View):
    """A list of layers to search and choose from, with a picture of the chosen one.

    A notebook cell that ends with it shows it.

    Args:
        layers: A model, names of layers, or names with a word about each.
        draw: Called as ``draw(name)`` when a layer is picked. It returns what `to_png` takes
            (a figure, an axes, a Pillow image, pixels), alone or as a pair with one line of
            text about the picture.
        initial: The layer to begin with; the first by default.
        kind: For a model: which layers, as in `list_layers`.
        controls: More choices, each passed to ``draw`` by name: a sequence of values, which
            becomes a drop-down list, a `range`, which becomes a number box, or a widget with a
            ``value``, which belongs to this picker from then on.
        label: What is picked, if not layers: one word, whose plural ends with an s.
        keep: How many pictures are kept, so that ``draw`` is not called for them again.

    Raises:
        TypeError: ``draw`` cannot be called, or ``layers`` are neither a model nor names.
        ValueError: there are no layers, or ``initial`` is none of them.

    Attributes:
        layers: All names.
        layer: The one whose picture is shown.
        controls: The boxes below the list, by name.

    Example:
        >>> def draw(layer):
        ...     return show_mosaic(capture(model, images, layer).map)
        >>> layer_picker(model, draw, kind=nn.Conv2d)
        <LayerPicker: conv1 shown>
    """

    def __init__(
        self,
        layers: nn.Module | Mapping[str, str] | Iterable[str],
        draw: Callable[..., Any],
        *,
        initial: str | None = None,
        kind: Kind | None = None,
        controls: Mapping[str, Any] | None = None,
        label: str = "Layer",
        keep: int = 64,
    ) -> None:
        self._one = label.lower()
        self._words = _words(layers, kind, self._one)
        self.layers = tuple(self._words)
        self.layer = self._known(self.layers[0] if initial is None else initial)
        if not callable(draw):
            given = type(draw).__name__
            raise TypeError(f"draw must be a function of a {self._one}'s name, not {given}.")
        self._drawn = lru_cache(keep)(lambda *a, **more: _png_and_caption(draw(*a, **more)))
        super().__init__()

        self.search = ipywidgets.Text(description="Search", placeholder="part of a name or kind")
        self.select = ipywidgets.Select(description=label, rows=min(12, len(self.layers) + 1))
        self.count = ipywidgets.HTML().add_class("vh-note")
        self.controls = {name: _control(name, some) for name, some in (controls or {}).items()}
        boxes = self.select, *self.controls.values()
        self.main = boxed("vh-main", self.status, self.image)
        choose = boxed("vh-choose", self.search, self.select, self.count, *boxes[1:])
        self.widget = boxed("vh-view", choose, self.main)

        self._list(self.layers)
        self._listen(self._on_search, self.search, to="value")
        self._listen(self._on_choice, *boxes, to="value")
        clear = self._at_home(lambda: setattr(self.search, "value", ""))
        self.search.on_msg(lambda _, what, __: what.get("event") == "submit" and clear())
        self._show(self.layer)

    def pick(self, layer: str, **choices: Any) -> None:
        """Choose a layer from Python; a search that hides it is emptied.

        Args:
            layer: Its name.
            choices: Values for controls, by name.

        Raises:
            ValueError: there is no such layer; the message names the nearest ones.
        """
        self._known(layer)
        if layer not in [value for _, value in self.select.options]:
            self.search.value = ""
        with self._quietly():  # or each of them would be drawn
            for name, value in choices.items():
                self.controls[name].value = value
            self.select.value = layer
        self._show(layer)

    def refresh(self) -> None:
        """Draw again, for instance because the network has changed."""
        self._drawn.cache_clear()
        self._show(self.select.value or self.layer)

    def _list(self, names: Sequence[str]) -> None:
        """Put these names into the list, without drawing; keep the choice where possible."""
        width = max((len(name) for name in names), default=0)
        with self._quietly(), self.select.hold_sync():
            self.select.options = [
                (f"{name:{width}}  {self._words[name]}".rstrip(), name) for name in names
            ]
            if self.layer in names:
                self.select.value = self.layer
            elif names:  # a list that was empty chooses nothing when it fills again
                self.select.value = names[0]
        total = len(self.layers)
        which = f"{len(names)} of {total}" if len(names) < total else f"{total}"
        self.count.value = escape(f"{which} {self._one}s")

    def _on_search(self) -> None:
        typed = self.search.value
        wanted = typed.strip().lower()
        hits = [name for name, word in self._words.items() if wanted in f"{name} {word}".lower()]
        self._list(hits)
        if hits:
            self._show(self.select.value)
        else:
            question = did_you_mean(wanted, self.layers)
            self._complain(f"No {self._one} matches “{typed}”. {question}".rstrip())

    def _on_choice(self) -> None:
        if not self._quiet:
            self._show(self.select.value or self.layer)

    def _known(self, layer: str) -> str:
        if layer not in self.layers:
            question = did_you_mean(str(layer), self.layers)
            raise ValueError(f"there is no {self._one} {layer!r} here. {question}".rstrip())
        return layer

    def _show(self, layer: str) -> None:
        choices = {name: box.value for name, box in self.controls.items()}
        shown = ", ".join([layer, *(f"{name} {value}" for name, value in choices.items())])
        self.image.stale = True
        with self._attempt(f"{shown} could not be drawn."):
            png, caption = self._drawn(layer, **choices)
            self.layer = layer
            self._put(shown, png, caption, title=f"{layer} {self._words[layer]}")


layer_picker = LayerPicker


def _words(layers: Any, kind: Kind | None, one: str) -> dict[str, str]:
    """Names, each with a word about it."""
    if isinstance(layers, nn.Module):
        names = list_layers(layers, kind)
        words = {name: type(get_layer(layers, name)).__name__ for name in names}
    elif isinstance(layers, Mapping):
        words = {name: str(word) for name, word in layers.items()}
    elif isinstance(layers, Iterable) and not isinstance(layers, str):
        words = dict.fromkeys(layers, "")
    else:
        raise TypeError(f"layers must be a model or names, not {type(layers).__name__}.")
    if not all(isinstance(name, str) for name in words):
        raise TypeError(f"every name of a {one} must be a string.")
    if not words:
        raise ValueError(f"there are no {one}s to pick from.")
    return words


def _control(name: str, values: Any) -> ipywidgets.Widget:
    if isinstance(values, ipywidgets.Widget):
        return values
    if isinstance(values, range):
        return ipywidgets.BoundedIntText(values[0], min=values[0], max=values[-1], description=name)
    return ipywidgets.Dropdown(options=list(values), description=name)


def _png_and_caption(drawn: Any) -> tuple[bytes, str]:
    caption = ""
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[1], str):
        drawn, caption = drawn
    if drawn is None:
        raise TypeError("draw returned nothing; it must end with “return” and a picture.")
    return to_png(drawn), caption
