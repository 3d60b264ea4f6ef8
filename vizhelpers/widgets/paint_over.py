"""Paint over a picture with the mouse and watch the network's answer move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from numpy.typing import ArrayLike
from torch import Tensor, nn

from vizhelpers._utils.arrays import photo
from vizhelpers._utils.checks import Output, check_model, whole
from vizhelpers.figures import to_png
from vizhelpers.widgets.base import PictureBox, View, boxed
from vizhelpers.widgets.paint_answers import (
    Bars,
    Network,
    describe_network,
    draw_painted,
    percent,
)

GREY = 0.5
OTHER = "other picture"


class PaintBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A picture to paint over, with brush, fill, undo and bars: all that is on the page.

    The browser paints by itself and sends the mask with a new number in `asked`. While Python
    works nothing more is sent, and then only the last one.
    """

    _esm = Path(__file__).with_name("paint_over.js").read_text(encoding="utf-8")
    _css = PictureBox._css + Path(__file__).with_name("paint_over.css").read_text(encoding="utf-8")
    size = traitlets.List([0, 0]).tag(sync=True)  # height and width, in pixels
    pixels = traitlets.Bytes().tag(sync=True)  # of the picture, RGB
    fills = traitlets.Dict().tag(sync=True)  # of what is painted with, by its name
    # 1 where a pixel is painted. Cast: what a page sends comes as a memoryview.
    mask = traitlets.CBytes().tag(sync=True, echo_update=False)
    fill = traitlets.Unicode().tag(sync=True)
    brush = traitlets.Int().tag(sync=True)  # its diameter, in pixels
    tables = traitlets.List().tag(sync=True)  # see `Bars.table`
    asked = traitlets.Int().tag(sync=True, echo_update=False)  # counts what the page has sent
    answered = traitlets.Int().tag(sync=True)  # which of these is answered, be it by an error
    alt = traitlets.Unicode().tag(sync=True)
    stale = traitlets.Bool().tag(sync=True)  # the bars are not those of this picture


class PaintOver(View):
    """Paint over parts of a picture (occlusion) and see the class probabilities change as bars.

    Drag over the picture: what is painted is replaced by grey, by a blurred copy of the picture
    or by another picture, and the network is asked again at once. By keyboard the arrow keys move
    the brush (with Shift by one pixel), Space paints, ``+`` and ``-`` change its size, ``u``
    takes the last stroke back and Escape starts again. A thin line in each bar marks the answer
    before anything was painted. A notebook cell that ends with it shows it.

    Args:
        image: [3, H, W] in [0, 1], before `normalize`.
        model: A network that returns class scores [N, K]. It is asked in evaluation mode, and
            stays as it was.
        compare_with: A second network that is asked about the same picture.
        fill: What painted pixels become: "grey", "blur", or with ``other=`` "other picture".
        other: [3, H, W] in [0, 1], of the same size: another scene to paint with.
        mask: Bool [H, W], what is painted at the start.
        brush: Diameter of the brush in pixels; by default a tenth of the picture's longer side.
        names: What to call the networks, one name for each.
        classes: Names of the K classes; by default those of ``model.info``, or numbers. Of more
            than ten, the strongest five of the start are shown, and what comes up later.
        transform: From a picture [3, H, W] in [0, 1] to one input [C, h, w] of the networks; by
            default each network's own ``model.info.transform``. What that cuts off at the
            border, as of a picture that is not square, no network sees.
        output: Takes the class scores out of what a model returns.

    Raises:
        TypeError: a model is no module or returns no tensor of scores; the mask is not bool.
        ValueError: a picture or mask has another shape or range; a model without ``info`` is
            given without ``transform``; names do not match; there is no such fill.

    Example:
        >>> fair, shortcut = (vh.load_model("resnet18", twin=t) for t in ("fair", "shortcut"))
        >>> painting = vh.paint_over(scene.image, fair, shortcut, names=["fair", "shortcut"])
        >>> painting.mask = scene.mask < 0.5  # the whole background
    """

    def __init__(
        self,
        image: ArrayLike | Tensor,
        model: nn.Module,
        compare_with: nn.Module | None = None,
        *,
        fill: str = "grey",
        other: ArrayLike | Tensor | None = None,
        mask: Tensor | None = None,
        brush: int | None = None,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        output: Output | None = None,
    ) -> None:
        self._picture = torch.from_numpy(photo(image).copy())
        self._fills = _fills(self._picture, other)
        models = [model] if compare_with is None else [model, compare_with]
        self._networks = _distinct(
            describe_network(each, name, transform, classes, output)
            for each, name in zip(models, _checked_names(models, names), strict=True)
        )
        # Before there is any widget: what a model cannot answer at all is refused here.
        self._bars = _group(self._networks, self._picture)
        height, width = self._picture.shape[1:]
        first = torch.zeros(height, width, dtype=torch.bool) if mask is None else mask
        box = PaintBox(
            size=[height, width],
            pixels=_pixels(self._picture),
            fills={name: _pixels(picture) for name, picture in self._fills.items()},
            mask=_mask_bytes(first, height, width),
            fill=_checked_fill(fill, self._fills),
            brush=_checked_brush(brush, height, width),
        )
        self._answered: tuple[bytes, str] | None = None
        self._png: tuple[object, bytes] = (None, b"")
        super().__init__(box.add_class("vh-paint"))
        self.widget = boxed("vh-view", self.image, self.status)
        self._answer()
        self._listen(self._answer, self.image, to="asked")

    @property
    def mask(self) -> Tensor:
        """Bool [H, W], a copy: True where a pixel is painted. Set it to paint from Python."""
        painted = np.frombuffer(self.image.mask, dtype=np.uint8).reshape(self.image.size)
        return torch.from_numpy(painted != 0)

    @mask.setter
    def mask(self, mask: Tensor) -> None:
        self.image.mask = _mask_bytes(mask, *self.image.size)
        self._answer()

    @property
    def fill(self) -> str:
        """What painted pixels become: "grey", "blur" or "other picture"."""
        return self.image.fill

    @fill.setter
    def fill(self, fill: str) -> None:
        self.image.fill = _checked_fill(fill, self._fills)
        self._answer()

    @property
    def painted(self) -> Tensor:
        """The painted picture, float32 [3, H, W] in [0, 1]."""
        return torch.where(self.mask, self._fills[self.fill], self._picture)

    @property
    def probabilities(self) -> Tensor | tuple[Tensor, ...]:
        """What the networks say to the painted picture, [K]; of two networks a tuple of two."""
        found = tuple(network.probabilities(self.painted) for network in self._networks)
        return found if len(found) > 1 else found[0]

    @property
    def picture(self) -> bytes:
        """A PNG of the painted picture and the bars, as they are now."""
        made_for, png = self._png
        if made_for != self._answered:
            title = self.text.split(":")[0]
            png = to_png(draw_painted(self.painted, self.image.tables, title))
            self._png = self._answered, png
        return png

    def _answer(self) -> None:
        """Ask the networks about the picture as it is now, if they have not been asked yet.

        Of several calls that had to wait, the first one finds the last stroke, the others nothing.
        """
        asked, state = self.image.asked, (self.image.mask, self.image.fill)
        with self.image.hold_sync():
            if state != self._answered:
                self._answered = state
                with self._attempt("The networks could not answer."):
                    self._show_answer(self.painted)
            self.image.answered = asked

    def _show_answer(self, painted: Tensor) -> None:
        tables, said = [], []
        for bars in self._bars:
            now = [network.probabilities(painted) for network in bars.networks]
            tables.append(bars.table(now))
            said += [_said(*pair) for pair in zip(bars.networks, now, strict=True)]
        share = float(self.mask.float().mean())
        how_much = f"{percent(share)} painted" if share else "Nothing painted"
        self.image.tables, self.image.stale, self.last_error = tables, False, None
        self.shown = f"picture, {how_much.lower()}"
        self.image.alt = f"{how_much}: {', '.join(said)}."
        self._say("caption", self.image.alt)

    def _complain(self, text: str) -> None:
        self.image.alt = text
        self._say("problem", f"{text} (The bars are still those of an earlier picture.)")


paint_over = PaintOver


def _fills(picture: Tensor, other: ArrayLike | Tensor | None) -> dict[str, Tensor]:
    """What can be painted with, each a whole picture."""
    fills = {"grey": torch.full_like(picture, GREY), "blur": _blurred(picture)}
    if other is not None:
        pixels = torch.from_numpy(photo(other).copy())
        if pixels.shape != picture.shape:
            raise ValueError(
                f"other must have the size of image, {list(picture.shape)}, not "
                f"{list(pixels.shape)}. vh.load_image(path, size=…) makes pictures of one size."
            )
        fills[OTHER] = pixels
    return fills


def _blurred(picture: Tensor) -> Tensor:
    """So much that what a thing is cannot be seen any more, but its colour can."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    std = max(picture.shape) / 12
    return torch.from_numpy(gaussian_filter(picture.numpy(), (0, std, std), mode="nearest"))


def _pixels(picture: Tensor) -> bytes:
    return (picture * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy().tobytes()


def _mask_bytes(mask: Any, height: int, width: int) -> bytes:
    painted = torch.as_tensor(mask)
    if painted.dtype != torch.bool:
        raise TypeError(f"mask must be bool, not {painted.dtype}: for instance scene.mask > 0.5.")
    if painted.shape != (height, width):
        raise ValueError(
            f"mask must have the size of the picture, {[height, width]}, not {list(painted.shape)}."
        )
    return painted.cpu().numpy().astype(np.uint8).tobytes()


def _checked_fill(fill: str, fills: dict[str, Tensor]) -> str:
    if fill not in fills:
        hint = " Give that picture as other=." if fill == OTHER else ""
        raise ValueError(f"fill must be one of {', '.join(map(repr, fills))}; got {fill!r}.{hint}")
    return fill


def _checked_brush(brush: int | None, height: int, width: int) -> int:
    longer = max(height, width)
    widest = max(1, longer // 2)
    if brush is None:
        return max(1, longer // 10)
    if not 1 <= whole("brush", brush) <= widest:
        raise ValueError(f"brush must be 1 to {widest} pixels wide, not {brush}.")
    return whole("brush", brush)


def _checked_names(models: list[nn.Module], names: Sequence[str] | None) -> list[str | None]:
    for model, what in zip(models, ("model", "compare_with"), strict=False):
        check_model(model, what)
    if names is None:
        return [None] * len(models)
    if isinstance(names, str) or len(names) != len(models):
        raise ValueError(f"names must be a list with one name for each of {len(models)} networks.")
    return list(names)


def _distinct(networks: Iterable[Network]) -> list[Network]:
    """The networks, with a number behind their names where these are the same."""
    found = list(networks)
    if len({network.name for network in found}) == len(found):
        return found
    return [replace(each, name=f"{each.name} ({k})") for k, each in enumerate(found, 1)]


def _group(networks: list[Network], picture: Tensor) -> list[Bars]:
    """Networks with the same classes share their rows; others have bars of their own."""
    start = [network.probabilities(picture) for network in networks]
    same = len({(network.classes, len(p)) for network, p in zip(networks, start, strict=True)}) == 1
    if same:
        return [Bars(networks, start)]
    return [Bars([network], [p]) for network, p in zip(networks, start, strict=True)]


def _said(network: Network, now: Tensor) -> str:
    top = int(now.argmax())
    return f"{network.name} says {network.class_name(top)} ({percent(float(now[top]))})"
