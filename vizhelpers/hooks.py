"""Forward hooks that clean up: capture activations, inputs and gradients of any layers.

`capture` runs a model once and keeps what chosen layers produce; `cut_off_after` ends a forward
pass at a layer, for autograd to go through.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map

from vizhelpers._utils.checks import check_differentiable, check_hookable, named_tensors
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import ClearKeyError, nearest
from vizhelpers.layers import get_layer, layer_name
from vizhelpers.state import preserve_state

Layer = str | nn.Module

_WHY_NEVER = (
    "Usual reasons: forward does not use it or took another branch; it is a list such as "
    "nn.ModuleList, whose layers are called one by one; or its weights are read without "
    "calling it, as nn.MultiheadAttention does with 'out_proj'."
)


class Calls(dict[str, list[Any]]):
    """Key → one tensor per call, in the order of the calls; says why a key is missing."""

    never_called: tuple[str, ...] = ()

    def __missing__(self, key: object) -> list[Any]:
        parts = [known for known in self if known.startswith((f"{key}[", f"{key}."))]
        near = parts or nearest(str(key), self) or list(self)[:5]
        there_is = f"There is {', '.join(map(repr, near))}."
        if key in self.never_called:
            reason = f"the layer {key!r} was not called in this pass. {_WHY_NEVER}"
        elif not self:
            reason = "nothing was kept here; ask for it: with_inputs=True, gradients=True."
        elif parts:
            reason = f"{key!r} holds several tensors or layers. {there_is}"
        else:
            reason = f"{key!r} was not asked for, or it returned no tensor. {there_is}"
        raise ClearKeyError(reason)

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{key:<{width}}  {_shapes(calls)}" for key, calls in self.items())


class Captured(Calls):
    """What `capture` found: key → what that layer produced, one tensor per call.

    A key is the layer's name. Where a layer returns several tensors, there is a key for each,
    written as one would reach it in Python: `lstm[0]`, `lstm[1][0]`, `backbone['out']`,
    `head.logits`. What is no tensor is left out. All tensors are copies without autograd's
    records, on the device on which they were made.

    Attributes:
        inputs: The same for what each layer was given, before it ran: under the layer's name
            if that was one value, otherwise `name[0]`, `name[1]`; `name['mask']` for what
            came by keyword. Empty unless asked for.
        gradients: Of the score, with the keys and calls of the outputs: d score / d output,
            or None where the score does not depend on it. Empty unless asked for.
        output: What the model returned; None if the pass was stopped early.
        stopped_after: Name of the module after which the pass was stopped, or None.
        never_called: The layers that were asked for and not called in this pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inputs = Calls()
        self.gradients = Calls()
        self.output: Any = None
        self.stopped_after: str | None = None

    @property
    def maps(self) -> dict[str, Tensor]:
        """Key → what the layer made of the first image at its first call: [C, H, W]."""
        return {key: calls[0][0] for key, calls in self.items()}

    @property
    def map(self) -> Tensor:
        """What the one layer that was asked for made of the first image, at its first call.

        Raises:
            ValueError: there are several layers, or it returned several tensors, or none.
        """
        maps = list(self.maps.values())
        if len(maps) == 1:
            return maps[0]
        raise ValueError(
            f".map is for one layer that returns one tensor; this holds {len(maps)}: "
            f"{', '.join(map(repr, self))}. Choose one: .maps[{next(iter(self), 'name')!r}]."
        )

    def __repr__(self) -> str:
        lines = [super().__repr__()]
        if self.never_called:
            lines.append(f"never called: {', '.join(self.never_called)}")
        if self.stopped_after is not None:
            lines.append(f"stopped after {self.stopped_after}")
        return "\n".join(lines)


@clear_errors
def capture(
    model: nn.Module,
    inputs: Any,
    layers: Layer | Iterable[Layer],
    *,
    gradients: bool | Callable[[Any], Tensor] = False,
    with_inputs: bool = False,
    stop_early: bool = False,
) -> Captured:
    """Run a model once and keep what chosen layers produce, at each of their calls.

    The values are copied at the moment at which a layer returns, so that an in-place ReLU
    after it cannot overwrite them. The model runs in the mode that it is in, hooks of yours
    included, and comes out as it went in, also after an error.

    Gradients are those with respect to a layer's own output, before any in-place change, and
    they work for frozen models, under `torch.no_grad` and under `torch.inference_mode`. The
    backward pass runs through `torch.autograd.grad`, so no parameter receives a gradient.

    A model from `torch.compile` is run uncompiled, because hooks do not fire in compiled code.
    Attention layers take PyTorch's ordinary path, since the fused one calls no layers inside.

    Args:
        model: Any module.
        inputs: A tensor is given to the model as it is, a tuple as positional arguments, a
            mapping as keyword arguments; anything else as the one argument. The model works
            on a copy.
        layers: The name of a layer (`""` is the model itself), the layer, or several of them.
        gradients: True for the gradient of the largest output of each image, summed over the
            batch: for a classifier, the score of its prediction. Otherwise a function from
            the model's output to a score (one number), such as
            `lambda output: output[:, 3].sum()`.
        with_inputs: Also keep what the layers were given.
        stop_early: Stop the forward pass once every one of these layers was called once, which
            saves the time of what comes after; a layer's later calls are then missing, and so is
            the output. Has no effect with gradients, which need the whole pass.

    Raises:
        TypeError: The model is no module, or a scripted or quantised one; a layer is no name and
            no module; with gradients, the model's output or the score is not of the right kind.
        ValueError: There is no such layer, none was asked for, or none of them was called.

    Example:
        >>> model, images = load_model("resnet18"), normalize(load_scenes(limit=2).images)
        >>> capture(model, images, "layer1").map.shape  # the first image's maps
        torch.Size([16, 32, 32])
        >>> captured = capture(model, images, ["conv1", "layer1"])
        >>> captured["conv1"][0].shape  # the first call, all images
        torch.Size([2, 16, 64, 64])
    """
    model = check_hookable(model)
    if not (isinstance(gradients, bool) or callable(gradients)):
        raise TypeError(
            "gradients is True, False or a function from the model's output to a score, such "
            f"as lambda output: output[:, 3].sum(); got {gradients!r}."
        )
    if gradients:
        check_differentiable(model)
    names_of = _find(model, layers)
    stop_early = stop_early and not gradients
    recorder = _Recorder(names_of, with_inputs, bool(gradients), stop_early)
    captured = recorder.captured
    with _prepared(model, with_gradients=bool(gradients)):
        args, kwargs = _arguments(inputs, needs_grad=bool(gradients))
        output = None
        with ExitStack() as handles:  # gone before the backward pass, which may run layers again
            recorder.listen(handles)
            try:
                output = model(*args, **kwargs)
            except _Stop as stop:
                captured.stopped_after = stop.name
        recorder.check_calls()
        if gradients:
            recorder.differentiate(_score(output, gradients))
        captured.output = _with_each(_copy, output)
    return captured


def _find(model: nn.Module, layers: Layer | Iterable[Layer]) -> dict[nn.Module, list[str]]:
    """Each module that was asked for, and the names under which it was."""
    names_of: dict[nn.Module, list[str]] = {}
    modules = dict(model.named_modules(remove_duplicate=False))  # once: it is not for free
    if isinstance(layers, str | nn.Module) or not isinstance(layers, Iterable):
        layers = [layers]
    for layer in layers:
        given = layer.removeprefix("_orig_mod.") if isinstance(layer, str) else layer
        module = modules.get(given) if isinstance(given, str) else None
        module = module or get_layer(model, given)
        name = given if isinstance(given, str) else layer_name(model, given)
        names = names_of.setdefault(module, [])
        names.extend([] if name in names else [name])
    if not names_of:
        raise ValueError("no layers were asked for. list_layers(model) lists all names.")
    return names_of


@dataclass
class _Recorder:
    """Keeps what passes through the hooks on the layers that were asked for."""

    names_of: Mapping[nn.Module, list[str]]
    with_inputs: bool
    with_gradients: bool
    stop_early: bool
    called: set[nn.Module] = field(default_factory=set)
    captured: Captured = field(default_factory=Captured)
    edges: dict[str, list[GradientEdge | None]] = field(default_factory=dict)

    def listen(self, handles: ExitStack) -> None:
        """Hook every layer, after all other hooks, so that it is seen what those change."""
        for module in self.names_of:
            if self.with_inputs:
                before = module.register_forward_pre_hook(self._before, with_kwargs=True)
                handles.callback(before.remove)
            handles.callback(module.register_forward_hook(self._after).remove)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if len(args) == 1 else args
        for part, tensor in [*named_tensors(given), *named_tensors(kwargs)]:
            self._keep(self.captured.inputs, module, part, _copy(tensor))

    def _after(self, module: nn.Module, given: Any, output: Any) -> Any:
        if self.with_gradients:
            # Autograd loses sight of a view that is changed in place, and cannot tell what a
            # layer hands through (Identity) from what it was given: hand on a copy of either.
            same = {id(tensor) for _, tensor in named_tensors(given)}
            output = _with_each(lambda t: t.clone() if t._is_view() or id(t) in same else t, output)
        self.called.add(module)
        for part, tensor in named_tensors(output):
            self._keep(self.captured, module, part, _copy(tensor))
            if self.with_gradients:
                # Unlike the tensor, its edge in the graph stays the same when it is overwritten.
                edge = get_gradient_edge(tensor) if tensor.requires_grad else None
                self._keep(self.edges, module, part, edge)
        if self.stop_early and len(self.called) == len(self.names_of):
            raise _Stop(self.names_of[module][0])
        return output

    def _keep(self, where: dict[str, list[Any]], module: nn.Module, part: str, value: Any) -> None:
        for name in self.names_of[module]:
            where.setdefault(name + part, []).append(value)

    def check_calls(self) -> None:
        """Note which layers were never called; refuse if that is all of them."""
        names = [
            name for m, names in self.names_of.items() if m not in self.called for name in names
        ]
        if not self.called:
            raise ValueError(f"the model never called {', '.join(map(repr, names))}. {_WHY_NEVER}")
        for calls in (self.captured, self.captured.inputs, self.captured.gradients):
            calls.never_called = tuple(names)

    def differentiate(self, score: Tensor) -> None:
        edges = [edge for calls in self.edges.values() for edge in calls if edge is not None]
        found = iter(torch.autograd.grad(score, edges, allow_unused=True) if edges else ())
        for key, calls in self.edges.items():
            grads = [None if edge is None else next(found) for edge in calls]
            # Copies, because autograd may hand the same memory to both branches of a sum.
            self.captured.gradients[key] = [None if g is None else _copy(g) for g in grads]


class _Stop(BaseException):
    """Ends a forward pass; no Exception, which the model itself might catch."""

    def __init__(self, name: str, output: Any = None) -> None:
        self.name, self.output = name, output


@contextmanager
def cut_off_after(model: nn.Module, layer: Layer) -> Iterator[Callable[..., Any]]:
    """A model that ends with the first call of one of its layers, for autograd to go through.

    Nothing behind the layer is run, so that neither time is lost there nor an in-place ReLU
    overwrites what the layer returned. Weights are frozen and the model is in eval mode until
    the end of the block; then it is as it was.

    Yields:
        A function of the model's inputs; it returns what the layer returned, on autograd's
        records.

    Raises:
        ValueError: There is no such layer; or, when called, the model never called it.
    """
    model = check_hookable(model)
    ((module, (name, *_)),) = _find(model, layer).items()

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise _Stop(name, output)

    def run(*inputs: Any) -> Any:
        try:
            model(*inputs)
        except _Stop as stopped:
            return stopped.output
        raise ValueError(f"the model never called {name!r}. {_WHY_NEVER}")

    with differentiable(model):
        module.register_forward_hook(stop)
        yield run


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Eval mode, autograd on, weights frozen, every layer called by itself; undone afterwards."""
    check_differentiable(model)
    with layer_by_layer(model), torch.inference_mode(False), torch.enable_grad():
        model.eval()  # not chained: there are models whose eval() returns nothing
        for parameter in model.parameters():
            if not is_lazy(parameter):
                parameter.requires_grad_(False)  # no time is spent on gradients of weights
        yield


@contextmanager
def layer_by_layer(model: nn.Module) -> Iterator[None]:
    """Have a model call each of its layers, so that hooks fire; preserve its state, too.

    PyTorch can run an attention block, or a compiled model, as one.
    """
    with ExitStack() as undo:
        undo.enter_context(preserve_state(model))
        mha = torch.backends.mha
        undo.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules:  # otherwise nothing is compiled, and it loads slowly
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def _prepared(model: nn.Module, *, with_gradients: bool) -> Iterator[None]:
    inference = torch.is_inference_mode_enabled() and not with_gradients
    with (
        layer_by_layer(model),
        torch.inference_mode(inference),
        torch.set_grad_enabled(with_gradients),
    ):
        for parameter in model.parameters() if with_gradients else ():
            # Frozen layers too, also where only integers lead to them.
            if not is_lazy(parameter) and parameter.dtype.is_floating_point:
                parameter.requires_grad_()
        yield


def _arguments(inputs: Any, *, needs_grad: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The model's own copy of its inputs, as positional and keyword arguments."""

    def own(tensor: Tensor) -> Tensor:
        mine = _copy(tensor)
        if needs_grad and mine.dtype.is_floating_point:
            mine = mine.requires_grad_().clone()  # not a leaf: it may be changed in place
        return mine

    if isinstance(inputs, Mapping):
        return (), {name: _with_each(own, value) for name, value in inputs.items()}
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(_with_each(own, value) for value in args), {}


def _score(output: Any, gradients: bool | Callable[[Any], Tensor]) -> Tensor:
    if callable(gradients):
        score = gradients(output)
        if not isinstance(score, Tensor) or score.numel() != 1:
            raise TypeError(
                "the function given as gradients must return a tensor with one number, such "
                f"as output[:, 3].sum(); it returned {_kind(score)}."
            )
    elif isinstance(output, Tensor) and output.ndim == 2:
        score = output.amax(dim=1).sum()
    else:
        raise TypeError(
            "gradients=True takes each image's largest output and so needs a model that "
            f"returns one tensor [N, classes]; this one returned {_kind(output)}. Pass a "
            "function instead: gradients=lambda output: output[…].sum()."
        )
    if not score.requires_grad:
        raise TypeError(
            "the score has no gradient. It must follow from the model's output by "
            "differentiable steps: no detach(), item(), argmax() or torch.no_grad() on the way."
        )
    return score


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    parts = ", ".join(part for part, _ in named_tensors(value))
    return f"{type(value).__name__} with {parts or 'no tensor'}"


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _with_each(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same nested lists, tuples, mappings and dataclasses, with other tensors in them."""

    def of_leaf(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return function(leaf)
        if not dataclasses.is_dataclass(leaf):
            return leaf
        other = copy.copy(leaf)
        for part in dataclasses.fields(leaf):  # also of a frozen one
            object.__setattr__(other, part.name, _with_each(function, getattr(leaf, part.name)))
        return other

    return tree_map(of_leaf, value)


def _shapes(calls: Iterable[Tensor | None]) -> str:
    """Such as `2 calls  [1, 8, 4, 4] × 2`: equal shapes in a row are counted."""
    shapes = [None if value is None else list(value.shape) for value in calls]
    runs = [(shape, len(list(run))) for shape, run in groupby(shapes)]
    text = ", ".join(f"{shape}" + (f" × {count}" if count > 1 else "") for shape, count in runs)
    return f"{len(shapes)} call{'s' if len(shapes) > 1 else ''}  {text}"
