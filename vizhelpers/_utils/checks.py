"""Check arguments: is it a model, a batch of images, an integer? And what does a model return?

The same words for the same mistake everywhere: public functions call these at their door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Output = Callable[[Any], Tensor]


def check_model(model: object, what: str = "model") -> None:
    """Refuse anything that is no module, in the words that every function uses."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{what} must be a torch.nn.Module, got {type(model).__name__}.")


def check_hookable(model: nn.Module) -> nn.Module:
    """Refuse a model whose layers cannot be looked into; say why, and what to do instead.

    Returns:
        The model itself where torch.compile was given one: no hook fires in compiled code.
    """
    check_model(model)
    for name, module in model.named_modules():
        where = f"its layer {name!r}" if name else "it"
        package = type(module).__module__
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"no hook fires inside a scripted or traced model, and {where} is one. Use the "
                "model as it was before torch.jit."
            )
        if ".quantized" in package and package.startswith(("torch.ao.nn", "torch.nn")):
            raise TypeError(
                f"a quantised model computes with integers, without gradients, and {where} is "
                "quantised. Use the model as it was before quantisation."
            )
        for tensor in module._parameters.values():
            if type(tensor).__name__ == "FakeTensor" or (
                tensor is not None and tensor.is_meta and not is_lazy(tensor)
            ):
                raise ValueError(
                    f"the weights of this model have shapes but no numbers ({where} is on the "
                    "device meta). Build it on the CPU, or load its weights with "
                    "load_state_dict(…, assign=True)."
                )
    return getattr(model, "_orig_mod", model)


def check_differentiable(model: nn.Module) -> None:
    """Refuse a model through which no gradient can be followed; say what to do instead."""
    if any(p.is_inference() for p in model.parameters() if not is_lazy(p)):
        raise ValueError(
            "the weights of this model were made in torch.inference_mode, so no gradient can be "
            "followed through them. Use a copy: copy.deepcopy(model)."
        )


def check_images(model: nn.Module, images: Tensor) -> nn.Module:
    """Refuse a model that cannot be looked into, and anything but a batch of finite images.

    Returns:
        As for `check_hookable`.
    """
    model = check_hookable(model)
    if not is_float(images):
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor [N, C, H, W] of floats, got {kind}.")
    if images.ndim != 4 or not images.numel():
        raise ValueError(
            f"images must be a batch [N, C, H, W], got {list(images.shape)}. "
            "One image becomes a batch with image[None]."
        )
    if not images.isfinite().all():
        raise ValueError("images hold NaN or infinity: look at where they come from.")
    return model


def check_one_for_each(maps: Tensor, images: Tensor, layer: str) -> None:
    """Refuse a layer that makes more maps, or fewer, than there are images."""
    if len(maps) != len(images):
        raise ValueError(
            f"for {len(images)} images {layer!r} returns {len(maps)} maps: its first dimension is "
            "not the number of images. Take another layer."
        )


def what_it_holds(result: Any, which: str) -> str:
    """The end of a message about a result that is no tensor: how `output=` takes one out of it."""
    parts = {path: list(tensor.shape) for path, tensor in named_tensors(result) if is_float(tensor)}
    if not parts:
        return "It holds no tensor of floats."
    likely = next((path for path, shape in parts.items() if len(shape) == 2), next(iter(parts)))
    return f"It holds {parts}. Say which {which}: output=lambda out: out{likely}"


def whole(what: str, value: Any) -> int:
    """An integer of any library's kind as Python's own."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, got {value!r}.") from None


def is_float(value: Any) -> bool:
    """Whether this is a tensor of floats."""
    return isinstance(value, Tensor) and value.is_floating_point()


def select(result: Any, output: Output | None) -> Any:
    """The class scores in what a model returns."""
    return result if output is None else output(result)


def to_model(model: nn.Module, images: Tensor) -> Tensor:
    """Images on the device and of the type that the model's first floating weights have."""
    return images.to(next((p for p in model.parameters() if p.is_floating_point()), images))


def named_tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in what a layer returns, each with the Python that leads to it: `[1]['out']`."""
    parts: dict[str, Any] = {}
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = {f".{name}": getattr(value, name) for name in value._fields}
    elif is_dataclass(value):
        parts = {f".{item.name}": getattr(value, item.name) for item in fields(value)}
    elif isinstance(value, Mapping):
        parts = {f"[{key!r}]": item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"[{index}]": item for index, item in enumerate(value)}
    for part, item in parts.items():
        yield from named_tensors(item, path + part)


def tensor_shapes(value: Any) -> list[tuple[int, ...]]:
    """The shapes of all tensors in what a layer returns, in order."""
    return [tuple(tensor.shape) for _, tensor in named_tensors(value)]
