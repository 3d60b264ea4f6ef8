"""Linked view: point at a feature map and at a unit, see what that unit sees of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from vizhelpers._utils.arrays import Floats
from vizhelpers.features.receptive_fields import Pair, ReceptiveField
from vizhelpers.features.unit_plot import (
    _sentence,
    _spot,
    _stack,
    draw_maps,
    show_unit,
    strongest_map,
    unit_grid,
)
from vizhelpers.figures import to_png
from vizhelpers.widgets.base import PictureBox, View, boxed


class LinkedView(View):
    """A mosaic of maps to point at, with the picture of `show_unit` beside it.

    Pointing at a tile shows its map, its strongest unit and what that unit sees; pointing into
    the map shows another of its units. A click or an arrow key keeps the choice, a second click
    or Escape lets go of it. The number box does the same without a mouse. A notebook cell that
    ends with the view shows it.

    Args:
        image: [3, H, W] in [0, 1], the image that the maps belong to.
        maps: [C, h, w], what one layer makes of the image; with ``layers``, a function of a
            layer's name that returns such maps, or a pair of maps and receptive field.
        field: What the layer's units see, from `receptive_field`.
        layers: Names to choose from, where ``maps`` is a function.
        title: Stands above the mosaic; with ``layers``, the chosen name does.
        max_tiles: How many tiles the mosaic shows; the number box reaches the others.

    Raises:
        TypeError: ``maps`` is no function although there are ``layers``, or the other way round.
        ValueError: without ``layers``, what `show_unit` refuses.

    Attributes:
        layer: The layer whose maps are shown.
        channel: The channel that is shown.
        position: Row and column of the marked unit; None in a map where nothing stands out.
    """

    def __init__(
        self,
        image: ArrayLike | Tensor,
        maps: ArrayLike | Tensor | Callable[[str], Any],
        *,
        field: ReceptiveField | None = None,
        layers: Sequence[str] | None = None,
        title: str = "",
        max_tiles: int = 100,
    ) -> None:
        if callable(maps) != bool(layers):
            raise TypeError("maps must be a function where layers are given, and only there.")
        names = [title] if layers is None else list(layers)
        self.layer, self.channel = names[0], 0
        self.position: Pair | None = None
        self._maps_of = maps if callable(maps) else lambda _: (maps, field)
        self._photo, self._max_tiles = image, max_tiles
        self._maps: Floats = np.zeros((0, 0, 0), dtype=np.float32)
        self._field: ReceptiveField | None = None
        super().__init__()

        self.layers = ipywidgets.Dropdown(options=names, description="Layer")
        self.number = ipywidgets.IntText(description="Channel")
        self.mosaic, self.image.label = PictureBox(label="Channel"), "Unit of the map"
        hint = ipywidgets.HTML(
            "Point at a tile, or into its map; a click keeps it, a second one lets go."
        )
        choose = [self.layers, self.number] if layers else [self.number]
        above = boxed("vh-row", *choose, hint.add_class("vh-note"))
        pictures = boxed("vh-pictures", self.mosaic, self.image.add_class("vh-unit"))
        self.widget = boxed("vh-view", above, self.status, pictures)
        self._load(self.layer)
        if self.last_error is not None and not layers:
            raise self.last_error
        self._listen(self._on_layer, self.layers, to="value")
        self._listen(self._on_number, self.number, to="value")
        self._listen(self._on_tile, self.mosaic, to="chosen")
        self._listen(self._on_unit, self.image, to="chosen")

    def choose(self, channel: int, position: Pair | None = None) -> None:
        """Show a channel and a unit of its map, by default its strongest.

        Raises:
            ValueError: there is no such channel or position.
        """
        _spot(self._maps, channel, position)
        self._show(channel, position)

    # Each looks whether what it is told is shown already, so that no change causes another.

    def _on_layer(self) -> None:
        if self.layers.value != self.layer or self.last_error is not None:
            self._load(self.layers.value)

    def _on_number(self) -> None:
        if self.number.value != self.channel or self.last_error is not None:
            self.mosaic.kept = True  # or the mouse would choose another on its way to the map
            self._show(self.number.value, None)

    def _on_tile(self) -> None:
        if self.mosaic.chosen != self.channel:
            self._show(self.mosaic.chosen, None)

    def _on_unit(self) -> None:
        index = self.image.chosen
        spot = divmod(index, self._maps.shape[2]) if index >= 0 else None
        if spot != self.position:
            self._show(self.channel, spot)

    def _load(self, layer: str) -> None:
        """Show another layer's maps, beginning with the one that has the largest value."""
        with self._attempt(f"{layer} could not be drawn."):
            made = self._maps_of(layer)
            maps, field = made if isinstance(made, tuple) else (made, None)
            maps = _stack(maps)
            channel = strongest_map(maps)
            show_unit(self._photo, maps, channel, field=field)  # refuses what does not fit
            drawn, grid = draw_maps(maps, layer, self._max_tiles)
            self.layer, self._maps, self._field = layer, maps, field
            with self.mosaic.hold_sync():
                self.mosaic.png, self.mosaic.grid, self.mosaic.kept = to_png(drawn), grid, False
                self.mosaic.alt = f"{len(maps)} maps of {layer}".strip()
            self._show(channel, None)

    def _show(self, channel: int, position: Pair | None) -> None:
        """Draw one unit."""
        maps, field, layer = self._maps, self._field, self.layer
        with self._attempt(f"channel {channel} could not be drawn."):
            spot, home = (_spot(maps, channel, place) for place in (position, None))
            drawn = show_unit(self._photo, maps, channel, position=spot, field=field, title=layer)
            self.channel, self.position, self.last_error = channel, spot, None
            self.number.value = self.mosaic.chosen = channel
            _, rows, columns = maps.shape
            shown = f"channel {channel} of {layer}" if layer else f"channel {channel}"
            with self.image.hold_sync():
                self.image.grid = unit_grid(drawn, rows, columns)
                self.image.kept = self.image.kept and position is not None
                self.image.home, self.image.chosen = (
                    -1 if unit is None else unit[0] * columns + unit[1] for unit in (home, spot)
                )
                self._put(shown, to_png(drawn), _sentence(maps, channel, spot, field))


linked_view = LinkedView
