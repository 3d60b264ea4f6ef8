"""Summarize a model with torchinfo: layers, shapes, parameters, mult-adds; leave it untouched."""

from __future__ import annotations

import copy
import inspect
import re
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torchinfo
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from torchinfo.enums import ColumnSettings, Units
from torchinfo.formatting import HEADER_TITLES

from vizhelpers._utils.checks import check_hookable, named_tensors, tensor_shapes
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.inspection._calls import Calls, random_inputs, record_calls, where_it_stopped

DEFAULT_COLUMNS = ("input_size", "output_size", "num_params", "mult_adds")
_COLUMNS = tuple(column.value for column in ColumnSettings)
_NEED_INPUT = {"input_size", "output_size", "mult_adds"}
_DEEPEST = 20  # levels of modules inside modules
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


@clear_errors
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
            of keyword arguments. The model is given a copy.
        depth: How many levels of modules inside modules to show.
        columns: Any of "input_size", "output_size", "kernel_size", "num_params",
            "params_percent", "mult_adds", "trainable".
        mode: "eval", or "train" to run the model as in training.
        dtypes: One per shape in `input_size`; that of the model's weights where not given.
        device: Where to run; where the model is, if not given. On "meta" only shapes are
            computed, which costs next to nothing however large the model is.
        **forward_options: Passed on to the model's `forward`.

    Raises:
        TypeError: The model is no module, or one that cannot be looked into; `input_size` is no
            shape; `forward` takes no such option.
        ValueError: There is no such column or mode; both inputs are given; modules are nested
            too deep for torchinfo.
        RuntimeError: The model failed; then the message says in which layer, with which input,
            and its `__cause__` is the original error. Or torchinfo cannot read what a layer
            takes or returns.

    Example:
        >>> summary = summarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (1, 3, 32, 32))
        >>> summary  # as the last line of a cell: the table
        ===...
        Total params: 224
        ...
    """
    model = check_hookable(model)
    if input_size is not None and input_data is not None:
        raise ValueError("Only one of input_size and input_data can be given.")
    if isinstance(columns, str) or not set(columns) <= set(_COLUMNS):
        raise ValueError(f"columns is a list of any of {', '.join(_COLUMNS)}; got {columns!r}.")
    try:
        inspect.signature(model.forward).bind_partial(**forward_options)
    except TypeError as error:
        kind = type(model).__name__
        raise TypeError(f"neither summarize nor {kind}.forward takes it: {error}.") from error
    if (levels := max(name.count(".") for name, _ in model.named_modules()) + 1) > _DEEPEST:
        raise ValueError(
            f"modules are nested {levels} deep here, and torchinfo's time doubles with each level "
            f"beyond {_DEEPEST}. vh.inspection.layer_budget has no such limit."
        )
    with record_calls(model) as calls:
        if input_size is not None:
            input_data = random_inputs(model, input_size, dtypes)
        data, options = _arguments(model, input_data)
        try:
            statistics = torchinfo.summary(
                model,
                input_data=data,
                col_names=[c for c in columns if data is not None or c not in _NEED_INPUT],
                col_width=20,
                depth=depth,
                device=device,
                mode=mode,
                row_settings=("var_names",),
                verbose=0,
                **options,
                **forward_options,
            )
        except RuntimeError as error:
            if error.__cause__ is None:
                raise
            raise RuntimeError(_why(error.__cause__, calls, input_size)) from error.__cause__
        # Before the model is put back, because lazy layers know their size only here.
        return _gather(statistics, calls, data)


def _arguments(model: nn.Module, data: Any) -> tuple[Any, dict[str, Any]]:
    """What torchinfo can take for data, as copies, and what it cannot: None, flags, numbers."""
    if data is None:
        return None, {}
    data = tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), data)
    if isinstance(data, Tensor):
        return [data], {}
    if not isinstance(data, Mapping):
        if all(tensor_shapes(argument) for argument in data):
            return data, {}
        data = inspect.signature(model.forward).bind(*data).arguments
    tensors = {name: value for name, value in data.items() if tensor_shapes(value)}
    return tensors, {name: value for name, value in data.items() if name not in tensors}


def _why(cause: BaseException, calls: Calls, input_size: Sequence[Any] | None) -> str:
    where = traceback.extract_tb(cause.__traceback__)[-1].filename
    if Path(torchinfo.__file__).parent in Path(where).parents:
        layer = repr(calls.last) if calls.last else "the model"
        return f"torchinfo cannot read what {layer} takes or returns: {cause}"
    return where_it_stopped(calls, cause, input_size)


def _gather(statistics: torchinfo.ModelStatistics, calls: Calls, data: Any) -> Summary:
    parameters = [p for layer in calls.parameters().values() for p in layer]
    inputs = [tensor for _, tensor in named_tensors(data)]
    sizes = [_bytes(inputs), statistics.total_output_bytes, _bytes(parameters)]
    ran = data is not None
    summary = Summary(
        total_params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        total_mult_adds=statistics.total_mult_adds if ran else None,
        flop_counter_mult_adds=sum(calls.mult_adds().values()) if ran else None,
        input_mb=sizes[0] / MB,
        forward_backward_mb=sizes[1] / MB,
        params_mb=sizes[2] / MB,
        total_mb=sum(sizes) / MB,
        notes=(),
        statistics=statistics,
    )
    return replace(summary, notes=tuple(_notes(summary, calls))) if ran else summary


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _notes(summary: Summary, calls: Calls) -> Iterator[str]:
    """Say where torchinfo's numbers are not those that were measured."""
    theirs = summary.statistics
    if theirs.total_params != summary.total_params:
        yield f"torchinfo itself says {theirs.total_params:,} parameters."
    elif abs(theirs.total_param_bytes / MB - summary.params_mb) > 0.01:
        yield f"torchinfo itself says {theirs.total_param_bytes / MB:.2f} MB of parameters."
    measured, said = calls.mult_adds(), Counter[str]()
    for info in theirs.summary_list:
        said[calls.caller(info.module)] += info.macs if info.is_leaf_layer else 0
    gaps = {name: abs(measured[name] - said[name]) for name in measured}
    # torchinfo takes biases and normalizations for mult-adds: no difference worth a word.
    if sum(gaps.values()) <= 0.05 * max(sum(measured.values()), theirs.total_mult_adds):
        return
    apart = sorted(filter(gaps.get, gaps), key=lambda name: -gaps[name])
    words = [
        f"{name or 'the model itself'} ({_readable(measured[name])}, not {_readable(said[name])})"
        for name in apart[:3]
    ]
    words += [f"{len(apart) - 3} more"] if len(apart) > 3 else []
    yield (
        f"torch.utils.flop_counter counts {_readable(sum(measured.values()))} mult-adds, torchinfo "
        f"{_readable(theirs.total_mult_adds)}. They differ at {', '.join(words)}."
    )


def _readable(number: int) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"


def _html(summary: Summary) -> str:
    """The same table for a notebook, with each layer's share of the parameters."""
    options = copy.copy(summary.statistics.formatting)
    shown = [i for i in summary.statistics.summary_list if i.depth <= options.max_depth]
    rows: list[dict[ColumnSettings, str]] = []
    # torchinfo's own words for every cell, of which it would make a line of text.
    options.format_row = lambda _, values: str(rows.append(values))  # type: ignore[func-returns-value]
    options.layers_to_str(shown, summary.total_params)
    columns = dict.fromkeys([*options.col_names, ColumnSettings.PARAMS_PERCENT])
    table = pd.DataFrame(rows)[list(columns)].rename(columns=HEADER_TITLES)
    indents = ["\N{EM SPACE}" * 2 * info.depth for info in shown]
    names = [f"{info.var_name} ({info.class_name})" for info in shown]
    table.insert(0, "Layer", [a + b for a, b in zip(indents, names, strict=True)])
    cells = table.to_html(index=False, border=0)
    cells = re.sub("<(t[hd])>", r'<\1 style="text-align: left; white-space: nowrap">', cells)
    text = repr(replace(summary, notes=()))
    below = "".join(re.split(r"^=+\n?", text, flags=re.MULTILINE)[3:])
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in summary.notes)
    return f'<div style="overflow-x: auto">{cells}<pre>{escape(below)}</pre>{notes}</div>'
