"""Load a state dict into a model, or say what misses, what is too much, and the cure."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from vizhelpers._utils.checks import check_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import nearest
from vizhelpers._utils.weight_files import read_state_dict, state_dict_in

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, ...]]
_MOST = 4  # names in one line
_WHO_WRITES = {
    "module.": " (torch.nn.DataParallel and DistributedDataParallel put it there)",
    "_orig_mod.": " (torch.compile puts it there)",
}


@clear_errors
def load_weights(
    model: nn.Module, weights: str | os.PathLike[str] | Mapping[str, Any], *, prefix: str = ""
) -> nn.Module:
    """Load a state dict into a model, and explain why where one does not fit the other.

    Nothing is left out silently, as ``strict=False`` would: all of it is loaded, or nothing.

    Args:
        model: It is filled in place, and keeps its device and type of numbers.
        weights: A ``.safetensors`` or ``.pth`` file, which is read without running code that it
            may hold; or a state dict, or a checkpoint in which there is one.
        prefix: Take only those entries whose names begin with this, and take it off.

    Returns:
        The same model.

    Raises:
        ValueError: The file is damaged or holds more than numbers; or it does not fit: which
            names miss, which are too many, which shapes differ, and the cure where it is known.
        FileNotFoundError: There is no such file.

    Example:
        >>> load_weights(model, model.state_dict()) is model
        True
    """
    check_model(model)
    if isinstance(weights, Mapping):
        name, state = "this state dict", _only_tensors(state_dict_in(weights), "this state dict")
    else:
        path = Path(weights).expanduser()
        name, state = path.name, read_tensors(path)
    if prefix and not any(key.startswith(prefix) for key in state):
        some = ", ".join([*state][:3])
        raise ValueError(f"no name in {name} begins with {prefix!r}. The first are: {some}.")
    state = without_prefix(state, prefix)
    if _shapes(state) != _shapes(model.state_dict()):
        try:  # on a copy: before PyTorch refuses, it has filled half of the model
            copy.deepcopy(model).load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"{name} does not fit {type(model).__name__}:\n{explain_mismatch(model, state)}"
            ) from error
    model.load_state_dict(state)
    return model


def read_tensors(path: Path, cure: str | None = None) -> dict[str, Tensor]:
    """Read the state dict in a file, floats as float32.

    Args:
        path: The file.
        cure: As for `read_state_dict`, which also raises what there is to raise.

    Raises:
        ValueError: As there; or an entry is no tensor.
    """
    state = _only_tensors(dict(read_state_dict(path, cure)), path.name)
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def without_prefix(state: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Take the entries whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}


def explain_mismatch(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Say line by line why a state dict does not fit a model, and the cure where it is known.

    Args:
        model: It stays as it is.
        state: The names and tensors that were to be loaded.

    Returns:
        What the state dict lacks; what the model lacks, with the nearest names; which shapes
        differ. A prefix of all names and another number of classes come with their cure.
    """
    ours, theirs = _shapes(model.state_dict()), _shapes(state)
    lines = []
    if prefix := _prefix_that_helps(ours, theirs):
        rest = [name for name in theirs if not name.startswith(prefix)]
        lines.append(
            f"{_how_many(theirs, prefix)} names begin with {prefix!r}{_WHO_WRITES.get(prefix, '')}."
            f" Take it off: prefix={prefix!r}, or on the command line --prefix {prefix}"
            + (f" (which leaves out {_few(rest)})" if rest else "")
        )
        theirs = without_prefix(theirs, prefix)
    elif prefix := _prefix_that_helps(theirs, ours):
        part = prefix.removesuffix(".")
        lines.append(
            f"{_how_many(ours, prefix)} names in the model begin with {prefix!r}, and here none "
            f"does: it is for that part. Load it there: load_weights(model.{part}, …)"
        )
        ours = without_prefix(ours, prefix)
    left = _differences(ours, theirs)
    if lines and left:
        lines.append("After that, this is left:")
    return "\n".join(f"  {line}" for line in lines + left)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _only_tensors(state: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    if others := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{name} holds {others[0]!r}, which is no tensor.")
    return dict(state)


def _prefix_that_helps(ours: Shapes, theirs: Shapes) -> str:
    """What to take off their names so that most of ours are found among them; or nothing."""
    found: Counter[str] = Counter()
    for name in theirs:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in ours:
                found[".".join(parts[:cut]) + "."] += 1
    prefix, count = found.most_common(1)[0] if found else ("", 0)
    as_they_are = len(ours.keys() & theirs.keys())
    return prefix if count > as_they_are and 2 * count > len(ours) else ""


def _how_many(names: Shapes, prefix: str) -> str:
    count = sum(name.startswith(prefix) for name in names)
    return f"All {count}" if count == len(names) else f"{count} of {len(names)}"


def _differences(ours: Shapes, theirs: Shapes) -> list[str]:
    missing = {name: shape for name, shape in ours.items() if name not in theirs}
    extra = {name: shape for name, shape in theirs.items() if name not in ours}
    other = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    lines = []
    if missing:
        lines.append(f"Missing: {_few([*missing])}")
    if extra:
        lines.append(f"Not in the model: {_few(_with_nearest(extra, missing))}")
    if other:
        both = [f"{name} {list(theirs[name])} for {list(ours[name])}" for name in other]
        lines.append(f"Of another shape: {_few(both)}")
    return lines + _advice(ours, theirs, other)


def _advice(ours: Shapes, theirs: Shapes, other: Sequence[str]) -> list[str]:
    fitting = sum(theirs.get(name) == shape for name, shape in ours.items())
    classes = {theirs[name][:1] for name in other if ours[name][1:] == theirs[name][1:]}
    if ours.keys() != theirs.keys() and [*ours.values()] == [*theirs.values()]:
        return [
            "All shapes agree in their order, so perhaps only the names differ. If it is the same "
            "network, load dict(zip(model.state_dict(), state.values()))"
        ]
    if ours.keys() == theirs.keys() and len(classes) == 1 and (number := classes.pop()):
        return [f"Build the model with as many classes, such as num_classes={number[0]}"]
    if 10 * fitting < len(ours):
        return [f"Only {fitting} of {len(ours)} fit. Is it of another architecture?"]
    return []


def _with_nearest(extra: Shapes, missing: Shapes) -> list[str]:
    """The names that are too many; of the first few, the most alike of the same shape that miss."""
    said = []
    for name, shape in [*extra.items()][:_MOST]:
        near = nearest(name, [other for other in missing if missing[other] == shape])
        said.append(f"{name} (is it {near[0]}?)" if near else name)
    return said + [*extra][_MOST:]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
