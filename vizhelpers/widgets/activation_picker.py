"""Activation picker: choose a layer and a channel, watch activation maximization go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from html import escape
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image
from torch import Tensor, nn

from vizhelpers._utils.arrays import photo
from vizhelpers._utils.checks import check_model
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.features.activation_maximization import (
    ActivationAscent,
    channel_means,
    maximize_activation,
)
from vizhelpers.layers import get_layer, list_layers
from vizhelpers.widgets.base import at_home
from vizhelpers.widgets.layer_picker import layer_picker

KEPT_ASCENTS = 32
SIDE = 384  # screen pixels that a picture may take, if it has not more itself
# Seconds between two chunks. In them the kernel does whatever else was asked of it.
PAUSE = 0.02
SCORES = "class scores"  # in the list, instead of "", the name of the model itself


def ascent_picker(
    model: nn.Module,
    layers: Iterable[str] | None = None,
    *,
    steps: int = 32,
    more: int = 160,
    chunk: int = 8,
    shape: tuple[int, int, int] = (3, 128, 128),
    images: Tensor | None = None,
    initial: str | tuple[str, int] | None = None,
    seed: int = 0,
    **options: Any,
) -> AscentPicker:
    """Make a list of layers and a number box of filters, with the picture that excites one.

    The picture appears after some steps; "Run longer" makes more of them, and shows the picture
    after every few, until "Stop" or the last one.

    Args:
        model: A network as for `maximize_activation`.
        layers: Names of layers; by default all `nn.Conv2d` and, last, `""`, the class scores.
        steps: How many are made before a picture appears.
        more: How many "Run longer" makes.
        chunk: After how many steps the picture is drawn again.
        shape: Channels (1 or 3), height and width of the pictures.
        images: Real images to compare with, `[N, C, H, W]`, normalised as the network needs.
        initial: The layer to begin with, or a pair of layer and filter.
        seed: As for `maximize_activation`.
        options: The same.

    Returns:
        The picker. A notebook cell that ends with it shows it. Running that cell again stops it.

    Raises:
        TypeError: the model is no module, or a layer is no name.
        ValueError: there is no such layer, or there are none; `steps` is negative, or `more` or
            `chunk` is less than 1.
    """
    check_model(model)
    if isinstance(layers, str):
        raise TypeError(f"layers must be several names, such as [{layers!r}].")
    names = [*list_layers(model, nn.Conv2d), ""] if layers is None else list(layers)
    if steps < 0 or more < 1 or chunk < 1:
        raise ValueError(
            f"steps must be 0 or more, more and chunk 1 or more, not {steps}, {more}, {chunk}."
        )
    first, number = (initial, 0) if isinstance(initial, str | None) else initial
    return AscentPicker(
        model,
        names,
        steps=(steps, more, chunk),
        images=images,
        initial=(first, number),
        options={**options, "shape": shape, "seed": seed},
    )


def ascent_image(ascent: ActivationAscent) -> Image.Image:
    """The first picture of an ascent, every pixel a square of screen pixels.

    Raises:
        ValueError: the picture has neither one channel nor three.
    """
    image = ascent.images[0]
    colours = image.expand(3, -1, -1) if len(image) == 1 else image
    zoom = max(1, SIDE // max(image.shape[1:]))
    pixels = (255 * photo(colours)).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels.repeat(zoom, axis=0).repeat(zoom, axis=1))


class AscentPicker:
    """A layer picker for activation maximisation, with buttons to go on and to stop.

    May be driven from Python as well, with or without a browser. What goes wrong is said in the
    text line and kept in ``last_error``. The ascents that were shown last are kept: going back
    to one shows what it had reached. Made by `ascent_picker`.

    Attributes:
        picker: The `LayerPicker` that this is built on.
        filter: The number box.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: list[str],
        *,
        steps: tuple[int, int, int],
        images: Tensor | None,
        initial: tuple[str | None, int],
        options: dict[str, Any],
    ) -> None:
        self._model, self._images, self._options = model, images, options
        self._steps, self._more, self._size = steps
        self._kept: dict[tuple[str, int], ActivationAscent] = {}
        self._best: dict[str, Tensor] = {}  # of each layer: real images by channels
        self._shown: tuple[str, int] | None = None
        self._goal: int | None = None  # the number of steps to run to; None when at rest
        self._task: asyncio.Task[None] | None = None
        self._run_error: Exception | None = None
        self._cell = _cell_id()

        self.filter = ipywidgets.IntText(
            initial[1], description="Filter", tooltip="Which of the layer's filters, from 0 up"
        )
        self.longer = ipywidgets.Button(
            description="Run longer",
            tooltip=f"Make {self._more} more steps, from where the picture is now",
        )
        self.halt = ipywidgets.Button(
            description="Stop",
            tooltip="Stop after the steps that are being made; the picture stays",
            disabled=True,
        )
        self.progress = ipywidgets.IntProgress(tooltip="Steps made")
        self.progress_text = ipywidgets.HTML()
        self.picker = layer_picker(
            {name or SCORES: _word(model, name) for name in layers},
            self._draw,
            initial=None if initial[0] is None else initial[0] or SCORES,
            controls={"filter": self.filter},
            keep=False,
        )
        self.widget = self._arrange()
        self.longer.on_click(at_home(lambda _: self.run_longer()))
        self.halt.on_click(at_home(lambda _: self.stop()))

    @property
    def ascent(self) -> ActivationAscent | None:
        """The ascent whose picture is shown; None if the very first one failed."""
        return None if self._shown is None else self._kept[self._shown]

    @property
    def picture(self) -> bytes:
        """The PNG that is shown."""
        return self.picker.picture

    @property
    def running(self) -> bool:
        """Whether steps are being made, between other work of the kernel."""
        return self._goal is not None

    @property
    def last_error(self) -> Exception | None:
        """What went wrong last, with the layer and filter that were asked for last."""
        return self.picker.last_error or self._run_error

    def pick(self, layer: str, filter: int | None = None) -> None:
        """Show a layer and one of its filters, by default the number in the box.

        Raises:
            ValueError: there is no such layer; the message names the nearest ones.
        """
        choices = {} if filter is None else {"filter": filter}
        self.picker.pick(layer or SCORES, **choices)

    def run_longer(self, steps: int | None = None) -> None:
        """Make more steps: in a notebook in the background, elsewhere at once.

        Does nothing while steps are being made, or where there is no picture to go on with. After
        a pick that failed, list and box return to the picture that is still shown.

        Args:
            steps: How many; by default as many as the button makes.

        Raises:
            ValueError: `steps` is negative.
        """
        steps = self._more if steps is None else steps
        if steps < 0:
            raise ValueError(f"steps must be 0 or more, got {steps}.")
        if self._shown is None or self.running:
            return
        self._run_error = None
        if self.picker.last_error is not None:  # of another pick, which could not be shown
            self.pick(*self._shown)
        ascent = self._kept[self._shown]
        self._goal = ascent.steps + steps
        self.longer.disabled, self.halt.disabled = True, False
        self._tell(ascent)
        _on_cells(self._on_cell, watch=True)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            chunks = range(0, steps, self._size)
            for _ in with_progress(chunks, f"{self.picker.layer}, chunks of {self._size} steps"):
                self._go_on(ascent)
            self._rest()  # where there was nothing to do
        else:
            self._task = loop.create_task(self._go_on_between(ascent))

    def stop(self) -> None:
        """End the run; the picture stays as it is, and can go on later."""
        if not self.running:
            return
        self._rest()
        self._tell(self.ascent, stopped=True)

    def __repr__(self) -> str:
        total = len(self.picker.layers)
        if self._shown is None or self.ascent is None:
            return f"<AscentPicker: {total} layers, nothing shown>"
        which, steps = _which(*self._shown), self.ascent.steps
        return f"<AscentPicker: {total} layers, {which} shown, {steps} steps>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # The text is all that a page without a kernel shows.
        return {**self.widget._repr_mimebundle_(**options), "text/plain": repr(self)}

    def _arrange(self) -> ipywidgets.Widget:
        """The picker, with the buttons between its text and its picture."""
        view = self.picker.widget.children[1]
        row = [self.longer, self.halt, self.progress, self.progress_text]
        run = ipywidgets.Box(row).add_class("layer-picker-run")
        status, image = view.children
        view.children = status, run, image
        return self.picker.widget

    # -- the run ----------------------------------------------------------------------------
    # All of it happens in one thread, as does what the widgets call: see `at_home`.

    async def _go_on_between(self, ascent: ActivationAscent) -> None:
        while self._go_on(ascent):
            await asyncio.sleep(PAUSE)

    def _go_on(self, ascent: ActivationAscent) -> bool:
        """Make some steps and show them; tell whether more are to come."""
        if self._goal is None:
            return False
        try:
            try:
                ascent.run(min(self._size, self._goal - ascent.steps), progress=False)
            except Exception as error:  # raised in a task, it would be lost
                self._run_error = error
            self._tell(ascent)
            if self._run_error is not None or ascent.steps >= self._goal:
                self._rest()
            # Where a search found nothing, the picker says so. It asks for the picture later.
            if self.picker.select.value is not None:
                self.picker.refresh()
        except BaseException:  # interrupted
            self._rest()
            raise
        return self.running

    def _rest(self) -> None:
        if not self.running:
            return
        task, self._task, self._goal = self._task, None, None
        self.longer.disabled, self.halt.disabled = False, True
        _on_cells(self._on_cell, watch=False)
        if task is not None:
            task.cancel()

    def _on_cell(self, info: Any) -> None:
        """The cell that made this is run again: nobody will see the rest."""
        if self._cell is not None and info.cell_id == self._cell:
            self.stop()

    # -- what is shown ----------------------------------------------------------------------

    def _draw(self, shown_as: str, filter: int) -> tuple[Image.Image, str]:
        layer = "" if shown_as == SCORES else shown_as
        key = layer, filter
        if key != self._shown:
            self.stop()
            self._run_error = None
        try:
            ascent = self._kept.get(key) or self._started(layer, filter)
            drawn, text = ascent_image(ascent), _sentence(ascent, self._strongest(layer))
        except Exception:  # said by the picker; the picture is still that of before
            if key != self._shown:
                self._tell(self.ascent, still=True)
            raise
        if self._run_error is not None:
            text += f" Then the run ended. {type(self._run_error).__name__}: {self._run_error}"
        # The last one is always that which is shown.
        self._kept.pop(key, None)
        self._kept[key] = ascent
        while len(self._kept) > KEPT_ASCENTS:
            del self._kept[next(iter(self._kept))]
        if key != self._shown:
            self._shown = key
            self._tell(ascent)
        return drawn, text

    def _started(self, layer: str, filter: int) -> ActivationAscent:
        ascent = maximize_activation(self._model, layer, [filter], steps=0, **self._options)
        while ascent.steps < self._steps:
            self._write(ascent.steps, self._steps, f"{_which(layer, filter)} …")
            ascent.run(min(self._size, self._steps - ascent.steps), progress=False)
        return ascent

    def _strongest(self, layer: str) -> Tensor | None:
        if self._images is None:
            return None
        if layer not in self._best:
            self._write(0, 1, f"{len(self._images)} real images …")
            same = {
                key: self._options[key] for key in ("objective", "output") & self._options.keys()
            }
            self._best[layer] = channel_means(self._model, layer, self._images, **same)
        return self._best[layer]

    def _tell(
        self, ascent: ActivationAscent | None, *, stopped: bool = False, still: bool = False
    ) -> None:
        """Say how far it is, beside the buttons."""
        if ascent is None or self._shown is None:
            self._write(0, 1, "")
            return
        made, goal = ascent.steps, self._goal
        if self._run_error is not None:
            self._write(made, goal or made, f"ended by an error at step {made}", style="danger")
        elif goal is not None and made < goal:
            reached = _number(float(ascent.activations[0]))
            self._write(made, goal, f"step {made} of {goal}, activation {reached}", style="info")
        elif still:
            self._write(made, made, f"still {_which(*self._shown)}, {made} steps made")
        elif stopped:
            self._write(made, self.progress.max, f"stopped at step {made}", style="warning")
        else:
            self._write(made, made, f"{made} steps made", style="success")

    def _write(self, value: int, most: int, text: str, style: str = "") -> None:
        with self.progress.hold_sync():
            self.progress.max, self.progress.value = max(1, most), value
            self.progress.bar_style = style
        self.progress_text.value = escape(text)


def _word(model: nn.Module, layer: str) -> str:
    """What the list says about a layer."""
    if not layer:
        return type(model).__name__
    module = get_layer(model, layer)
    count = getattr(module, "out_channels", None)
    return f"{count} filters" if isinstance(count, int) else type(module).__name__


def _which(layer: str, filter: int) -> str:
    return f"{layer} filter {filter}" if layer else f"class {filter}"


def _sentence(ascent: ActivationAscent, real: Tensor | None) -> str:
    (channel,), reached = ascent.channels, float(ascent.activations[0])
    what = "Filter" if ascent.layer else "Class"
    text = f"{what} {channel} after {ascent.steps} steps: activation {_number(reached)}"
    if ascent.steps and not (reached or ascent.history.any()):
        return f"{text}. It is silent, so that no pixel can move it."
    if real is None:
        return f"{text}."
    best, number = real[:, channel].max(0)
    strongest, where = float(best), f"the strongest of {len(real)} real images (no. {int(number)}"
    if min(strongest, reached) <= 0:  # a ratio would say nothing
        return f"{text}; {where}) has {_number(strongest)}."
    return f"{text}, {reached / strongest:.1f} × {where}: {_number(strongest)})."


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


# -- the notebook's cells ---------------------------------------------------------------------


def _shell() -> Any:
    """IPython's shell, without loading IPython where there is none."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _cell_id() -> str | None:
    """The cell that is being run; None outside of notebooks."""
    parent: dict[str, Any] = getattr(_shell(), "get_parent", dict)()
    found = parent.get("metadata", {}).get("cellId")
    return found if isinstance(found, str) else None


def _on_cells(callback: Any, *, watch: bool) -> None:
    """Have a callback told of every cell that is about to be run, or no longer."""
    if (shell := _shell()) is not None:
        (shell.events.register if watch else shell.events.unregister)("pre_run_cell", callback)
