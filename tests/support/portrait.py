"""What has to stay as it was: everything about a model, and the random states."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def portrait(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that has to stay, in a form that `==` compares."""
    picture: dict[str, Any] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        picture[f"{name} mode"] = (module.training, getattr(module, "inplace", None))
        picture[f"{name} kind"] = (id(module), type(module), module._is_full_backward_hook)
        picture[f"{name} hooks"] = [(hook, list(getattr(module, hook).items())) for hook in HOOKS]
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        grad = tensor.grad
        picture[f"{name} place"] = (id(tensor), tensor.data_ptr(), tensor.dtype, tensor.device)
        picture[f"{name} values"] = tensor.tolist()
        picture[f"{name} grad"] = (tensor.requires_grad, id(grad), grad is None or grad.tolist())
        picture[f"{name} hooks"] = dict(tensor._backward_hooks or {})
    return picture


def some_grads(model: nn.Module) -> None:
    """Gradients for every other parameter, so that both a tensor and None have to stay."""
    for parameter in list(model.parameters())[::2]:
        parameter.grad = torch.full_like(parameter, 0.5)


def random_numbers() -> tuple[Any, ...]:
    """Python's, NumPy's and PyTorch's."""
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
