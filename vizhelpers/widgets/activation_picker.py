"""Activation picker: choose a layer and a channel, watch activation maximization go on."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

import ipywidgets
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from vizhelpers._utils.checks import check_model
from vizhelpers.features.activation_maximization import (
    ActivationAscent,
    channel_means,
    maximize_activation,
)
from vizhelpers.figures import letters, number_text
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD, denormalize
from vizhelpers.layers import get_layer, list_layers
from vizhelpers.widgets.base import boxed, running_loop
from vizhelpers.widgets.layer_picker import LayerPicker

CHUNK = 8  # after how many steps the picture is drawn again
KEPT_ASCENTS = 32
SIDE = 384  # screen pixels that a picture may take, if it has not more itself
GAP, PALE, WORDS = 12, 0.93, 17  # between two pictures; behind words; their size
SILENT = "silent:\nno pixel changes\nthis filter"
# Seconds between two chunks. In them the kernel does whatever else was asked of it.
PAUSE = 0.02
SCORES = "class scores"  # in the list, instead of "", the name of the model itself


class AscentPicker(LayerPicker):
    """A list of layers and a number box of filters, with the picture that excites one.

    The picture appears after some steps; "Run longer" makes more of them, and shows the picture
    after every few, until "Stop" or the last one. Those that were shown last are kept: going back
    to one shows what it had reached. A notebook cell that ends with it shows it; running that cell
    again stops it.

    Args:
        model: A network as for `maximize_activation`.
        layers: Names of layers; by default all `nn.Conv2d` and, last, `""`, the class scores.
        steps: How many are made before a picture appears.
        more: How many "Run longer" makes.
        images: Real images to compare with, `[N, C, H, W]`, normalised as the network needs. The
            one that drives the filter most is drawn beside the made picture.
        initial: The layer to begin with, or a pair of layer and filter.
        options: As for `maximize_activation`.

    Raises:
        TypeError: the model is no module, or a layer is no name.
        ValueError: there is no such layer, or there are none; `steps` is negative, or `more` is
            less than 1.

    Attributes:
        ascent: The ascent whose picture is shown; None if the very first one failed.
        running: Whether steps are being made, between other work of the kernel.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str] | None = None,
        *,
        steps: int = 32,
        more: int = 160,
        images: Tensor | None = None,
        initial: str | tuple[str, int] | None = None,
        **options: Any,
    ) -> None:
        check_model(model)
        if isinstance(layers, str):
            raise TypeError(f"layers must be several names, such as [{layers!r}].")
        if steps < 0 or more < 1:
            raise ValueError(f"steps must be 0 or more, more 1 or more, not {steps} and {more}.")
        names = [*list_layers(model, nn.Conv2d), ""] if layers is None else list(layers)
        layer, filter = (initial, 0) if isinstance(initial, str | None) else initial

        def started(layer: str, filter: int) -> ActivationAscent:
            ascent = maximize_activation(model, layer, [filter], steps=0, **options)
            _advance(ascent, steps)
            return ascent

        def strongest(layer: str) -> Tensor | None:
            same = {key: options[key] for key in ("objective", "output") & options.keys()}
            return None if images is None else channel_means(model, layer, images, **same)

        self._started, self._strongest = lru_cache(KEPT_ASCENTS)(started), cache(strongest)
        self._images = images
        self._mean, self._std = (
            options.get(*one) for one in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD))
        )
        self.ascent: ActivationAscent | None = None
        self.running, self._more, self._goal = False, more, 0  # to how many steps
        self._task: asyncio.Task[None] | None = None
        self.longer = ipywidgets.Button(
            description="Run longer",
            tooltip=f"Make {more} more steps, from where the picture is now",
        )
        self.halt = ipywidgets.Button(
            description="Stop",
            tooltip="Stop after the steps that are being made; the picture stays",
            disabled=True,
        )
        self.progress = ipywidgets.IntProgress(tooltip="Steps made")
        self.progress_text = ipywidgets.HTML()
        super().__init__(
            {name or SCORES: _word(model, name) for name in names},
            self._draw,
            initial=SCORES if layer == "" else layer,
            controls={"filter": ipywidgets.IntText(filter, description="Filter")},
            keep=0,  # the same ascent has another picture after more steps
        )
        run = boxed("vh-row", self.longer, self.halt, self.progress, self.progress_text)
        self.main.children = self.status, run, self.image
        self.longer.on_click(self._at_home(self.run_longer))
        self.halt.on_click(self._at_home(self.stop))

    def pick(self, layer: str, **choices: Any) -> None:
        """Show a layer and, with ``filter=``, one of its filters; by default that in the box.

        Raises:
            ValueError: there is no such layer; the message names the nearest ones.
        """
        super().pick(layer or SCORES, **choices)

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
        if self.ascent is None or self.running:
            return
        if self.last_error is not None:
            self.pick(self.ascent.layer, filter=self.ascent.channels[0])
        self._goal, self.running = self.ascent.steps + steps, True
        self._tell(self.ascent)
        loop = running_loop()
        if loop is None:
            while self.running:
                self._go_on(self.ascent)
        else:
            self._task = loop.create_task(self._go_on_between(self.ascent))

    def stop(self) -> None:
        """End the run; the picture stays as it is, and can go on later."""
        self.running = False
        if self._task is not None:
            self._task.cancel()
        self._task = None
        if self.ascent is not None:
            self._tell(self.ascent)

    # All of a run happens in one thread, as does what the widgets call: see `View`.

    async def _go_on_between(self, ascent: ActivationAscent) -> None:
        while vars(self) and self.running:  # not closed meanwhile
            self._go_on(ascent)
            await asyncio.sleep(PAUSE)

    def _go_on(self, ascent: ActivationAscent) -> None:
        """Make some steps and show them."""
        try:
            with self._attempt("The run has ended."):
                _advance(ascent, min(CHUNK, self._goal - ascent.steps))
                # Where a search found nothing, the text says so. It asks for the picture later.
                if self.select.value is not None:
                    self.refresh()
        except BaseException:  # interrupted
            self.stop()
            raise
        self._tell(ascent)
        if self.last_error is not None or ascent.steps >= self._goal:
            self.stop()

    def _draw(self, shown_as: str, filter: int) -> tuple[Tensor, str]:
        layer, before = "" if shown_as == SCORES else shown_as, self.ascent
        if before is not None and (before.layer, *before.channels) != (layer, filter):
            self.stop()
        ascent = self._started(layer, filter)
        real = self._strongest(layer)
        drawn, text = ascent_image(ascent, self._best(real, filter)), _sentence(ascent, real)
        if ascent is not before:
            self.ascent, self._goal = ascent, ascent.steps
            self._tell(ascent)
        return drawn, text

    def _best(self, real: Tensor | None, filter: int) -> Tensor | None:
        """The real image that drives a filter most, from 0 to 1."""
        if real is None or self._images is None:
            return None
        image = self._images[int(real[:, filter].argmax())].float().cpu()
        return denormalize(image, self._mean, self._std).clamp(0, 1)

    def _tell(self, ascent: ActivationAscent) -> None:
        """Say how far it is, beside the buttons."""
        made, goal = ascent.steps, self._goal
        self.longer.disabled, self.halt.disabled = self.running, not self.running
        if self.running and made < goal:
            text, style = f"step {made} of {goal}", "info"
        elif made < goal:
            text, style = f"stopped at step {made}", "warning"
        else:
            text, style = f"{made} steps made", "success"
        with self.progress.hold_sync():
            self.progress.max, self.progress.value = max(1, goal), made
            self.progress.bar_style = style
        self.progress_text.value = text


ascent_picker = AscentPicker


def _advance(ascent: ActivationAscent, steps: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the line of text says it: `note`
        ascent.run(steps, progress=False)


def ascent_image(ascent: ActivationAscent, beside: Tensor | None = None) -> Tensor:
    """The first picture of an ascent, every pixel a square of screen pixels: `[3, H, W]`.

    A channel that no pixel changes has words instead of the noise that it began with.

    Args:
        ascent: Whose picture.
        beside: A real image `[C, H, W]` from 0 to 1, drawn at the right, as high.
    """
    image = ascent.images[0]
    zoom = max(1, SIDE // max(image.shape[1:]))
    made = image.expand(3, -1, -1).repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    if ascent.channels[0] in ascent.silent:
        made = _words_on(made.shape[1], made.shape[2])
    if beside is None:
        return made
    height, width = beside.shape[1:]
    size = made.shape[1], max(1, round(made.shape[1] * width / height))
    real = F.interpolate(beside.expand(3, -1, -1)[None], size)[
        0
    ]  # pixels as squares, as those of the made one
    return torch.cat([made, torch.ones(3, size[0], GAP), real], dim=2)


def _words_on(height: int, width: int) -> Tensor:
    """A pale picture that says why there is none."""
    panel = Image.new("RGB", (width, height), (int(255 * PALE),) * 3)
    pen, centre = ImageDraw.Draw(panel), (width / 2, height / 2)
    pen.multiline_text(centre, SILENT, "black", letters(WORDS), anchor="mm", align="center")
    return torch.from_numpy(np.array(panel)).permute(2, 0, 1) / 255


def _word(model: nn.Module, layer: str) -> str:
    """What the list says about a layer."""
    module = get_layer(model, layer)
    count = getattr(module, "out_channels", None)
    return f"{count} filters" if isinstance(count, int) else type(module).__name__


def _sentence(ascent: ActivationAscent, real: Tensor | None) -> str:
    (channel,), reached = ascent.channels, float(ascent.activations[0])
    what = "Filter" if ascent.layer else "Class"
    text = f"{what} {channel} after {ascent.steps} steps: activation {number_text(reached)}"
    if ascent.note:
        return f"{text}; {ascent.note}"
    if real is None:
        return f"{text}."
    best, number = real[:, channel].max(0)
    strongest, where = float(best), f"the strongest of {len(real)} real images (no. {int(number)}"
    if min(strongest, reached) <= 0:  # a ratio would say nothing
        return f"{text}; {where}) has {number_text(strongest)}."
    return f"{text}, {reached / strongest:.1f} × {where}: {number_text(strongest)})."
