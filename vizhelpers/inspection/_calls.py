"""Record a forward pass: which modules are called, with which shapes, and what each multiplies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from vizhelpers._utils.checks import tensor_shapes
from vizhelpers._utils.clear_errors import describe_briefly
from vizhelpers.hooks import layer_by_layer

Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass
class Call:
    """One call of one module.

    Attributes:
        name: The module's dotted name; "" for the model itself.
        module: The module.
        inputs: Shapes of all tensors that it was given.
        outputs: Shapes of all tensors that it returned.
        mult_adds: Its multiply-adds, without those of the modules that it called.
        returned: Whether it came to its end.
    """

    name: str
    module: nn.Module
    inputs: list[Shape]
    outputs: list[Shape]
    mult_adds: int = 0
    returned: bool = False


class Calls(list[Call]):
    """The calls of all modules in a forward pass, in the order in which they began."""

    def __init__(self, model: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()
        self.running: list[Call] = []  # the innermost is the last
        self.last = ""  # name of the module that was entered or left last
        self._counter, self._counted = counter, 0
        self._called: set[str] = set()
        self._names = {module: name for name, module in model.named_modules()}
        # Each parameter once: two layers that share one no longer do so on another device.
        self._parameters: dict[int, tuple[nn.Module, str]] = {}
        for module in self._names:
            for key, parameter in module._parameters.items():
                self._parameters.setdefault(id(parameter), (module, key))

    def mult_adds(self) -> dict[str, int]:
        """For each module that was called, the multiply-adds of its calls."""
        sums = dict.fromkeys((call.name for call in self), 0)
        for call in self:
            sums[call.name] += call.mult_adds
        return sums

    def caller(self, module: nn.Module) -> str:
        """Name of the module, or of the one around it that was called where it was not."""
        name = self._names[module]
        while name and name not in self._called:
            name = name.rpartition(".")[0]
        return name

    def parameters(self) -> dict[str, list[Tensor]]:
        """For each module that was called, its parameters, and those of parts that it only reads.

        `nn.MultiheadAttention` uses the weights of a layer inside it without calling that layer.
        """
        own: dict[str, list[Tensor]] = {"": [], **{call.name: [] for call in self}}
        for module, key in self._parameters.values():
            parameter = module._parameters[key]
            if parameter is not None and not is_lazy(parameter):
                own[self.caller(module)].append(parameter)
        return own

    def enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A module's pre-hook: it is called."""
        self._count()
        self.last = name
        self._called.add(name)
        self.append(Call(name, module, tensor_shapes([args, kwargs]), []))
        self.running.append(self[-1])

    def leave(self, module: nn.Module, _: Any, output: Any) -> None:
        """A module's hook: it returned."""
        self._count()
        while (call := self.running.pop()).module is not module:
            pass  # a part of it failed and it carried on
        call.outputs, call.returned, self.last = tensor_shapes(output), True, call.name

    def _count(self) -> None:
        """Give what was counted since the last time to the module that is running."""
        total = self._counter.get_total_flops() // 2
        if self.running:
            self.running[-1].mult_adds += total - self._counted
        self._counted = total


def _lstm_flops(x: Shape, w_ih: Shape, w_hh: Shape, *_: Any, **__: Any) -> int:
    """PyTorch has no formula for the operation in which a CPU runs a layer of an LSTM."""
    return 2 * prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


class _NoTracker(nullcontext[None]):
    """Instead of the counter's own hooks, which fail where a module is given a parameter."""

    parents = ("Global",)


@contextmanager
def record_calls(model: nn.Module) -> Iterator[Calls]:
    """Record what a model calls inside the block; afterwards the model is as it was.

    `FlopCounterMode` watches every operation, so nothing depends on the classes of the layers.
    The multiply-adds of all calls add up to half of the floating point operations it counts.
    """
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
    )
    counter.mod_tracker = _NoTracker()  # type: ignore[assignment]
    with layer_by_layer(model), counter:
        calls = Calls(model, counter)
        for name, module in model.named_modules():
            if "parametrizations" in name.split("."):
                continue  # what a layer does to its own weights is that layer's work
            module.register_forward_pre_hook(partial(calls.enter, name), with_kwargs=True)
            module.register_forward_hook(calls.leave)
        yield calls


def random_inputs(
    model: nn.Module, input_size: Sequence[Any], dtypes: Sequence[torch.dtype] | None = None
) -> list[Tensor]:
    """Random tensors of one shape or of several, of the type and on the device of the weights."""
    if not isinstance(input_size, list | tuple) or not input_size:
        raise TypeError(
            "input_size is the shape of the input, batch included, such as (1, 3, 224, 224); "
            f"got {describe_briefly(input_size)}."
        )
    sizes = [input_size] if isinstance(input_size[0], int) else input_size
    some = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    kinds = [some.dtype] * len(sizes) if dtypes is None else dtypes
    pairs = zip(sizes, kinds, strict=True)
    return [torch.rand(size, device=some.device).to(kind) for size, kind in pairs]


def where_it_stopped(
    calls: Calls, error: BaseException, input_size: Sequence[Any] | None = None
) -> str:
    """Say in which layer a forward pass failed, what that was given, and what ran before."""
    return "\n".join([*_where(calls, input_size), f"{type(error).__name__}: {error}"])


def _where(calls: Calls, input_size: Sequence[Any] | None) -> Iterator[str]:
    if not calls.running:
        yield "The model could not be run."
        return
    call = calls.running[-1]
    kind = type(call.module).__name__
    place = f"layer {call.name!r} ({kind})" if call.name else kind
    if call.module._modules:
        place = f"the forward method of {place}, between its layers"
    yield f"The forward pass stopped in {place}."
    yield f"It got {_text(call.inputs)}."
    yield from (f"It expects {text}." for text in _expectations(call.module))
    if input_size is not None and len(input_size) == 3 and isinstance(input_size[0], int):
        yield f"Is the batch size missing? input_size={(1, *input_size)}"
    before = [c for c in calls if c.returned and not c.module._modules][-8:]
    if before:
        yield "Layers that ran before it, input → output:"
    for c in before:
        label = f"{c.name} ({type(c.module).__name__})"
        yield f"  {label:<32} {_text(c.inputs)} → {_text(c.outputs)}"


def _text(shapes: list[Shape]) -> str:
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
