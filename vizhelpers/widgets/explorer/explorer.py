"""Explorer: look into any model with every tool of the course: a tree of layers, and tabs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets
from IPython import get_ipython
from PIL import Image, ImageOps
from torch import Tensor, nn

from vizhelpers._utils.arrays import pixel_array
from vizhelpers._utils.checks import Output, check_model, whole
from vizhelpers.attribution.methods import CLASS_MAPS, SALIENCY
from vizhelpers.features.receptive_fields import ReceptiveField
from vizhelpers.figures import to_png
from vizhelpers.images import _decode, load_image
from vizhelpers.layers import get_layer
from vizhelpers.widgets.base import View, boxed, running_loop
from vizhelpers.widgets.explorer import panes
from vizhelpers.widgets.explorer.long_work import Beside, Stopped, Work
from vizhelpers.widgets.explorer.panes import PANES, Asked, PaneContent
from vizhelpers.widgets.explorer.parts import CodeLine, LayerTree, Tabs
from vizhelpers.widgets.explorer.pictures import Picture
from vizhelpers.widgets.explorer.subject import Names, Row, Subject
from vizhelpers.widgets.paint_answers import percent
from vizhelpers.widgets.unit_view import LinkedView

THUMBNAIL = 104  # screen pixels, for screens with two of them in each direction
MORE = 160  # steps that "Run longer" makes
MANY = 1000  # classes, or kernels, that a list shows
NONE = -1  # in a list, where an ipywidgets list would choose nothing for None
OFTEN = 0.2  # seconds between two lines of news


class MapsView(LinkedView):
    """The linked view as a pane: another picture and another layer at any time.

    Args:
        image: [3, H, W] in [0, 1].
        maps_of: From a layer's name to its maps, and what their units see, if that is known.
        layers: All names.
        told: Called with the view, and with what it has to say.
    """

    def __init__(
        self,
        image: Tensor,
        maps_of: Callable[[str], Any],
        layers: Sequence[str],
        told: Callable[[MapsView, str, str, str], None],
    ) -> None:
        self._told = told
        super().__init__(image, maps_of, layers=layers)

    def show_layer(self, image: Tensor, layer: str) -> None:
        """Show the maps that a layer makes of an image."""
        self._photo = image
        self._load(layer)

    def set_field(self, field: ReceptiveField | str) -> None:
        """Show what the units see, now that it is known; a text says why it cannot be known."""
        self._field = panes.fitting(field, self._maps.shape)
        self._show(self.channel, self.position)

    def _say(self, kind: str, text: str, title: str = "") -> None:
        self.text = text
        self._told(self, kind, text, title)


class Explorer(View):
    """Look into any model: the tree of its layers, and every tool of the course for each.

    At the left all layers, with their share of parameters and of multiply-adds as bars, to search
    and to choose from. At the right, for the chosen layer and picture: what the layer is, its
    kernels, its feature maps and what their units see, class activation maps, saliency maps,
    activation maximisation, its weights. What does not apply says why. Below each picture stands
    the Python that makes it. Nothing of the model is changed. A notebook cell that ends with the
    explorer shows it.

    Args:
        model: Any module that takes one batch of images.
        images: What to show it: [N, 3, H, W] or [3, H, W] in [0, 1], before `normalize`, or grey
            [N, 1, H, W]; a list of such tensors, of Pillow images or of paths; a path; a folder.
        transform: From a picture [C, H, W] in [0, 1] to one input [C, h, w] of the model; by
            default the model's own ``info.transform``, else the page says what is done.
        classes: Names of the classes; by default those of ``model.info``, or numbers.
        output: Takes the class scores [N, K] out of what the model returns.
        size: Height and width to which picture files are cut; by default what the model wants.
        layer: The layer to begin with; by default its first convolution.
        pane: The tab to begin with: "layer", "kernels", "maps", "cam", "saliency", "ascent" or
            "weights".
        image: The number of the picture to begin with.
        choices: What else is chosen in this pane, as for `pick`.

    Raises:
        TypeError: the model is no module, or pictures are of the wrong kind.
        ValueError: a picture has another shape or range, the model cannot take it, or there is
            no such layer, pane, picture or choice.

    Attributes:
        layer: The chosen layer.
        pane: The chosen pane.
        index: The number of the chosen picture.
        refusal: Why the pane does not apply to the layer; empty where it does.
        code: The Python that makes the picture.
        panes: The titles of the panes, by name.

    Example:
        >>> explorer = vh.explore(model, scenes.images[:4])  # or a file, or a folder of them
        >>> explorer.pick(layer="layer4", pane="cam", method="LayerCAM", target=6)
        >>> explorer.code.splitlines()[-1][:11]
        'vh.overlay('
    """

    panes: ClassVar = {key: pane.title for key, pane in PANES.items()}

    def __init__(
        self,
        model: nn.Module,
        images: Any,
        *,
        transform: Callable[[Tensor], Tensor] | None = None,
        classes: Sequence[str] | None = None,
        output: Output | None = None,
        size: int | None = None,
        layer: str | None = None,
        pane: str = "maps",
        image: int = 0,
        **choices: Any,
    ) -> None:
        check_model(model)
        names = Names(
            _name_of(model, "model"),
            _name_of(images, "images"),
            _name_of(transform, "transform"),
            _name_of(output, "output"),
        )
        self.subject = Subject(
            model,
            images,
            transform=transform,
            classes=classes,
            output=output,
            size=size,
            names=names,
        )
        self.layer = self._known_layer(self._first_layer() if layer is None else layer)
        self.pane, self.index = panes.check_pane(pane), self._known_image(image)
        self._choices = {key: dict(each.choices) for key, each in PANES.items()}
        self._choices[self.pane] = panes.check_choices(self.pane, choices)
        self.refusal = self.code = ""
        self._maps: MapsView | None = None
        self._beside: Beside | None = None
        super().__init__()
        loop = running_loop()
        if loop is not None:
            self._loop, self._beside = loop, Beside(loop, self.subject.model)
        self._build()
        self._show_picture()
        self._show(wait=True)

    # -- from Python --------------------------------------------------------------------------

    def pick(
        self,
        *,
        layer: str | None = None,
        pane: str | None = None,
        image: int | None = None,
        **choices: Any,
    ) -> None:
        """Choose a layer, a pane, a picture and what is chosen in it; wait until it is drawn.

        Args:
            layer: Name of the layer.
            pane: Name of the pane, one of `panes`.
            image: Number of the picture.
            choices: In "kernels": ``channel``, None for all at once. In "maps": ``channel`` and
                ``position``, row and column of a unit. In "cam" and "saliency": ``target``, a
                class, None for the predicted one; and ``method``. In "ascent": ``channel`` and
                ``steps``.

        Raises:
            ValueError: there is no such layer, pane or picture; the message names the nearest.
            TypeError: there is no such choice in this pane.
        """
        pane = self.pane if pane is None else panes.check_pane(pane)
        layer = self.layer if layer is None else self._known_layer(layer)
        index = self.index if image is None else self._known_image(image)
        panes.check_choices(pane, choices)
        self._forget_choices(layer)
        self._choices[pane].update(choices)
        self._go(layer, pane, index, wait=True)

    def stop(self) -> None:
        """End what takes long; what was reached is shown."""
        if self._beside is not None:
            self._beside.halt()

    def refresh(self) -> None:
        """Look at everything anew, for instance because the model was trained on."""
        self._halt()
        self.subject.forget()
        if self._beside is not None:
            self._beside = Beside(self._loop, self.subject.model)
        self._show_picture()
        self._show(wait=True)

    def pane_content(
        self, layer: str, pane: str, image: int | None = None, **choices: Any
    ) -> PaneContent:
        """Make what a pane shows, and leave what is on the page as it is."""
        index = self.index if image is None else self._known_image(image)
        asked = Asked(self.subject, self._known_layer(layer), index)
        choices = panes.check_choices(panes.check_pane(pane), choices)
        if why := PANES[pane].why_not(asked):
            return PaneContent(refusal=f"{_called(layer)}: {why}")
        return PANES[pane].make(asked, **choices)

    def why_not(self, layer: str, pane: str) -> str:
        """Tell why a pane does not apply to a layer; empty where it does. Nothing is run."""
        asked = Asked(self.subject, self._known_layer(layer), self.index)
        return PANES[panes.check_pane(pane)].why_not(asked)

    def save_html(self, path: str | Path, **options: Any) -> Path:
        """Save a page that needs no kernel: see `vizhelpers.widgets.explorer.html_page`."""
        from vizhelpers.widgets.explorer.html_page import save_html

        return save_html(self, path, **options)

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.subject.model

    @property
    def images(self) -> tuple[Tensor, ...]:
        """The pictures as they were given, each [C, H, W] in [0, 1]."""
        return tuple(picture.pixels for picture in self.subject.pictures)

    @property
    def names(self) -> tuple[str, ...]:
        """What the pictures are called."""
        return tuple(picture.name for picture in self.subject.pictures)

    @property
    def layers(self) -> tuple[str, ...]:
        """All names in the tree; "" is the model itself."""
        return tuple(self.subject.layers)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The tree, row by row."""
        return self.subject.rows(self.index)

    @property
    def choices(self) -> dict[str, Any]:
        """What is chosen in the present pane."""
        return dict(self._choices[self.pane])

    @property
    def answer(self) -> str:
        """What the model says to the picture."""
        return self.subject.answer(self.index)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not given and had to be found."""
        return self.subject.notes

    @property
    def picture(self) -> bytes:
        """The PNG of the pane; empty where the pane does not apply."""
        if self.refusal:
            return b""
        return self._maps.image.png if self.pane == "maps" and self._maps else self.image.png

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """All PNGs of the pane: for feature maps the mosaic, then the unit."""
        beside = (self._maps.mosaic.png,) if self.pane == "maps" and self._maps else ()
        return (*beside, self.picture) if self.picture else ()

    def seen(self, image: int) -> Tensor:
        """What the model sees of a picture: float32 [3, H, W] in [0, 1]."""
        return self.subject.prepared(self._known_image(image)).image

    def close(self) -> None:
        """Take it off the page, and let go of the model."""
        if vars(self):
            self._halt()
            if self._maps is not None:
                self._maps.close()
        super().close()

    # -- the page -----------------------------------------------------------------------------

    def _build(self) -> None:
        """Make all parts of the page, once."""
        self.tree = LayerTree(chosen=self.layer)
        tabs = [{"key": key, "title": pane.title} for key, pane in PANES.items()]
        self.tabs = Tabs(items=tabs, chosen=self.pane, label="What to see of the layer")
        self.thumbnails = Tabs(label="Picture")
        self.upload = ipywidgets.FileUpload(
            accept="image/*", multiple=True, description="Add a picture"
        )
        self.says, self.title = ipywidgets.HTML(), ipywidgets.HTML().add_class("vh-title")
        self.note = ipywidgets.HTML(escape(" ".join(self.notes))).add_class("vh-note")
        self.code_line = CodeLine()
        given = boxed("vh-given", self.thumbnails, self.upload)
        self._build_controls()
        self.stage = boxed("vh-stage", self.image)
        parts = given, self.says, self.note, self.title, self.tabs, self.controls
        right = boxed("vh-panes", *parts, self.status, self.stage, self.code_line)
        self.widget = boxed("vh-view", boxed("vh-columns", self.tree, right))
        self.widget.add_class("vh-explorer")
        self._listen(self._on_tree, self.tree, to="chosen")
        self._listen(self._on_tab, self.tabs, to="chosen")
        self._listen(self._on_thumbnail, self.thumbnails, to="chosen")
        self._listen(self._on_upload, self.upload, to="value")

    def _build_controls(self) -> None:
        """What can be chosen in the panes; each pane shows its own."""
        self.target = ipywidgets.Dropdown(description="Class")
        self.cam = ipywidgets.Dropdown(options=list(CLASS_MAPS), description="Method")
        self.saliency = ipywidgets.Dropdown(options=list(SALIENCY), description="Method")
        self.kernel = ipywidgets.Dropdown(description="Kernel")
        self.channel = ipywidgets.IntText(0, description="Channel")
        self.longer = ipywidgets.Button(
            description="Run longer", tooltip=f"Make {MORE} more steps, from where the picture is"
        )
        self.halt = ipywidgets.Button(
            description="Stop", tooltip="Stop after this step; what was reached stays"
        )
        self.progress = ipywidgets.IntProgress(tooltip="How far it is")
        self.progress_text = ipywidgets.HTML()
        self._boxes: dict[str, dict[str, ipywidgets.Widget]] = {  # by pane and choice
            "kernels": {"channel": self.kernel},
            "cam": {"target": self.target, "method": self.cam},
            "saliency": {"target": self.target, "method": self.saliency},
            "ascent": {"channel": self.channel},
        }
        names = {box: name for boxes in self._boxes.values() for name, box in boxes.items()}
        for box, name in names.items():
            self._listen(partial(self._on_choice, name, box), box, to="value")
        running = self.halt, self.progress, self.progress_text
        self.controls = boxed("vh-row", *names, self.longer, *running)
        self.longer.on_click(self._at_home(self._on_longer))
        self.halt.on_click(self._at_home(self.stop))

    def _on_choice(self, name: str, box: ipywidgets.Widget) -> None:
        choices = self._choices[self.pane]
        value = None if box.value == NONE else box.value
        if not self._quiet and value != choices.get(name, value):
            choices[name] = value
            if self.pane == "ascent":  # of another channel
                choices["steps"] = panes.STEPS
            self._show()

    # Each looks whether what it is told is shown already, so that no change causes another.

    def _on_tree(self) -> None:
        if self.tree.chosen != self.layer:
            self._forget_choices(self.tree.chosen)
            self._go(self.tree.chosen, self.pane, self.index)

    def _on_tab(self) -> None:
        if self.tabs.chosen != self.pane:
            self._go(self.layer, self.tabs.chosen, self.index)

    def _on_thumbnail(self) -> None:
        if self.thumbnails.chosen != str(self.index):
            self._go(self.layer, self.pane, int(self.thumbnails.chosen))

    def _on_longer(self) -> None:
        if self.pane == "ascent":
            self._choices["ascent"]["steps"] += MORE
        self._show()

    def _on_upload(self) -> None:
        for file in self.upload.value:
            self._take(file)
        if self.upload.value:
            self.upload.value = ()  # so that the same file can be chosen again

    def _take(self, file: Mapping[str, Any]) -> None:
        """Add a file that was uploaded; of a bad one a message is shown, and nothing changes."""
        with self._attempt(f"{file['name']} could not be added."):
            opened = _decode(io.BytesIO(file["content"]), Path(file["name"]))
            number = len(self.names)
            code = f"{_name_of(self, 'explorer')}.images[{number}]"
            pixels = load_image(opened, size=self.subject.size)
            self.subject.add(Picture(file["name"], pixels, code))
            self._go(self.layer, self.pane, number)

    def _on_cell(self, info: Any) -> None:
        # What works beside the cells ends first: it has the random numbers to put back.
        if self._halt():
            self._offer_again("Stopped, because a cell was run.")
        super()._on_cell(info)

    # -- what is shown ------------------------------------------------------------------------

    def _go(self, layer: str, pane: str, index: int, *, wait: bool = False) -> None:
        """Show another layer, pane or picture."""
        other = index != self.index
        self.layer, self.pane, self.index = layer, pane, index
        self.tree.chosen, self.tabs.chosen = layer, pane
        with self._attempt(f"{self.names[index]} could not be shown."):
            if other:
                self._show_picture()
            self._show(wait=wait)

    def _forget_choices(self, layer: str) -> None:
        """Of another layer no channel is chosen yet."""
        if layer != self.layer:
            for key in ("kernels", "maps", "ascent"):
                self._choices[key] = dict(PANES[key].choices)

    def _show_picture(self) -> None:
        """Show which picture is chosen, and what the model says to it."""
        pictures = self.subject.pictures
        if len(self.thumbnails.items) != len(pictures):
            self.thumbnails.items = [
                {"key": str(k), "title": picture.name, "png": _thumbnail(picture)}
                for k, picture in enumerate(pictures)
            ]
        self.thumbnails.chosen = str(self.index)
        name = escape(self.names[self.index])
        self.says.value = f"<b>{name}</b>: {escape(self.answer)}"
        self.tree.rows = [vars(row) for row in self.rows]
        ranking = self.subject.ranking(self.index)[:MANY]
        with self._quietly():
            self.target.options = [
                ("the predicted one", NONE),
                *((f"{self.subject.class_name(k)}, {percent(share)}", k) for k, share in ranking),
            ]

    def _show(self, *, wait: bool = False) -> None:
        """Show what is chosen; what takes long is made beside the cells."""
        self._halt()
        asked, pane, choices = self._asked, PANES[self.pane], self.choices
        self.refusal = pane.why_not(asked)
        self._show_frame(asked)
        if self.refusal:
            self._refuse()
        elif self.pane == "maps":
            self._show_maps(asked, wait=wait)
        elif wait or not pane.is_long or self._beside is None or self._beside.model is None:
            with self._attempt(f"{self._what()} could not be drawn."):
                make = partial(pane.make, asked, **choices)
                self._put_content(self.subject.once(self._key(), make))
        elif (kept := self.subject.kept.get(self._key())) is not None:
            self._put_content(kept)
        else:
            self._begin(partial(pane.make, **choices))

    @property
    def _asked(self) -> Asked:
        return Asked(self.subject, self.layer, self.index)

    def _key(self) -> tuple[Any, ...]:
        choices = tuple(sorted(self.choices.items(), key=str))
        return "content", self.pane, self.layer, self.index, choices

    def _put_content(self, content: PaneContent) -> None:
        self.code = self.code_line.code = content.code
        self._put(self._what(), content.png, content.text)

    def _refuse(self) -> None:
        self.code = self.code_line.code = ""
        self.last_error, self.shown = None, self._what()
        self.image.png, self.image.alt = b"", ""
        self._say(
            "refusal",
            f"{PANES[self.pane].title}: not for {_called(self.layer)}. "
            f"{self.refusal[0].upper()}{self.refusal[1:]}",
        )

    def _what(self) -> str:
        return f"{PANES[self.pane].title.lower()} of {_called(self.layer)}"

    def _show_frame(self, asked: Asked) -> None:
        """Show what is chosen in the tree, tabs and boxes; the picture comes later."""
        row = self.subject.row(self.layer, self.index)
        kind = "" if row.label == row.kind else f" {escape(row.kind)}"
        returns = f" → {row.shape}" if row.shape else ""
        self.title.value = f"<code>{escape(row.name or row.label)}</code>{kind}{returns}"
        self.tabs.refused = {
            key: why for key, pane in PANES.items() if (why := pane.why_not(asked))
        }
        self.tree.refused = self.subject.once(
            ("refused", self.pane, asked.shape), lambda: self._refused(asked)
        )
        self.longer.description = "Run longer"
        of_pane = [] if self.refusal else [*self._boxes.get(self.pane, {}).values()]
        of_pane += [self.longer] * (self.pane == "ascent" and not self.refusal)
        for box in self.controls.children:
            box.layout.display = None if box in of_pane else "none"
        with self._quietly():
            self._show_choices(asked)
        is_maps = self.pane == "maps" and not self.refusal
        self.image.layout.display = "none" if is_maps else None
        if self._maps is not None:
            self.maps_box.layout.display = None if is_maps else "none"

    def _refused(self, asked: Asked) -> dict[str, str]:
        """Why the pane does not apply, for each layer where it does not."""
        each = {name: PANES[self.pane].why_not(replace(asked, layer=name)) for name in self.layers}
        return {name: why for name, why in each.items() if why}

    def _show_choices(self, asked: Asked) -> None:
        if self.refusal:
            return
        if self.pane == "kernels":
            count = min(len(panes.weight_of(asked.module)), MANY)
            together = [("all at once", NONE)] if panes.all_at_once(asked.module) else []
            self.kernel.options = together + [(str(k), k) for k in range(count)]
        for name, box in self._boxes.get(self.pane, {}).items():
            value = NONE if self.choices[name] is None else self.choices[name]
            known = getattr(box, "_options_values", (value,))  # of a list
            box.value = value if value in known else known[0]

    # -- feature maps -------------------------------------------------------------------------

    def _show_maps(self, asked: Asked, *, wait: bool) -> None:
        """Show the maps at once, and what their units see when that has been measured."""
        if wait or self._beside is None or self._beside.model is None:
            panes.measure_field(asked)
        image, choices = self.subject.prepared(self.index).image, self.choices
        if self._maps is None:
            names = [self.layer, *self.layers]
            self._maps = MapsView(image, self._maps_and_field, names, self._heard)
            unit = self._maps.image.add_class("vh-unit")
            pictures = boxed("vh-pictures", self._maps.mosaic, unit)
            self.maps_box = boxed("vh-maps", boxed("vh-row", self._maps.number), pictures)
            self.stage.children = (self.maps_box, self.image)
        else:
            self._maps.show_layer(image, self.layer)
        if choices["channel"] is not None and self._maps.last_error is None:
            with self._attempt(f"{self._what()} could not be drawn."):
                self._maps.choose(choices["channel"], choices["position"])
        if self.last_error is None and self._field(asked) is None:
            self._begin(panes.measure_field, "measuring what its units see")

    def _field(self, asked: Asked) -> ReceptiveField | str | None:
        """What the units see; a text that says why that is not known; None if not yet measured."""
        known: ReceptiveField | str | None = self.subject.kept.get(panes.field_key(asked))
        return known

    def _maps_and_field(self, layer: str) -> Any:
        asked = Asked(self.subject, layer, self.index)
        maps = panes.maps_of(asked)
        return maps, panes.fitting(self._field(asked), maps.shape)

    def _heard(self, maps: MapsView, kind: str, text: str, title: str) -> None:
        """The maps have something to say: it is said here, with the code for the unit."""
        asked = self._asked
        self.last_error = maps.last_error
        if self.last_error is None:
            self.shown = maps.shown
            has_field = maps._field is not None
            self.code = panes.maps_code(asked, maps.channel, maps.position, has_field=has_field)
            self.code_line.code = self.code
            text += panes.map_note(asked)
            field = self._field(asked)
            text += f" What its units see is not known: {field}" if isinstance(field, str) else ""
        self._say(kind, text)

    # -- long work ----------------------------------------------------------------------------

    def _begin(self, make: Callable[[Asked], Any], what: str = "working") -> None:
        """Have something made beside the cells; show how far it is, and the result."""
        assert self._beside is not None
        work, last = Work(self._beside.model), [0.0]
        asked = replace(self._asked, work=work)

        def news(preview: Callable[[], bytes] | None) -> None:  # beside the cells
            now = time.monotonic()
            if now - last[0] > OFTEN:
                last[0] = now
                png = preview() if preview else b""
                self._loop.call_soon_threadsafe(self._on_news, work, png)

        work.on_news = news
        if self.pane != "maps":
            self.image.stale = True
            self._say("caption", f"Now comes {self._what()}.")
        self._progress(work, what)
        for box in (self.halt, self.progress_text):
            box.layout.display = None
        self._beside.start(work, lambda: make(asked), partial(self._on_end, work))

    def _on_news(self, work: Work, png: bytes) -> None:
        if not vars(self) or self._beside is None or self._beside.work is not work:
            return
        if png:
            self.image.png, self.image.stale = png, False
        self._progress(work, "step" if self.pane == "ascent" else "pass")

    def _progress(self, work: Work, what: str) -> None:
        self.progress.layout.display = None if work.goal else "none"
        with self.progress.hold_sync():
            self.progress.max = max(1, work.goal)
            self.progress.value = min(work.made, self.progress.max)
        self.progress_text.value = (
            f"{what} {work.made} of about {work.goal}" if work.goal else f"{what} …"
        )

    def _on_end(self, work: Work, result: Any, error: BaseException | None) -> None:
        """Show what was made."""
        if not vars(self):
            return
        self._hide_progress()
        if isinstance(error, Stopped):
            self._offer_again("Stopped.")
        elif isinstance(result, PaneContent):
            if self.pane == "ascent":  # as many as were made
                self._choices["ascent"]["steps"] = work.made
            self.subject.keep(self._key(), result)
            self._put_content(result)
        elif error is None and self._maps is not None:
            self._maps.set_field(result)
        else:
            with self._attempt(f"{self._what()} could not be drawn."):
                raise error or RuntimeError("nothing was made")

    def _offer_again(self, text: str) -> None:
        """Say that something was stopped; the button begins it anew."""
        if self.pane != "ascent":
            self.longer.description, self.longer.layout.display = "Run again", None
        self._complain(text)

    def _hide_progress(self) -> None:
        for box in (self.halt, self.progress, self.progress_text):
            box.layout.display = "none"

    def _halt(self) -> bool:
        """End what works beside the cells, if anything does; return whether it did."""
        if self._beside is None or self._beside.work is None:
            return False
        self._beside.stop()
        self._hide_progress()
        return True

    # -- checks -------------------------------------------------------------------------------

    def _first_layer(self) -> str:
        """The first convolution that was called, or the first layer that shows maps, or any."""
        asked = [Asked(self.subject, name, 0) for name in self.subject.layers]
        shows = [each for each in asked if not PANES["maps"].why_not(each)]
        convs = [each.layer for each in shows if isinstance(each.module, nn.Conv2d)]
        return [*convs, *(each.layer for each in shows), *self.subject.layers][0]

    def _known_layer(self, layer: str) -> str:
        if isinstance(layer, nn.Module) or layer not in self.subject.layers:
            module = get_layer(self.subject.model, layer)
            return next(name for name, other in self.subject.layers.items() if other is module)
        return layer

    def _known_image(self, image: int) -> int:
        count = len(self.subject.pictures)
        if not -count <= whole("image", image) < count:
            raise ValueError(f"there are pictures 0 to {count - 1}, not {image}.")
        return whole("image", image) % count


explore = Explorer


def _called(layer: str) -> str:
    return layer or "the whole model"


def _name_of(value: object, usual: str) -> str:
    """What a thing is called in the notebook, such as `net.body`; else the usual name."""
    names = getattr(get_ipython(), "user_ns", {})
    if value is None or names.get(usual) is value:
        return usual
    own = [(name, each) for name, each in list(names.items()) if name[:1] != "_"]
    parts = [
        (f"{name}.{field}", part)
        for name, each in own
        for field, part in getattr(each, "__dict__", {}).items()
    ]
    return next((name for name, each in own + parts if each is value), usual)


def _thumbnail(picture: Picture) -> bytes:
    whole_picture = Image.fromarray(pixel_array(picture.pixels.expand(3, -1, -1)))
    return to_png(ImageOps.fit(whole_picture, (THUMBNAIL, THUMBNAIL)))
