"""Linked view: point at a feature map and at a unit, see what that unit sees of the image.

This runs no network: maps and receptive field are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from numpy.typing import ArrayLike
from torch import Tensor

from vizhelpers import plotting
from vizhelpers._utils.arrays import Floats
from vizhelpers.features.receptive_fields import Pair, ReceptiveField
from vizhelpers.features.unit_plot import (
    CUT,
    EDGE,
    GAP,
    MOSAIC,
    TOP,
    _sentence,
    _spot,
    _stack,
    show_unit,
)
from vizhelpers.figures import DPI, Picture, PictureAxes, to_png

HERE = Path(__file__).parent


# -- drawing ----------------------------------------------------------------------------------


# Of cells in rows: left and top of the first, from one to the next across and down, width and
# height, how many columns, how many cells. In pixels of their picture.
Grid = tuple[float, float, float, float, float, float, int, int]


def _draw_mosaic(maps: Floats, title: str, max_tiles: int) -> tuple[bytes, Grid]:
    """A mosaic as a PNG, and where its tiles lie."""
    left, side = 36, MOSAIC / DPI
    figure = Picture(figsize=(side, side), dpi=DPI)
    ax = figure.add_axes((0, 0, 1, 1), axes_class=PictureAxes)
    tiles = plotting.fit_tiles(maps[:max_tiles], None, ax)[1]
    plotting.show_mosaic(maps, ax=ax, title=title, colorbar=False, max_tiles=max_tiles)
    # The tiles rarely fill the room they were given: now the figure is fitted around them.
    (high, wide), notes = tiles.size, ax.get_xlabel().splitlines()
    words = [9 * len(ax.get_title("left")), *(7 * len(note) for note in notes)]
    width = left + max(wide, *words) + EDGE
    bottom = EDGE + plotting.LINE * len(notes)
    height = TOP + high + bottom
    figure.set_size_inches(width / DPI, height / DPI)
    ax.set_position((left / width, bottom / height, wide / width, high / height))
    # The first tile, the one beside it and the one below, whether there are such or not.
    corners = [tiles.box(index)[:2] for index in (0, 1, tiles.columns)]
    (x, y), (beside, _), (_, under) = ax.transData.transform(corners).tolist()
    steps = x, height - y, beside - x, y - under
    return to_png(figure), (*steps, tiles.width, tiles.height, tiles.columns, tiles.count)


# -- the widget -------------------------------------------------------------------------------


def linked_view(
    image: ArrayLike | Tensor,
    maps: ArrayLike | Tensor | Callable[[str], Any],
    *,
    field: ReceptiveField | None = None,
    layers: Sequence[str] | None = None,
    title: str = "",
    max_tiles: int = 100,
) -> LinkedView:
    """Make a mosaic of maps to point at, with the picture of `show_unit` beside it.

    Pointing at a tile shows its map, its strongest unit and what that unit sees; pointing into
    the map shows another of its units. A click or an arrow key keeps the choice, a second click
    or Escape lets go of it. The number box does the same without a mouse.

    Args:
        image: [3, H, W] in [0, 1], the image that the maps belong to.
        maps: [C, h, w], what one layer makes of the image; with ``layers``, a function of a
            layer's name that returns such maps, or a pair of maps and receptive field.
        field: What the layer's units see, from `receptive_field`.
        layers: Names to choose from, where ``maps`` is a function.
        title: Stands above the mosaic; with ``layers``, the chosen name does.
        max_tiles: How many tiles the mosaic shows; the number box reaches the others.

    Returns:
        The view. A notebook cell that ends with it shows it.

    Raises:
        TypeError: ``maps`` is no function although there are ``layers``, or the other way round.
        ValueError: without ``layers``, what `show_unit` refuses.
    """
    if callable(maps) != bool(layers):
        raise TypeError("maps must be a function where layers are given, and only there.")
    source = maps if callable(maps) else lambda _: (maps, field)
    view = LinkedView(image, source, layers or [title], max_tiles)
    if not layers and view.last_error is not None:
        raise view.last_error
    return view


class _Pointable(anywidget.AnyWidget):  # type: ignore[misc]
    """A picture of cells: pointing at one chooses it, a click or a key keeps it.

    The browser sends nothing new before Python has answered: of many cells that the mouse
    passes, only the last one is drawn.
    """

    _esm = (HERE / "unit_view.js").read_text(encoding="utf-8")
    _css = "".join(
        (HERE / f"{name}.css").read_text(encoding="utf-8") for name in ("base", "unit_view")
    )
    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    grid = traitlets.List([0] * 8).tag(sync=True)  # see Grid
    chosen = traitlets.Int(-1).tag(sync=True)
    home = traitlets.Int(None, allow_none=True).tag(sync=True)  # chosen when nothing is kept
    kept = traitlets.Bool().tag(sync=True)


class LinkedView:
    """A mosaic to point at, the picture of one unit, and a line of text about it.

    May be driven from Python as well, with or without a browser. What goes wrong while drawing
    is said in the text line and kept in ``last_error``. Made by `linked_view`.

    Attributes:
        layer: The layer whose maps are shown.
        channel: The channel that is shown.
        position: Row and column of the marked unit; None in a map where nothing stands out.
    """

    def __init__(
        self,
        image: ArrayLike | Tensor,
        maps_of: Callable[[str], Any],
        layers: Sequence[str],
        max_tiles: int,
    ) -> None:
        self.layer, self.channel = layers[0], 0
        self.position: Pair | None = None
        self.last_error: Exception | None = None
        self._image, self._maps_of, self._max_tiles = image, maps_of, max_tiles
        self._maps: Floats = np.zeros((0, 0, 0), dtype=np.float32)
        self._field: ReceptiveField | None = None
        self.layers = ipywidgets.Dropdown(options=list(layers), description="Layer")
        self.number = ipywidgets.IntText(description="Channel")
        self.mosaic, self.unit = _Pointable(label="Channel"), _Pointable(label="Unit of the map")
        self.status = ipywidgets.HTML()
        self.widget = self._arrange()
        self._load(self.layer)
        self.layers.observe(lambda change: self._load(change["new"]), "value")
        self.number.observe(self._on_number, "value")
        self.mosaic.observe(self._on_tile, "chosen")
        self.unit.observe(self._on_cell, "chosen")

    @property
    def picture(self) -> bytes:
        """The PNG of `show_unit` that is shown."""
        return self.unit.png

    def choose(self, channel: int, position: Pair | None = None) -> None:
        """Show a channel and a unit of its map, by default its strongest.

        Raises:
            ValueError: there is no such channel or position.
        """
        _spot(self._maps, channel, position)
        self._show(channel, position)

    def __repr__(self) -> str:
        where = f" of {self.layer}" if self.layer else ""
        return f"<LinkedView: channel {self.channel}{where} shown>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # The text is all that a page without a kernel shows.
        return {**self.widget._repr_mimebundle_(**options), "text/plain": repr(self)}

    def _arrange(self) -> ipywidgets.Widget:
        hint = ipywidgets.HTML(
            "Point at a tile, or into its map; a click keeps it, a second one lets go."
        )
        controls = [self.layers] if len(self.layers.options) > 1 else []
        controls += [self.number, hint.add_class("layer-picker-count")]
        above = ipywidgets.Box(controls).add_class("linked-controls")
        below = ipywidgets.Box([self.mosaic, self.unit]).add_class("linked-pictures")
        self.unit.add_class("linked-unit")
        self.status.add_class("layer-picker-status")
        return ipywidgets.VBox([above, self.status, below]).add_class("linked-view")

    # Each looks whether what it is told is shown already, so that no change causes another.

    def _on_number(self, change: dict[str, Any]) -> None:
        if change["new"] != self.channel:
            self.mosaic.kept = True  # or the mouse would choose another on its way to the map
            self._show(change["new"], None)

    def _on_tile(self, change: dict[str, Any]) -> None:
        if change["new"] != self.channel:
            self._show(change["new"], None)

    def _on_cell(self, change: dict[str, Any]) -> None:
        spot = divmod(change["new"], self._maps.shape[2]) if change["new"] >= 0 else None
        if spot != self.position:
            self._show(self.channel, spot)

    def _load(self, layer: str) -> None:
        """Show another layer's maps, beginning with the one that has the largest value."""
        try:
            made = self._maps_of(layer)
            maps, field = made if isinstance(made, tuple) else (made, None)
            maps = _stack(maps)
            channel = int(np.where(np.isfinite(maps), maps, -np.inf).max(axis=(1, 2)).argmax())
            show_unit(self._image, maps, channel, field=field)  # refuses what does not fit
            png, grid = _draw_mosaic(maps, layer, self._max_tiles)
        except Exception as error:  # raised in a callback, it would be lost
            self._fail(error, layer)
            return
        self.layer, self._maps, self._field = layer, maps, field
        with self.mosaic.hold_sync():
            self.mosaic.png, self.mosaic.grid, self.mosaic.kept = png, list(grid), False
            self.mosaic.alt = f"{len(maps)} maps of {layer}".strip()
        self._show(channel, None)

    def _show(self, channel: int, position: Pair | None) -> None:
        """Draw one unit, or say why that failed. The text comes last: it means "done"."""
        maps, field = self._maps, self._field
        try:
            spot, home = (_spot(maps, channel, place) for place in (position, None))
            drawn = show_unit(
                self._image, maps, channel, position=spot, field=field, title=self.layer
            )
        except Exception as error:
            self._fail(error, f"channel {channel}")
            return
        self.last_error, self.channel, self.position = None, channel, spot
        text = _sentence(maps, channel, spot, field)
        self.number.value = self.mosaic.chosen = channel
        _, rows, columns = maps.shape
        across = (drawn.width - 2 * EDGE - GAP) / 2 / columns
        down = (drawn.height - TOP - 12 - CUT - EDGE) / rows
        grid = (EDGE, TOP, across, down, across, down, columns, rows * columns)
        places = [-1 if place is None else place[0] * columns + place[1] for place in (home, spot)]
        with self.unit.hold_sync():
            self.unit.png, self.unit.alt, self.unit.grid = to_png(drawn), text, list(grid)
            self.unit.kept = self.unit.kept and position is not None
            self.unit.home, self.unit.chosen = places
        self._say(text)

    def _fail(self, error: Exception, what: str) -> None:
        self.last_error = error
        still = f" (The picture is still that of channel {self.channel}.)" if self.picture else ""
        text = f"{what} could not be drawn. {type(error).__name__}: {error}{still}"
        self._say(text, kind="problem")

    def _say(self, text: str, kind: str = "caption") -> None:
        """Write the line of text; its attributes say which unit is shown."""
        spot = "{},{}".format(*self.position) if self.position else ""
        data = f'data-layer="{escape(self.layer)}" data-unit="{self.channel}:{spot}"'
        self.status.value = f'<span class="layer-picker-{kind}" {data}>{escape(text)}</span>'
