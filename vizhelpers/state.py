"""Preserve and restore the state of a model: modes, hooks, gradients, buffers, random numbers.

Whatever runs a model here does so inside `preserve_state`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.checks import check_model

# The dictionaries that every module keeps: parameters, buffers, submodules, and the hooks of
# each kind. Asked from PyTorch itself, so that a new kind of hook is covered too.
_REGISTRIES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))
_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@contextmanager
def preserve_state(model: nn.Module, *, weights: bool = False) -> Iterator[None]:
    """Leave a model exactly as it was found, also after an error.

    Inside the block the model may be run, switched between training and evaluation, hooked,
    frozen, moved to another device or converted to another type. Afterwards these are back:

    - of every submodule: training mode, hooks of all kinds, its entries (so a replaced or
      added submodule, parameter or buffer), and plain attributes such as `ReLU.inplace`;
    - of every parameter: `requires_grad`, `grad` (the same tensor with the same numbers, or
      None), tensor hooks, and the very memory it lived in, hence device and type;
    - of every buffer: all that and its numbers, such as BatchNorm's running statistics;
    - the random numbers of Python, NumPy, PyTorch on the CPU, and on CUDA where it was in use.

    Not undone, because it would take a copy of everything: numbers written into the weights
    (an optimizer step, `nn.init`), unless `weights` is set; what is inside lists and
    dictionaries of your own; tensors that are neither parameter nor buffer. Not the model's:
    optimizers, global hooks, `torch.set_grad_enabled`.

    Buffers and gradients are copied, weights only on request: for a ResNet-18 without
    gradients that takes about 1.5 ms and 40 kB.

    Args:
        model: Any module. It may be used in nested blocks.
        weights: Also copy the numbers in the weights, to experiment with them.

    Raises:
        TypeError: The model is no module.

    Example:
        >>> with preserve_state(model):
        ...     model.eval()
        ...     output = model(image)
    """
    check_model(model)
    with ExitStack() as undo:
        _keep_random_numbers(undo)
        for module in model.modules():
            undo.callback(_keep_module(module))
        for parameter in model.parameters():
            undo.callback(_keep_tensor(parameter, numbers=weights))
        for buffer in model.buffers():
            undo.callback(_keep_tensor(buffer, numbers=True))
        yield


def _keep_random_numbers(undo: ExitStack) -> None:
    undo.callback(random.setstate, random.getstate())
    undo.callback(np.random.set_state, np.random.get_state())
    undo.callback(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        undo.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _keep_module(module: nn.Module) -> Callable[[], None]:
    kind, training, attributes = type(module), module.training, vars(module).copy()
    registries = [attributes.get(name) for name in _REGISTRIES]
    entries = [(registry, dict(registry)) for registry in registries if isinstance(registry, dict)]

    def restore() -> None:
        module.__class__ = kind  # lazy layers and parametrizations change it
        vars(module).clear()
        vars(module).update(attributes)
        for registry, content in entries:
            _refill(registry, content)
        if module.training != training:  # a scripted module keeps its mode elsewhere
            module.training = training

    return restore


def _keep_tensor(tensor: Tensor, *, numbers: bool) -> Callable[[], None]:
    kind, needs_grad, grad = type(tensor), tensor.requires_grad, tensor.grad
    restore_memory = _keep_memory(tensor, numbers=numbers and not is_lazy(tensor))
    restore_grad = None if grad is None else _keep_memory(grad, numbers=True)
    hooks = [(name, dict(getattr(tensor, name) or ())) for name in _TENSOR_HOOKS]

    def restore() -> None:
        tensor.grad = None  # it may be on another device by now
        restore_memory()
        if tensor.requires_grad != needs_grad:  # refused for tensors made in inference mode
            tensor.requires_grad = needs_grad
        if restore_grad is not None:
            restore_grad()
            tensor.grad = grad
        for name, content in hooks:
            _refill(getattr(tensor, name), content)
        tensor.__class__ = kind  # a lazy parameter changes it when it learns its shape

    return restore


def _keep_memory(tensor: Tensor, *, numbers: bool) -> Callable[[], None]:
    # `.data` is the same memory without autograd's records: writing to it later on cannot
    # spoil a backward pass through what was computed inside the block.
    memory = tensor.data
    copy = memory.clone() if numbers else None

    def restore() -> None:
        tensor.data = memory
        if copy is not None:
            memory.copy_(copy)

    return restore


def _refill(registry: dict[Any, Any] | None, content: dict[Any, Any]) -> None:
    """Put the content back into the same dictionary: the handles of hooks refer to it."""
    if registry:  # None before a tensor's first hook
        registry.clear()
    if content and registry is not None:
        registry.update(content)
