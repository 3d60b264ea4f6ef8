"""Summarize a model with torchinfo: layers, shapes, parameters, mult-adds; leave it untouched."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

import torch
import torchinfo
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode
from torchinfo.enums import ColumnSettings, Units
from torchinfo.formatting import HEADER_TITLES
from torchinfo.layer_info import LayerInfo

from vizhelpers._utils.checks import check_model, tensor_shapes
from vizhelpers.state import preserve_state

DEFAULT_COLUMNS = ("input_size", "output_size", "num_params", "mult_adds")
_COLUMNS = tuple(column.value for column in ColumnSettings)
_NEED_INPUT = {"input_size", "output_size", "mult_adds"}
MB = 1e6  # as torchinfo counts: a million bytes


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summarize` found; shows itself as text or, in a notebook, as a table.

    Attributes:
        total_params: Numbers in all parameters, each parameter counted once.
        trainable_params: Those of them with `requires_grad`.
        total_mult_adds: Multiply-adds of a forward pass by torchinfo's count, or None where
            the model was not run.
        flop_counter_mult_adds: The same by `torch.utils.flop_counter`, which watches every
            operation: half of its floating point operations.
        input_mb: Size of the input, in millions of bytes.
        forward_backward_mb: Outputs of all layers that have parameters, twice.
        params_mb: Size of the parameters.
        total_mb: The sum of the three.
        notes: Where torchinfo's numbers need a word; shown under the table.
        statistics: torchinfo's own result, as it came.
    """

    total_params: int
    trainable_params: int
    total_mult_adds: int | None
    flop_counter_mult_adds: int | None
    input_mb: float
    forward_backward_mb: float
    params_mb: float
    total_mb: float
    notes: tuple[str, ...]
    statistics: torchinfo.ModelStatistics = field(repr=False)

    def __repr__(self) -> str:
        corrected = copy.copy(self.statistics)
        corrected.total_params = self.total_params
        corrected.trainable_params = self.trainable_params
        corrected.total_param_bytes = round(self.params_mb * MB)
        # On Python 3.11 and later torchinfo prints the unit's name in Python, not its letter.
        text = re.sub(r"Units\.(\w+)", lambda match: Units[match[1]].value, str(corrected))
        return "\n".join([text, *(f"Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return _html(self)


def summarize(
    model: nn.Module,
    input_size: Sequence[Any] | None = None,
    *,
    input_data: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    depth: int = 3,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    mode: str = "eval",
    dtypes: Sequence[torch.dtype] | None = None,
    device: torch.device | str | None = None,
    **forward_options: Any,
) -> Summary:
    """Summarize a model with torchinfo, and leave the model as it was.

    torchinfo 1.8 runs the model and makes the table. Around it, this function restores the
    model (also with `mode="train"` and `device="meta"`) and the random numbers, counts the
    multiply-adds a second time with `torch.utils.flop_counter`, counts every parameter
    exactly once, and names the layer at which a forward pass fails. It prints nothing: make
    it the last expression of a cell, or print it.

    Args:
        model: Any module.
        input_size: Shape of the input, batch included: `(1, 3, 224, 224)`. A list of shapes
            where the model takes several inputs. Without any input only parameters are
            counted.
        input_data: The input itself, instead: a tensor, a list of arguments, or a dictionary
            of keyword arguments.
        depth: How many levels of modules inside modules to show.
        columns: Any of "input_size", "output_size", "kernel_size", "num_params",
            "params_percent", "mult_adds", "trainable".
        mode: "eval", or "train" to run the model as in training.
        dtypes: One per shape in `input_size`; float32 where not given.
        device: Where to run; where the model is, if not given. On "meta" only shapes are
            computed, which costs next to nothing however large the model is.
        **forward_options: Passed on to the model's `forward`.

    Raises:
        TypeError: The model is no module, or `input_size` no shape.
        ValueError: There is no such column or mode.
        RuntimeError: Both inputs are given, or the model failed; then the message says in
            which layer, with which input, and its `__cause__` is the original error.
    """
    check_model(model)
    _check_choices(input_size, columns)
    has_input = input_size is not None or input_data is not None
    if device is None and input_data is None:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with preserve_state(model), _plain_attention(), FlopCounterMode(display=False) as counter:
        trail = _Trail(model)
        try:
            statistics = torchinfo.summary(
                model,
                input_size,
                input_data,
                col_names=[c for c in columns if has_input or c not in _NEED_INPUT],
                col_width=20,
                depth=depth,
                device=device,
                dtypes=None if dtypes is None else list(dtypes),
                mode=mode,
                row_settings=("var_names",),
                verbose=0,
                **forward_options,
            )
        except RuntimeError as error:
            if error.__cause__ is None:
                raise
            raise RuntimeError(trail.report(error.__cause__, input_size)) from error.__cause__
        # Before the model is put back, because lazy layers know their size only here.
        return _gather(model, statistics, counter.get_total_flops() // 2 if has_input else None)


def _check_choices(input_size: object, columns: Sequence[str]) -> None:
    """Refuse what torchinfo would refuse, too, but not in words that help."""
    if input_size is not None and not isinstance(input_size, list | tuple):
        raise TypeError(
            "input_size is the shape of the input, batch included, such as (1, 3, 224, 224); "
            f"got {input_size!r}. Pass a tensor as input_data=…"
        )
    unknown = [column for column in columns if column not in _COLUMNS]
    if unknown:
        raise ValueError(f"columns is a list of any of {', '.join(_COLUMNS)}; got {columns!r}.")


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep attention layers from a fast path whose products the FLOP counter does not see."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Trail:
    """Follows a forward pass with hooks, to say where it stopped."""

    def __init__(self, model: nn.Module) -> None:
        self.running: list[tuple[str, nn.Module, list[tuple[int, ...]]]] = []
        self.finished: list[str] = []
        for name, module in model.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True)
            module.register_forward_hook(self._leave)

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.running.append((name, module, tensor_shapes([args, kwargs])))

    def _leave(self, module: nn.Module, _: Any, output: Any) -> None:
        name, entered, inputs = self.running.pop()
        while entered is not module:  # a submodule failed and the model carried on
            name, entered, inputs = self.running.pop()
        if not module._modules:
            label = f"{name} ({type(module).__name__})"
            self.finished.append(f"  {label:<32} {_text(inputs)} → {_text(tensor_shapes(output))}")

    def report(self, cause: BaseException, input_size: Sequence[Any] | None) -> str:
        """Tell in which layer the pass stopped, what it got, and what ran before it."""
        reason = f"{type(cause).__name__}: {cause}"
        if not self.running:
            return f"The model could not be run.\n{reason}"
        name, module, inputs = self.running[-1]
        place = f"layer {name!r} ({type(module).__name__})" if name else type(module).__name__
        if module._modules:
            place = f"the forward method of {place}, between its layers"
        lines = [f"The forward pass stopped in {place}.", f"It got {_text(inputs)}."]
        lines += [f"It expects {text}." for text in _expectations(module)]
        if input_size is not None and len(input_size) == 3 and isinstance(input_size[0], int):
            lines.append(f"Is the batch size missing? input_size={(1, *input_size)}")
        if self.finished:
            lines += ["Layers that ran before it, input → output:", *self.finished[-8:]]
        return "\n".join([*lines, reason])


def _text(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in shapes) or "no tensor"


def _expectations(module: nn.Module) -> Iterator[str]:
    """What the usual layers demand of their input, in words."""
    for attribute, place in (
        ("in_features", "in the last dimension"),
        ("in_channels", "channels (dimension 1)"),
        ("num_features", "channels (dimension 1)"),
        ("embed_dim", "in the last dimension"),
        ("input_size", "in the last dimension"),
    ):
        if isinstance(size := getattr(module, attribute, None), int):
            yield f"{size} {place}"
    if isinstance(module, nn.Embedding):
        yield f"integers from 0 to {module.num_embeddings - 1}"


def _gather(
    model: nn.Module, statistics: torchinfo.ModelStatistics, counted: int | None
) -> Summary:
    parameters = [parameter for parameter in model.parameters() if not is_lazy(parameter)]
    params_bytes = sum(p.numel() * p.element_size() for p in parameters)
    input_bytes = statistics.total_input or 0  # None where the model was not run
    total_bytes = input_bytes + statistics.total_output_bytes + params_bytes
    total_params = sum(p.numel() for p in parameters)
    return Summary(
        total_params=total_params,
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        total_mult_adds=None if counted is None else statistics.total_mult_adds,
        flop_counter_mult_adds=counted,
        input_mb=input_bytes / MB,
        forward_backward_mb=statistics.total_output_bytes / MB,
        params_mb=params_bytes / MB,
        total_mb=total_bytes / MB,
        notes=tuple(_notes(statistics, total_params, params_bytes, counted)),
        statistics=statistics,
    )


def _notes(
    statistics: torchinfo.ModelStatistics,
    total_params: int,
    params_bytes: int,
    counted: int | None,
) -> Iterator[str]:
    """Say where the numbers differ from torchinfo's, and why."""
    if statistics.total_params != total_params:
        yield (
            f"torchinfo itself says {statistics.total_params:,} parameters: it counts a weight "
            "once for each layer that holds it, and pruned weights not at all."
        )
    elif counted is not None and abs(statistics.total_param_bytes - params_bytes) > 0.01 * MB:
        yield (
            f"torchinfo itself says {statistics.total_param_bytes / MB:.2f} MB of parameters: "
            "it leaves out those that belong to no innermost layer."
        )
    torchinfo_counted = statistics.total_mult_adds
    if counted is None or abs(counted - torchinfo_counted) <= 0.05 * counted:
        return
    both = (
        f"torch.utils.flop_counter counts {_readable(counted)} mult-adds, torchinfo "
        f"{_readable(torchinfo_counted)}."
    )
    if counted > torchinfo_counted:
        yield (
            f"{both} torchinfo takes a Linear layer that works on every token for a single "
            "product, and does not see attention and functional calls."
        )
    else:
        yield (
            f"{both} The counter leaves out biases, normalization, embeddings and recurrent layers."
        )


def _readable(number: int) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"


def _html(summary: Summary) -> str:
    """The table for a notebook: plain tags and no colours of its own, so any theme fits."""
    options = summary.statistics.formatting
    columns = [ColumnSettings(column) for column in options.col_names]
    titles = ["Layer", *(HEADER_TITLES[column] for column in columns), "Share of parameters"]
    header = "".join(_cell(title, "th", left=title == "Layer") for title in titles)
    rows = "".join(
        _row(info, columns, summary.total_params, at_max_depth=info.depth == options.max_depth)
        for info in summary.statistics.summary_list
        if info.depth <= options.max_depth
    )
    footer = f"<p>{'<br>'.join(_totals(summary))}</p>"
    return (
        '<div style="overflow-x: auto"><table style="margin-left: 0">'
        f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>{footer}</div>"
    )


def _row(info: LayerInfo, columns: list[ColumnSettings], total: int, *, at_max_depth: bool) -> str:
    params = info.num_params if info.is_leaf_layer or at_max_depth else info.leftover_params()
    share = 0.0 if info.is_recursive else max(params, 0) / max(total, 1)
    values = {
        ColumnSettings.INPUT_SIZE: _size(info.input_size),
        ColumnSettings.OUTPUT_SIZE: _size(info.output_size),
        ColumnSettings.KERNEL_SIZE: _size(info.kernel_size),
        ColumnSettings.NUM_PARAMS: _params(info, params),
        ColumnSettings.PARAMS_PERCENT: f"{share:.2%}" if share else "",
        ColumnSettings.MULT_ADDS: info.macs_to_str(at_max_depth).replace("--", ""),
        ColumnSettings.TRAINABLE: info.trainable.replace("--", ""),
    }
    name = (
        f"<b>{escape(info.var_name)}</b> {escape(info.class_name)}"
        if info.depth
        else (f"<b>{escape(info.class_name)}</b>")
    )
    cells = [_cell(name, left=True, indent=info.depth)]
    cells += [_cell(values[column]) for column in columns]
    cells.append(_cell(f"{_bar(share)}&nbsp;{share:.1%}" if share else "", left=True))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str, tag: str = "td", *, left: bool = False, indent: int = 0) -> str:
    align = "left" if left else "right"
    style = f"text-align: {align}; padding-left: {0.5 + 1.5 * indent}em; white-space: nowrap"
    return f'<{tag} style="{style}">{text}</{tag}>'


def _params(info: LayerInfo, params: int) -> str:
    if params <= 0:
        return ""
    if info.is_recursive:
        return "<i>counted above</i>"
    state = {"False": " <i>frozen</i>", "Partial": " <i>partly frozen</i>"}
    return f"{params:,}{state.get(info.trainable, '')}"


def _size(size: int | list[int] | None) -> str:
    if isinstance(size, int):
        return str(size)
    return " × ".join(map(str, size)) if size else ""


def _bar(share: float) -> str:
    # A border without a colour has the text's, in any theme, and passes JupyterLab's sanitizer.
    return f'<span style="border-left: {8 * share:.2f}em solid; opacity: 0.6"></span>'


def _totals(summary: Summary) -> Iterator[str]:
    frozen = summary.total_params - summary.trainable_params
    yield (
        f"<b>{summary.total_params:,}</b> parameters, "
        + (f"{frozen:,} of them frozen" if frozen else "all trainable")
    )
    if summary.total_mult_adds is not None:
        yield f"<b>{_readable(summary.total_mult_adds)}</b> mult-adds"
        yield (
            f"{summary.input_mb:.2f} MB input + {summary.forward_backward_mb:.2f} MB "
            f"forward/backward + {summary.params_mb:.2f} MB parameters "
            f"= <b>{summary.total_mb:.2f} MB</b>"
        )
    yield from (f"<i>{escape(note)}</i>" for note in summary.notes)
