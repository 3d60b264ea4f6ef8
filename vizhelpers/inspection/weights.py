"""Statistics of weights: of a model, a state dict, or a file alone without its model class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers._utils.weight_files import read_state_dict, state_dict_in

Source = nn.Module | Mapping[str, Any] | str | os.PathLike[str]


@clear_errors
def weight_stats(source: Source) -> pd.DataFrame:
    """Measure every tensor of a model, a state dict or a file; no model class is needed.

    The table has a row for each tensor, in the order of the state dict: that in which the layers
    were declared, usually the one in which they run. A .safetensors file does not keep it; its
    rows are sorted by name. Its columns:

    - `shape`;
    - `what it is`, told from names and shapes alone: ``"conv, no bias"``, ``"γ, scale"``. A
      matrix of an embedding passes for a linear layer, a transposed convolution for a plain one;
    - `mean`, `std` (with n - 1 below the line, as `torch.std`), `min`, `max` and `norm` (the root
      of the sum of squares), in float64, of the finite values;
    - `zeros`: the share that is exactly zero, 0 to 1;
    - `nonfinite`: how many are NaN or infinite.

    ``table.loc["conv1.weight", "std"]`` is one number, ``table["std"]`` a column,
    ``table.round(3)`` a short form to read. ``table.attrs["skipped"]`` says of which tensors
    there are no statistics, and why.

    Args:
        source: A model; a state dict, or a checkpoint that holds one; or the path of a
            .safetensors, .pth or .pt file. A file is read without running code that it may hold.

    Raises:
        TypeError: ``source`` is something else.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds no state dict; the message says what to do.
    """
    return statistics_of(tensors_of(source))


def statistics_of(tensors: Iterable[tuple[str, Any]]) -> pd.DataFrame:
    """The table of `weight_stats`."""
    rows, skipped = {}, {}
    for name, value in with_progress(tensors, "weights"):
        if reason := _why_not(value):
            skipped[name] = reason
        else:
            rows[name] = {"shape": tuple(value.shape), "what it is": "", **_measure(value)}
    shapes = {name: row["shape"] for name, row in rows.items()}
    for name, row in rows.items():
        row["what it is"] = _meaning(name, shapes)
    columns = ["shape", "what it is", "mean", "std", "min", "max", "norm", "zeros", "nonfinite"]
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)
    table.attrs["skipped"] = skipped
    return table


def tensors_of(source: Source) -> Iterable[tuple[str, Any]]:
    """Names and values of a model's state dict, of one that is given, or of one in a file."""
    if isinstance(source, nn.Module):
        return source.state_dict().items()
    if isinstance(source, Mapping):
        return state_dict_in(source).items()
    if isinstance(source, str | os.PathLike):
        return read_state_dict(Path(source))
    raise TypeError(
        f"source must be a model, a state dict or the path of a file, not {type(source).__name__}."
    )


def _why_not(value: object) -> str:
    """Why there are no statistics of a value; empty where there are."""
    if not isinstance(value, Tensor):
        return f"no tensor but {type(value).__name__}"
    reasons = {
        "not made yet, a lazy layer makes it when the model first runs": is_lazy(value),
        "on the meta device, with a shape but no numbers": value.is_meta,
        f"{value.dtype}, no real numbers with a fraction": not value.is_floating_point(),
    }
    found = next((reason for reason, is_so in reasons.items() if is_so), "")
    return found or ("" if value.numel() else "empty")


def values_of(tensor: Tensor) -> NDArray[np.float64]:
    """All numbers of a tensor in one row, as float64 on the CPU."""
    numbers: NDArray[np.float64] = tensor.detach().cpu().to_dense().double().flatten().numpy()
    return numbers


def _measure(tensor: Tensor) -> dict[str, Any]:
    values = values_of(tensor)
    finite = pd.Series(values[np.isfinite(values)])
    return {
        **finite.agg(["mean", "std", "min", "max"]),
        "norm": float(np.linalg.norm(finite)) if len(finite) else nan,
        "zeros": float((values == 0).mean()),
        "nonfinite": len(values) - len(finite),
    }


def _meaning(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What a tensor is, from its name, its shape and its neighbours."""
    parent, dot, kind = name.rpartition(".")
    weight, bias, running = (parent + dot + part for part in ("weight", "bias", "running_var"))
    # A normalisation's weight is a vector with a bias or running statistics beside it.
    if len(shapes.get(weight, ())) == 1 and (bias in shapes or running in shapes):
        words = {"weight": "γ, scale", "bias": "β, shift"}
        if kind in words:
            return words[kind]
    dimensions = len(shapes[name])
    if "weight" in kind and 2 <= dimensions <= 5:
        layer = "linear" if dimensions == 2 else "conv"
        has_bias = parent + dot + kind.replace("weight", "bias") in shapes
        return layer if has_bias else f"{layer}, no bias"
    return kind.replace("_", " ")
