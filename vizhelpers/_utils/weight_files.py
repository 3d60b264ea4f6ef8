"""Read weight files (.safetensors, .pth, .pt) without running code that they may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LAST_PARTS = ("weight", "bias", "running_mean", "running_var")  # a layer's tensors, in order


def read_state_dict(path: Path) -> Iterable[tuple[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, zip, pickle: each has its own kinds
        raise ValueError(f"{path.name} {_what_is_wrong(path, error)}") from error
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{path.name} holds no state dict but a {type(state).__name__}. "
            "Make one with torch.save(model.state_dict(), path)."
        )
    return state_dict_in(state).items()


def _from_safetensors(path: Path) -> Iterable[tuple[str, Tensor]]:
    from safetensors import safe_open

    file: Any = safe_open(path, "pt")
    return ((name, file.get_tensor(name)) for name in sorted(file.keys(), key=_by_number))


def _by_number(name: str) -> tuple[list[str | int], int, str]:
    """Sort ``features.3`` before ``features.10``, and a layer's weight before its bias."""
    layer, _, last = name.rpartition(".")
    parts = [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", layer)]
    return parts, _LAST_PARTS.index(last) if last in _LAST_PARTS else len(_LAST_PARTS), last


def _what_is_wrong(path: Path, error: Exception) -> str:
    if "Unsupported global" in str(error) or "TorchScript" in str(error):
        return (
            "holds a whole model, which is a program, and was not opened. Where the model can be "
            "loaded, save its numbers alone: torch.save(model.state_dict(), path)."
        )
    what = "is damaged, cut short or no weights file" if path.stat().st_size else "is empty"
    return f"{what}. Copy or download it again."


def state_dict_in(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping itself, or the one inside it that holds tensors (a checkpoint)."""
    inner = {
        key: value
        for key, value in mapping.items()
        if isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())
    }
    for key in ("state_dict", "model_state_dict", "model"):
        if key in inner:
            return inner[key]
    if any(isinstance(value, Tensor) for value in mapping.values()):
        return mapping
    if len(inner) == 1:
        return next(iter(inner.values()))
    what = "several state dicts; pass one of them" if inner else "no tensors"
    raise ValueError(f"this checkpoint holds {what}. Its keys: {', '.join(map(str, mapping))}.")
