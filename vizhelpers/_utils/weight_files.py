"""Read weight files (.safetensors, .pth, .pt) without running code that they may hold."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

_LAST_PARTS = ("weight", "bias", "running_mean", "running_var")  # a layer's tensors, in order
# A file that grows by more than this in memory was not written by torch.save for its weights.
_GROWTH, _LEAST = 10, 1 << 20


def read_state_dict(
    path: str | PathLike[str], cure: str | None = None
) -> Iterable[tuple[str, Any]]:
    """Read the state dict in a file, or in the checkpoint that the file holds.

    Args:
        path: The file; ``~`` is the home folder.
        cure: What to do where the file cannot be read, if that is known better here.

    Returns:
        Names and what they stand for. Of a .safetensors file one tensor at a time is read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, holds no state dict or more than numbers, or would fill the
            memory.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    _check_growth(path, _unpacked(path))
    try:
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, zip, pickle: each has its own kinds
        what, advice = _what_is_wrong(path, error)
        raise ValueError(f"{path.name} {what} {cure or advice}") from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path.name} holds no state dict but a {type(content).__name__}. "
            "Make one with torch.save(model.state_dict(), path)."
        )
    state = state_dict_in(content)
    tensors = [value for value in state.values() if isinstance(value, Tensor)]
    # An expanded tensor is small in a file, and large for whoever computes with it.
    _check_growth(path, sum(t.numel() * t.element_size() for t in tensors if not t.is_meta))
    return state.items()


def _from_safetensors(path: Path) -> Iterable[tuple[str, Tensor]]:
    from safetensors import safe_open

    file: Any = safe_open(path, "pt")
    return ((name, file.get_tensor(name)) for name in sorted(file.keys(), key=_by_number))


def _unpacked(path: Path) -> int:
    """How many bytes a zip file holds, as its directory says; 0 for other files."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
    return 0


def _check_growth(path: Path, size: int) -> None:
    if size > _GROWTH * path.stat().st_size + _LEAST:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} bytes, of which {size:,} would be made in "
            "memory, so it was not read. torch.save does not make such files of weights."
        )


def _by_number(name: str) -> tuple[list[str | int], int, str]:
    """Sort ``features.3`` before ``features.10``, and a layer's weight before its bias."""
    layer, _, last = name.rpartition(".")
    parts = [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", layer)]
    return parts, _LAST_PARTS.index(last) if last in _LAST_PARTS else len(_LAST_PARTS), last


def _what_is_wrong(path: Path, error: Exception) -> tuple[str, str]:
    """What, and what to do about it."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page.", "The address was wrong or wanted a log-in."
    objects = []
    with suppress(Exception):  # another format, or damaged
        objects = get_unsafe_globals_in_checkpoint(path)
    own = "torch.save(model.state_dict(), path)."
    if "TorchScript" in str(error) or any(name.startswith("torch.nn.") for name in objects):
        what = "holds a whole model, which is a program, and was not opened."
        return what, f"Where the model can be loaded, save its numbers alone: {own}"
    if objects:
        what = f"holds more than numbers ({', '.join(sorted(objects))}) and was not opened."
        return what, f"If it is your own, save the numbers alone: {own}"
    what = "is damaged, cut short or no .safetensors or .pth file." if start else "is empty."
    return what, "Copy or download it again."


def state_dict_in(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping itself, or the one inside it that holds tensors (a checkpoint)."""
    inner = {
        key: value
        for key, value in mapping.items()
        if isinstance(value, Mapping)
        and any(isinstance(v, Tensor) for v in value.values())
        and not str(key).endswith("_extra_state")  # a module's own, inside a state dict
    }
    for key in ("state_dict", "model_state_dict", "model"):
        if key in inner:
            return inner[key]
    if len(inner) == 1:
        return next(iter(inner.values()))
    if not inner and any(isinstance(value, Tensor) for value in mapping.values()):
        return mapping
    what = "several state dicts; pass one of them" if inner else "no tensors"
    raise ValueError(f"this checkpoint holds {what}. Its keys: {', '.join(map(str, mapping))}.")
