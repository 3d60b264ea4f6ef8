"""The explorer's panes: what each shows of a layer, when it does not apply, and its line of code.

Each is one of the course's plain functions. It returns the picture with the Python that makes it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, is_float, whole
from vizhelpers._utils.layouts import channels_last, fits
from vizhelpers._utils.messages import did_you_mean
from vizhelpers.attribution.methods import CLASS_MAPS, SALIENCY, check_method
from vizhelpers.features.activation_maximization import ActivationAscent, maximize_activation
from vizhelpers.features.receptive_fields import Pair, ReceptiveField, receptive_field
from vizhelpers.features.unit_plot import _sentence, _spot, draw_maps, show_unit, strongest_map
from vizhelpers.figures import number_text, to_png
from vizhelpers.inspection.layer_costs import formula, layer_budget, show_budget
from vizhelpers.inspection.weight_plots import show_kernels, show_weight_stats
from vizhelpers.plotting import overlay, show_mosaic
from vizhelpers.widgets.explorer.long_work import Stopped, Work
from vizhelpers.widgets.explorer.subject import Shape, Subject

MOST_WEIGHTS = 12_000_000  # more would take seconds to draw, and one would see nothing
STEPS, CHUNK = 32, 4
BOTH = ("photo", "overlay")
MOST_SHOWN = 0.995  # a few pixels far above all others would leave the rest invisible


def quoted(text: str) -> str:
    """A text as Python, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def listed(texts: Iterable[str]) -> str:
    """Texts as a list in Python, in double quotes."""
    return f"[{', '.join(map(quoted, texts))}]"


@dataclass(frozen=True)
class PaneContent:
    """What a pane shows.

    Attributes:
        png: The picture; empty where the pane does not apply.
        text: A line about it.
        code: The Python that makes it.
        refusal: Why the pane does not apply; empty where it does.
        beside: More pictures that belong to it, shown before it.
    """

    png: bytes = b""
    text: str = ""
    code: str = ""
    refusal: str = ""
    beside: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Asked:
    """For what a pane is asked.

    Attributes:
        subject: The model and its pictures.
        layer: Name of the layer.
        index: Which picture.
        work: Told how far it is; has the model to use, which may be a copy.
    """

    subject: Subject
    layer: str
    index: int
    work: Work = field(default_factory=Work)

    @property
    def model(self) -> nn.Module:
        """The model, or a copy of it that nobody else uses."""
        return self.work.model or self.subject.model

    @property
    def module(self) -> nn.Module:
        """The layer itself."""
        return self.subject.layers[self.layer]

    @property
    def shape(self) -> Shape:
        """Of what the model is given."""
        return self.subject.shape(self.index)

    @property
    def get_layer(self) -> str:
        """The Python for the layer."""
        name = self.subject.names.model
        return f"vh.get_layer({name}, {quoted(self.layer)})" if self.layer else name

    def code(self, *lines: str) -> str:
        """Lines of Python, after those that prepare the picture."""
        return "\n".join([self.subject.prepared(self.index).code, *lines])


Make = Callable[..., PaneContent]


@dataclass(frozen=True)
class Pane:
    """One of the tabs.

    Attributes:
        title: On the tab.
        make: Makes its content.
        why_not: Says without running anything why it does not apply; empty where it may.
        choices: Names of what can be chosen, with what is chosen at the start.
        is_long: Whether it may take long with these choices.
    """

    title: str
    make: Make
    why_not: Callable[[Asked], str]
    choices: dict[str, Any] = field(default_factory=dict)
    is_long: bool = False


# -- what a layer returns ---------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """How maps [C, h, w] are made of what a layer returns for one picture.

    Attributes:
        function: Does it.
        code: The same as Python, behind what the layer returned.
        note: What is to be known about it.
        last: Whether the layer returns [N, h, w, C].
    """

    function: Callable[[Tensor], Tensor] = lambda out: out
    code: str = ""
    note: str = ""
    last: bool = False


def layout(asked: Asked) -> Layout | str:
    """How a layer's maps are laid out; or why it has none."""
    calls = asked.subject.calls(asked.layer, asked.index)
    if not calls:
        return _never_called(asked)
    shapes = calls[0].outputs
    if len(shapes) != 1:
        return _several(asked, len(shapes))
    shape = shapes[0]
    if len(shape) == 4 and shape[0] == 1:
        return _map_layout(asked, shape)
    if len(shape) == 3 and shape[0] == 1:
        return _token_layout(asked, shape)
    if len(shape) > 2:
        return f"it returns {list(shape)}, neither maps [1, C, h, w] nor tokens [1, places, C]."
    count = f"{shape[-1]} numbers" if shape[1:] > (1,) else "one number"
    return f"it returns {count} for the whole picture, without places: there is no map to see."


def _map_layout(asked: Asked, shape: Shape) -> Layout | str:
    last = channels_last(asked.module, torch.empty(shape, device="meta"))
    if last is None:
        last = fits(shape[1:3], asked.shape[2:]) and not fits(shape[2:], asked.shape[2:])
    rows, columns = shape[1:3] if last else shape[2:]
    if rows * columns == 1:
        return f"it returns {max(shape[1:])} numbers with one place each: there is no map to see."
    if last:
        words = "its channels come last, [h, w, C], and are moved to the front"
        return Layout(lambda out: out.movedim(-1, 0), ".movedim(-1, 0)", words, last=True)
    return Layout()


def _token_layout(asked: Asked, shape: Shape) -> Layout | str:
    """Tokens of patches, behind a class token or some registers, back in their places."""
    tokens, width = shape[1:]
    grid = _patch_grid(asked)
    others = tokens - grid[0] * grid[1] if grid else -1
    if grid is None or not 0 <= others <= 8:
        return (
            f"it returns tokens instead of places, {tokens} of {width} numbers, and how they lie "
            "in the picture cannot be told."
        )
    cut = f"[{others}:]" if others else ""
    code = f"{cut}.T.unflatten(1, {grid})"
    words = f"tokens instead of places: {grid[0]}×{grid[1]} patches are put back where they were"
    words += f", {others} other token{'s' * (others > 1)} left out" if others else ""
    rows = grid[0]
    return Layout(lambda out: out[others:].T.reshape(width, rows, -1), code, words)


def _patch_grid(asked: Asked) -> Pair | None:
    """Rows and columns of the last convolution that was called: a transformer's patches."""
    subject = asked.subject
    for name, calls in reversed(subject.forward(asked.index).calls.items()):
        shape = calls[0].outputs[0] if calls[0].outputs else ()
        if isinstance(subject.layers.get(name), nn.Conv2d) and len(shape) == 4:
            return shape[2], shape[3]
    return None


def _several(asked: Asked, count: int) -> str:
    if not count:
        return "it returns no tensor."
    inside = any(True for _ in asked.module.children())
    what = "choose one of the layers in it" if inside else "which one is meant cannot be told"
    return f"it returns {count} tensors: {what}."


def _never_called(asked: Asked) -> str:
    if isinstance(asked.module, nn.ModuleList | nn.ModuleDict):
        return "it is only a list, and its layers are called one by one: choose one of them."
    return "the model never called it for this picture, so there is nothing to see of it."


def _inside(asked: Asked, fits: Callable[[nn.Module], bool]) -> str:
    """Where something that this layer has not can be found: in a layer inside it, or elsewhere."""
    layers = asked.subject.layers
    start = f"{asked.layer}." if asked.layer else ""
    for within in (start, ""):
        names = (name for name, m in layers.items() if name and name.startswith(within) and fits(m))
        if found := next(names, ""):
            return f" Choose “{found}”, say."
    return ""


# -- layer: what it is ------------------------------------------------------------------------


def layer_pane(asked: Asked) -> PaneContent:
    """What a layer is, its shapes and what it costs."""
    subject, shape, model = asked.subject, asked.shape, asked.subject.names.model
    budget = subject.once(("budget", shape), lambda: layer_budget(asked.model, shape))
    name = subject.own_name(asked.layer)
    highlight = name if name in budget.names else None
    lines = [
        f"budget = vh.inspection.layer_budget({model}, {shape})",
        f"vh.inspection.show_budget(budget, highlight={quoted(highlight) if highlight else None})",
    ]
    picture = show_budget(budget, highlight=highlight)
    return PaneContent(to_png(picture), _layer_words(asked), "\n".join(lines))


def _layer_words(asked: Asked) -> str:
    module, calls = asked.module, asked.subject.calls(asked.layer, asked.index)
    row = asked.subject.row(asked.layer, asked.index)
    if next(module.children(), None) is None:
        what = repr(module)
    else:
        what = f"{row.kind} with {sum(1 for _ in module.children())} layers directly in it"
    words = [what]
    if calls:
        words.append(f"{_shapes(calls[0].inputs)} → {_shapes(calls[0].outputs)}")
    words.append(f"{formula(module)} parameters" if row.parameters else "no parameters")
    words.append(f"{row.mult_adds:,} mult-adds")
    return "; ".join(words + [row.note] * bool(row.note)) + "."


def _shapes(shapes: list[Shape]) -> str:
    return " and ".join(str(list(shape)) for shape in shapes[:3]) or "no tensor"


# -- kernels ----------------------------------------------------------------------------------


def kernels_pane(asked: Asked, *, channel: int | None = None) -> PaneContent:
    """The kernels of a convolution, or the matrix of a linear layer."""
    weight = weight_of(asked.module)
    shape = list(weight.shape)
    if channel is None and not all_at_once(asked.module):
        channel = 0
    drawn = show_kernels(weight, channel=channel, title=asked.layer)
    which = "" if channel is None else f", channel={channel}"
    options = f"{which}, title={quoted(asked.layer)}"
    if len(shape) == 4:
        text = f"{shape[0]} kernels, each of {shape[1]} planes of {shape[2]}×{shape[3]} weights"
    else:
        text = f"{shape[0]} rows of {shape[1]} weights, a row for each number that it returns"
    text += "." if channel is None else f"; this is number {channel}."
    line = f"vh.inspection.show_kernels({asked.get_layer}.weight{options})"
    return PaneContent(to_png(drawn), text, line)


def all_at_once(module: nn.Module) -> bool:
    """Whether one picture can show all kernels."""
    shape = weight_of(module).shape
    return len(shape) == 2 or shape[1] in (1, 3) or shape[2:].numel() == 1


def _no_kernels(asked: Asked) -> str:
    weight = _own_weight(asked.module)
    if weight is not None and _has_kernels(asked.module):
        few = weight.numel() <= MOST_WEIGHTS
        return "" if few else f"{weight.numel():,} weights are too many for one picture."
    elsewhere = _inside(asked, _has_kernels)
    if weight is not None:
        shape = list(weight.shape)
        return f"its weights are {shape}, no kernels [out, in, h, w] or [out, in].{elsewhere}"
    if any(True for _ in asked.module.children()):
        return f"it has no kernels of its own, being made of other layers.{elsewhere}"
    return f"{type(asked.module).__name__} layers have no kernels.{elsewhere}"


def weight_of(module: nn.Module) -> Tensor:
    """The kernels of a layer that has some."""
    weight = _own_weight(module)
    assert weight is not None
    return weight


def _own_weight(module: nn.Module) -> Tensor | None:
    has = "weight" in module._parameters or "weight" in getattr(module, "parametrizations", {})
    weight = module.weight if has else None
    return weight if isinstance(weight, Tensor) else None


def _has_kernels(module: nn.Module) -> bool:
    weight = _own_weight(module)
    return weight is not None and weight.ndim in (2, 4) and weight.numel() > 0


# -- feature maps -----------------------------------------------------------------------------


def maps_of(asked: Asked) -> Tensor:
    """What a layer makes of a picture, as maps [C, h, w]."""
    found = layout(asked)
    if isinstance(found, str):
        raise ValueError(found)
    return found.function(asked.subject.capture(asked.layer, asked.index)).float().cpu()


def measure_field(asked: Asked) -> ReceptiveField | str:
    """The receptive field of a layer's units; a text that says why where there is none."""

    def measured() -> ReceptiveField | str:
        try:
            return receptive_field(asked.model, asked.layer, asked.shape)
        except (ValueError, RuntimeError) as error:
            return str(error)

    return asked.subject.once(field_key(asked), measured)


def field_key(asked: Asked) -> tuple[Any, ...]:
    """Under which name a receptive field is kept."""
    return "field", asked.layer, asked.shape


def fitting(field: ReceptiveField | str | None, maps_shape: Shape) -> ReceptiveField | None:
    """A receptive field, if there is one and it is of maps [C, h, w]."""
    if isinstance(field, ReceptiveField) and field.map_shape == tuple(maps_shape[1:]):
        return field
    return None


def maps_pane(
    asked: Asked, *, channel: int | None = None, position: Pair | None = None
) -> PaneContent:
    """A layer's feature maps, and what one unit of them sees of the picture."""
    maps, image = maps_of(asked), asked.subject.prepared(asked.index).image
    channel = strongest_map(maps.numpy()) if channel is None else whole("channel", channel)
    known = fitting(measure_field(asked), maps.shape)
    spot = _spot(maps.numpy(), channel, position)
    drawn = show_unit(image, maps, channel, position=spot, field=known, title=asked.layer)
    mosaic, _ = draw_maps(maps.numpy(), asked.layer, 100)
    return PaneContent(
        to_png(drawn),
        _sentence(maps.numpy(), channel, spot, known) + map_note(asked),
        maps_code(asked, channel, spot, has_field=known is not None),
        beside=(to_png(mosaic),),
    )


def map_note(asked: Asked) -> str:
    """What is to be known about how the maps came about."""
    found = layout(asked)
    words = [] if isinstance(found, str) or not found.note else [found.note]
    count = len(asked.subject.calls(asked.layer, asked.index))
    words += [f"it is called {count} times, this is the first call"] if count > 1 else []
    return "".join(f" ({some})" for some in words)


def maps_code(asked: Asked, channel: int, position: Pair | None, *, has_field: bool) -> str:
    """The Python that makes the picture of one unit."""
    found, model = layout(asked), asked.subject.names.model
    suffix = "" if isinstance(found, str) else found.code
    lines = [
        *([f"{model}.eval()"] if asked.subject.in_training else []),
        f"maps = vh.capture({model}, batch, {quoted(asked.layer)}, stop_early=True).map{suffix}",
    ]
    options = f", position={position}" if position else ""
    if has_field:
        lines.append(
            f"field = vh.features.receptive_field({model}, {quoted(asked.layer)}, batch.shape)"
        )
        options += ", field=field"
    options += f", title={quoted(asked.layer)}"
    return asked.code(*lines, f"vh.features.show_unit(image, maps, {channel}{options})")


def _no_maps(asked: Asked) -> str:
    found = layout(asked)
    return found if isinstance(found, str) else ""


# -- class activation map and saliency --------------------------------------------------------


def cam_pane(asked: Asked, *, target: int | None = None, method: str = "GradCAM") -> PaneContent:
    """A class activation map at a layer."""
    from vizhelpers.attribution.cam import class_maps

    check_method(method, CLASS_MAPS)
    subject, prepared = asked.subject, asked.subject.prepared(asked.index)
    target = _target(asked, target)
    many = method in ("ScoreCAM", "AblationCAM")  # a picture for each channel
    asked.work.count_to(_channels(asked) + 2 if many else 0)
    layer = None if method == "FullGrad" else asked.layer
    found = class_maps(
        asked.model,
        prepared.batch,
        target,
        method=method,
        layer=layer,
        output=subject.scores.output,
    )
    title = _about(asked, target, method)
    drawn = overlay(prepared.image, found.maps[0], parts=BOTH, title=title)
    where = "" if layer is None else f", layer={quoted(layer)}"
    line = (
        f"maps = vh.class_maps({subject.names.model}, batch, {target}, method={quoted(method)}"
        f"{where}{subject.scores.code}).maps"
    )
    show = f"vh.overlay(image, maps[0], parts={listed(BOTH)}, title={quoted(title)})"
    text = f"{method}: {CLASS_MAPS[method].idea}. {found.reason}"
    if found.empty[0]:
        text = f"{method} finds nothing at {asked.layer} that speaks for this class: it is empty."
    return PaneContent(to_png(drawn), text, asked.code(line, show))


def saliency_pane(
    asked: Asked, *, target: int | None = None, method: str = "Gradient"
) -> PaneContent:
    """A saliency map: which pixels the class score depends on, of the whole network."""
    from vizhelpers.attribution.saliency import saliency_maps

    check_method(method, SALIENCY)
    subject, prepared = asked.subject, asked.subject.prepared(asked.index)
    target = _target(asked, target)
    asked.work.count_to(_saliency_passes(asked, method))
    found = saliency_maps(
        asked.model, prepared.batch, target, method=method, output=subject.scores.output
    )
    title, heat = _about(asked, target, method), found.maps
    most = float(heat.quantile(MOST_SHOWN))
    drawn = overlay(prepared.image, heat[0], parts=BOTH, vmax=most or None, title=title)
    line = (
        f"maps = vh.saliency_maps({subject.names.model}, batch, {target}, method={quoted(method)}"
        f"{subject.scores.code}).maps"
    )
    vmax = f", vmax=float(maps.quantile({MOST_SHOWN}))" if most else ""
    show = f"vh.overlay(image, maps[0], parts={listed(BOTH)}{vmax}, title={quoted(title)})"
    text = f"{method}: {SALIENCY[method].idea}. It is about the whole network, whatever layer."
    return PaneContent(to_png(drawn), text, asked.code(line, show))


def _target(asked: Asked, target: int | None) -> int:
    """The class that was asked for; by default the predicted one."""
    return asked.subject.ranking(asked.index)[0][0] if target is None else target


def _about(asked: Asked, target: int, method: str) -> str:
    return f"{asked.subject.class_name(target)}: {method}"


def _channels(asked: Asked) -> int:
    calls = asked.subject.calls(asked.layer, asked.index)
    return calls[0].outputs[0][1] if calls and calls[0].outputs else 0


def _saliency_passes(asked: Asked, method: str) -> int:
    """About how many pictures go through the model, each class score being looked up first."""
    from vizhelpers.attribution.saliency import saliency_maps

    usual = {name: option.default for name, option in signature(saliency_maps).parameters.items()}
    window, stride = usual["window"], usual["stride"]
    patches = prod(1 + max(0, ceil((side - window) / stride)) for side in asked.shape[2:])
    passes = {
        "SmoothGrad": usual["samples"],
        "IntegratedGradients": usual["steps"],
        "Occlusion": patches + 1,
    }
    return 2 + passes[method] if method in passes else 0


def _no_scores(asked: Asked) -> str:
    return asked.subject.scores.refusal


def _no_class_map(asked: Asked) -> str:
    if why := _no_scores(asked):
        return why
    if not asked.layer:
        return "the model's own output is what the map would explain: choose a layer in it."
    count = len(asked.subject.calls(asked.layer, asked.index))
    if count > 1:
        return f"it is called {count} times, and whose map is wanted cannot be told."
    return _no_maps(asked)


# -- activation maximisation ------------------------------------------------------------------


def ascent_pane(asked: Asked, *, channel: int = 0, steps: int = STEPS) -> PaneContent:
    """A picture to which one channel responds as strongly as possible."""
    subject, names = asked.subject, asked.subject.names
    prepared = subject.prepared(asked.index)
    size = tuple(prepared.batch.shape[1:])
    mean, std = prepared.mean or (0.0,) * size[0], prepared.std or (1.0,) * size[0]
    output, output_code = _channels_of(asked)
    options: dict[str, Any] = {"shape": size, "mean": mean, "std": std, "output": output}
    key = ("ascent", asked.layer, channel, size)
    if whole("steps", steps) < 1:
        raise ValueError(f"steps must be 1 or more, not {steps}.")
    ascent = subject.kept.get(key)
    if ascent is None or ascent.steps > steps:
        ascent = maximize_activation(asked.model, asked.layer, [channel], steps=0, **options)
    _climb(ascent, steps, asked.work)
    subject.keep(key, ascent)
    code = [
        f"ascent = vh.maximize_activation({names.model}, {quoted(asked.layer)}, [{channel}], "
        f"steps={ascent.steps}, shape={size}, mean={mean}, std={std}"
        f"{output_code})",
        f"vh.show_mosaic(ascent.images, labels=False, title={quoted(_ascent_title(ascent))})",
    ]
    reached = number_text(float(ascent.activations[0]))
    text = f"{ascent.steps} steps: the mean of channel {channel} is now {reached}."
    note = ascent.note[:1].upper() + ascent.note[1:]
    return PaneContent(ascent_png(ascent), f"{text} {note}".strip(), "\n".join(code))


def _channels_of(asked: Asked) -> tuple[Output | None, str]:
    """How channels are brought to where they belong, and the same as an argument in Python."""
    if not asked.layer:
        return asked.subject.scores.output, asked.subject.scores.code
    found = layout(asked)
    if isinstance(found, Layout) and found.last:
        return lambda out: out.movedim(-1, 1), ", output=lambda out: out.movedim(-1, 1)"
    return None, ""


def ascent_png(ascent: ActivationAscent) -> bytes:
    """The picture of an ascent as it is now."""
    return to_png(show_mosaic(ascent.images, labels=False, title=_ascent_title(ascent)))


def _ascent_title(ascent: ActivationAscent) -> str:
    return f"{ascent.layer or 'class scores'}, channel {ascent.channels[0]}"


def _climb(ascent: ActivationAscent, steps: int, work: Work) -> None:
    """Make steps until there are so many, or until somebody says stop."""
    with warnings.catch_warnings(), suppress(Stopped):  # the steps made until then remain
        warnings.simplefilter("ignore", UserWarning)  # the text says it: `note`
        while ascent.steps < steps and not work.stopped:
            ascent.run(min(CHUNK, steps - ascent.steps), progress=False)
            work.tell(ascent.steps, steps, lambda: ascent_png(ascent))
    if not ascent.steps:
        raise Stopped
    work.made, work.finishing = ascent.steps, True


def _no_ascent(asked: Asked) -> str:
    calls = asked.subject.calls(asked.layer, asked.index)
    if not calls:
        return _never_called(asked)
    if not asked.layer:
        return _no_scores(asked)
    if len(calls[0].outputs) != 1:
        return _several(asked, len(calls[0].outputs))
    if not 2 <= len(calls[0].outputs[0]) <= 4:
        return f"it returns {list(calls[0].outputs[0])}, which has no channels."
    return ""


# -- weights ----------------------------------------------------------------------------------


def weights_pane(asked: Asked) -> PaneContent:
    """How the weights of a layer are distributed."""
    names, title = _weight_names(asked.module), asked.layer or "all weights"
    which = "" if names is None else f", names={listed(names)}"
    drawn = show_weight_stats(asked.module, names=names, title=title)
    code = f"vh.inspection.show_weight_stats({asked.get_layer}{which}, title={quoted(title)})"
    count = sum(p.numel() for p in asked.module.parameters())
    return PaneContent(to_png(drawn), f"{count:,} learned numbers.", code)


def _weight_names(module: nn.Module) -> list[str] | None:
    """All tensors of a layer that holds none others; else those of convolutions and the like."""
    floats = _float_tensors(module)
    is_big = any(t.ndim > 1 for t in floats.values())
    return list(floats) if len(floats) <= 8 or not is_big else None


def _float_tensors(module: nn.Module) -> dict[str, Tensor]:
    return {key: t for key, t in module.state_dict().items() if is_float(t) and t.numel()}


def _no_weights(asked: Asked) -> str:
    if _float_tensors(asked.module):
        return ""
    found = _inside(asked, lambda m: any(True for _ in m.parameters(recurse=False)))
    return f"{type(asked.module).__name__} layers have no weights.{found}"


PANES = {
    "layer": Pane("Layer", layer_pane, lambda _: ""),
    "kernels": Pane("Kernels", kernels_pane, _no_kernels, {"channel": None}),
    "maps": Pane("Feature maps", maps_pane, _no_maps, {"channel": None, "position": None}),
    "cam": Pane(
        "Class activation map",
        cam_pane,
        _no_class_map,
        {"target": None, "method": "GradCAM"},
        is_long=True,
    ),
    "saliency": Pane(
        "Saliency", saliency_pane, _no_scores, {"target": None, "method": "Gradient"}, is_long=True
    ),
    "ascent": Pane(
        "Activation maximisation",
        ascent_pane,
        _no_ascent,
        {"channel": 0, "steps": STEPS},
        is_long=True,
    ),
    "weights": Pane("Weights", weights_pane, _no_weights, is_long=True),
}


def check_pane(pane: str) -> str:
    """A pane's name, or an error that names the nearest ones."""
    if pane not in PANES:
        question = did_you_mean(str(pane), PANES)
        raise ValueError(f"there is no pane {pane!r}. {question} There is {', '.join(PANES)}.")
    return pane


def check_choices(pane: str, choices: dict[str, Any]) -> dict[str, Any]:
    """A pane's choices, what was not chosen as at the start."""
    known = PANES[pane].choices
    if wrong := [name for name in choices if name not in known]:
        there = f"it has {', '.join(known)}" if known else "there is nothing to choose in it"
        raise TypeError(f"{wrong[0]!r} cannot be chosen in the pane {pane!r}: {there}.")
    return {**known, **choices}
