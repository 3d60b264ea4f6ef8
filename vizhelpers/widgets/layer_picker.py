"""Layer picker: search a layer in a list, see its picture. Runs no network itself."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets
from torch import nn

from vizhelpers.figures import to_png
from vizhelpers.layers import Kind, get_layer, list_layers
from vizhelpers.widgets.base import KeepKeys, at_home

CACHED_PICTURES = 64


def layer_picker(
    layers: nn.Module | Mapping[str, str] | Iterable[str],
    draw: Callable[..., Any],
    *,
    initial: str | None = None,
    kind: Kind | None = None,
    controls: Mapping[str, Any] | None = None,
    label: str = "Layer",
    keep: bool = True,
) -> LayerPicker:
    """Make a list of layers to search and choose from, with a picture of the chosen one.

    Args:
        layers: A model, names of layers, or names with a word about each.
        draw: Called as ``draw(name)`` when a layer is picked. It returns what `to_png` takes
            (a figure, an axes, a Pillow image, pixels), alone or as a pair with one line of
            text about the picture.
        initial: The layer to begin with; the first by default.
        kind: For a model: which layers, as in `list_layers`.
        controls: More choices, each passed to ``draw`` by name: a sequence of values, which
            becomes a drop-down list, or a widget with a ``value``.
        label: What is picked, if not layers: one word, whose plural ends with an s.
        keep: Keep the pictures. With ``False`` every pick calls ``draw``, which may then return
            another picture than before.

    Returns:
        The picker. A notebook cell that ends with it shows it.

    Raises:
        TypeError: ``draw`` cannot be called, or ``layers`` are neither a model nor names.
        ValueError: there are no layers, or ``initial`` is none of them.
    """
    if not callable(draw):
        kind_of = type(draw).__name__
        raise TypeError(f"draw must be a function of a {label.lower()}'s name, not {kind_of}.")
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
        raise TypeError(f"every name of a {label.lower()} must be a string.")
    if not words:
        raise ValueError(f"there are no {label.lower()}s to pick from.")
    return LayerPicker(
        words, draw, initial=initial, controls=controls or {}, label=label, keep=keep
    )


class LayerPicker:
    """A search box, a list of layers, a picture and a line of text about it.

    The widgets may be driven from Python as well (``pick``, or their ``value``), with or
    without a browser. What goes wrong while drawing is said in the text line and kept in
    ``last_error``. Made by `layer_picker`.
    """

    def __init__(
        self,
        words: Mapping[str, str],
        draw: Callable[..., Any],
        *,
        initial: str | None,
        controls: Mapping[str, Any],
        label: str,
        keep: bool,
    ) -> None:
        self._one, self._keep = label.lower(), keep
        self.layers = tuple(words)
        self.layer = self._known(self.layers[0] if initial is None else initial)
        self.last_error: Exception | None = None
        self._words, self._draw = dict(words), draw
        self._cache: dict[tuple[Any, ...], tuple[bytes, str]] = {}
        self._quiet = False

        self.search = ipywidgets.Text(description="Search", placeholder="part of a name or kind")
        self.select = ipywidgets.Select(description=label, rows=12)
        self.controls = {name: _control(name, given) for name, given in controls.items()}
        self.count = ipywidgets.HTML()
        self.image = ipywidgets.Image(format="png")
        self.image.add_class("layer-picker-stale")
        self.status = ipywidgets.HTML()
        self.widget = self._arrange()

        self._list(self.layers)
        self.search.observe(at_home(self._on_search), "value")
        self.search.on_msg(at_home(self._on_enter))
        on_choice = at_home(self._on_choice)
        for widget in (self.select, *self.controls.values()):
            widget.observe(on_choice, "value")
        self._show(self.layer)

    @property
    def picture(self) -> bytes:
        """The PNG that is shown."""
        return self.image.value

    def pick(self, layer: str, **choices: Any) -> None:
        """Choose a layer from Python; a search that hides it is emptied.

        Args:
            layer: Its name.
            choices: Values for controls, by name.

        Raises:
            ValueError: there is no such layer; the message names the nearest ones.
        """
        self._known(layer)
        if layer not in self._listed():
            self.search.value = ""
        with self._quietly():  # or each of them would be drawn
            for name, value in choices.items():
                self.controls[name].value = value
            self.select.value = layer
        self._show(layer)

    def refresh(self) -> None:
        """Draw again, for instance because the network has changed."""
        self._cache.clear()
        self._show(self.select.value or self.layer)

    def __repr__(self) -> str:
        return f"<LayerPicker: {len(self.layers)} {self._one}s, {self.layer} shown>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # The text is all that a page without a kernel shows.
        return {**self.widget._repr_mimebundle_(**options), "text/plain": repr(self)}

    def _arrange(self) -> ipywidgets.Widget:
        choose = [self.search, self.select, self.count, *self.controls.values()]
        left, right = ipywidgets.VBox(choose), ipywidgets.VBox([self.status, self.image])
        left.add_class("layer-picker-choose")
        right.add_class("layer-picker-view")
        self.status.add_class("layer-picker-status")
        self.count.add_class("layer-picker-count")
        whole = ipywidgets.Box([left, right, KeepKeys()])
        whole.add_class("layer-picker")
        return whole

    # -- the list ---------------------------------------------------------------------------

    def _listed(self) -> list[str]:
        return [value for _, value in self.select.options]

    def _list(self, names: Iterable[str]) -> None:
        """Put these names into the list, without drawing; keep the choice where possible."""
        names = list(names)
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
        self.count.value = f"{which} {self._one}s"

    def _on_search(self, _change: object) -> None:
        typed = self.search.value
        wanted = typed.strip().lower()
        hits = [name for name in self.layers if wanted in f"{name} {self._words[name]}".lower()]
        self._list(hits)
        if hits:
            self._show(self.select.value)
        else:
            text = f"No {self._one} matches “{typed}”.{self._nearest(wanted)}"
            self._say(text + self._still(), problem=True)

    def _on_enter(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("event") == "submit":
            self.search.value = ""

    def _on_choice(self, _change: object) -> None:
        if not self._quiet:
            self._show(self.select.value or self.layer)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _known(self, layer: str) -> str:
        if layer not in self.layers:
            raise ValueError(f"there is no {self._one} {layer!r} here.{self._nearest(str(layer))}")
        return layer

    def _nearest(self, wanted: str) -> str:
        near = difflib.get_close_matches(wanted, self.layers, n=3, cutoff=0.5)
        return f" Nearest: {', '.join(near)}." if near else ""

    # -- the picture ------------------------------------------------------------------------

    def _show(self, layer: str) -> None:
        """Draw the layer, or say why that failed. The text comes last: it means "done"."""
        try:
            png, caption = self._drawn(layer)
        except Exception as error:  # raised in a callback, it would be lost
            self.last_error = error
            self.image.add_class("layer-picker-stale")
            text = f"{layer} could not be drawn. {type(error).__name__}: {error}"
            self._say(text + self._still(), problem=True)
            return
        self.last_error, self.layer = None, layer
        self.image.remove_class("layer-picker-stale")
        self.image.value = png
        self._say(caption)

    def _drawn(self, layer: str) -> tuple[bytes, str]:
        choices = {name: control.value for name, control in self.controls.items()}
        key = (layer, *(repr(value) for value in choices.values()))
        if key not in self._cache or not self._keep:
            drawn = self._draw(layer, **choices)
            if len(self._cache) >= CACHED_PICTURES:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = _png_and_caption(drawn)
        return self._cache[key]

    def _still(self) -> str:
        return f" (The picture is still that of {self.layer}.)" if self.picture else ""

    def _say(self, text: str, *, problem: bool = False) -> None:
        """Write the line of text; ``data-layer`` is the layer whose picture is shown."""
        name = escape(self.layer, quote=True)
        head = f"<b>{name}</b> {escape(self._words[self.layer])}<br>" if not problem else ""
        kind = "layer-picker-problem" if problem else "layer-picker-caption"
        self.status.value = f'<span class="{kind}" data-layer="{name}">{head}{escape(text)}</span>'


def _control(name: str, given: Any) -> ipywidgets.Widget:
    if isinstance(given, ipywidgets.Widget):
        return given
    return ipywidgets.Dropdown(options=list(given), description=name)


def _png_and_caption(drawn: Any) -> tuple[bytes, str]:
    caption = ""
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[1], str):
        drawn, caption = drawn
    if drawn is None:
        raise TypeError("draw returned nothing; it must end with “return” and a picture.")
    return to_png(drawn), caption
