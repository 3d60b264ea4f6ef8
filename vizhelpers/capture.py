"""What chosen layers produced in one forward pass, and what it meant for the result.

Running a model to look at the tensors inside it belongs here; what is computed from them or
drawn does not.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map_only

from vizhelpers.calls import closes_with
from vizhelpers.layers import check_model, get_layer, layer_name
from vizhelpers.state import preserve_state

Layer = str | nn.Module
Score = Callable[[Any], Tensor]

_WHY_NEVER = (
    "Usual reasons: forward does not use it or took another branch; it is a list such as "
    "nn.ModuleList, whose layers are called one by one; or its weights are read without "
    "calling it, as nn.MultiheadAttention does with 'out_proj'."
)


class LayerKeyError(KeyError):
    """A KeyError whose message reads as it was written."""

    def __str__(self) -> str:
        return str(self.args[0])


class Calls(Mapping[str, list[Tensor]]):
    """Key → one tensor per call, in the order of the calls; says why a key is missing."""

    def __init__(self, calls: Mapping[str, list[Any]], missing: Callable[[str], str]) -> None:
        self._calls = dict(calls)
        self._missing = missing

    def __getitem__(self, key: str) -> list[Any]:
        if key not in self._calls:
            raise LayerKeyError(self._missing(key))
        return self._calls[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        width = max(map(len, self._calls), default=0)
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

    def __init__(
        self,
        record: _Record,
        *,
        gradients: Mapping[str, list[Tensor | None]] | None,
        with_inputs: bool,
        output: Any,
        stopped_after: str | None,
    ) -> None:
        self.never_called = tuple(name for name in record.names if name not in record.called)
        super().__init__(record.outputs, self._explain)
        self.inputs = Calls(
            record.inputs, self._explain if with_inputs else _not_asked("with_inputs=True")
        )
        self.gradients = Calls(
            gradients or {},
            _not_asked("gradients=True") if gradients is None else self._explain,
        )
        self.output = output
        self.stopped_after = stopped_after

    def _explain(self, key: str) -> str:
        if key in self.never_called:
            return f"the layer {key!r} was not called in this pass. {_WHY_NEVER}"
        parts = [known for known in self if known.startswith((f"{key}[", f"{key}."))]
        near = parts or get_close_matches(key, self, n=3) or list(self)[:5]
        reason = "is made of several tensors or layers" if parts else "was not captured"
        return f"{key!r} {reason}. There is {', '.join(map(repr, near)) or 'nothing'}."

    def __repr__(self) -> str:
        lines = [super().__repr__()]
        if self.never_called:
            lines.append(f"never called: {', '.join(self.never_called)}")
        if self.stopped_after is not None:
            lines.append(f"stopped after {self.stopped_after}")
        return "\n".join(lines)


def capture(
    model: nn.Module,
    inputs: Any,
    layers: Layer | Iterable[Layer],
    *,
    gradients: bool | Score = False,
    with_inputs: bool = False,
    stop_early: bool = True,
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
        stop_early: End the forward pass as soon as no further call of these layers can come.
            Never with gradients, which need the whole pass.

    Raises:
        TypeError: The model is no module or a scripted one; a layer is no name and no module;
            with gradients, the model's output or the score is not of the right kind.
        ValueError: There is no such layer, none was asked for, or none of them was called.

    Example:
        >>> captured = capture(model, image, ["conv1", "layer1"], stop_early=False)
        >>> captured["conv1"][0].shape
        torch.Size([1, 64, 112, 112])
    """
    check_model(model)
    model = getattr(model, "_orig_mod", model)  # the model that torch.compile was given
    names = _names(model, layers)
    record = _Record(model, names, with_inputs=with_inputs, with_gradients=bool(gradients))
    with preserve_state(model), _layer_by_layer(), _grad_mode(bool(gradients)):
        args, kwargs = _arguments(inputs, needs_grad=bool(gradients))
        if gradients:
            _thaw(model)
        output, stopped_after = None, None
        try:
            with record.hooks(stop_early=stop_early and not gradients):
                output = model(*args, **kwargs)
        except _Stop as stop:
            stopped_after = stop.name
        if not record.called:
            asked = ", ".join(map(repr, names))
            raise ValueError(f"the model ran without ever calling {asked}. {_WHY_NEVER}")
        found = record.gradients(_score(output, gradients)) if gradients else None
        output = tree_map_only(Tensor, _copy, output)
    return Captured(
        record,
        gradients=found,
        with_inputs=with_inputs,
        output=output,
        stopped_after=stopped_after,
    )


class _Stop(BaseException):
    """Ends a forward pass; no Exception, which the model itself might catch."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Record:
    """Keeps what passes through the hooks on the layers that were asked for."""

    def __init__(
        self, model: nn.Module, names: list[str], *, with_inputs: bool, with_gradients: bool
    ) -> None:
        self.names = names
        self.called: set[str] = set()
        self.inputs: dict[str, list[Tensor]] = {}
        self.outputs: dict[str, list[Tensor]] = {}
        self._edges: dict[str, list[GradientEdge | None]] = {}
        self._model = model
        self._with_inputs = with_inputs
        self._with_gradients = with_gradients
        self._names_of: dict[nn.Module, list[str]] = {}
        for name in names:
            self._names_of.setdefault(get_layer(model, name), []).append(name)

    @contextmanager
    def hooks(self, *, stop_early: bool) -> Iterator[None]:
        """Listen to the layers; registered last, so that it sees what other hooks change."""
        with ExitStack() as handles:
            for module in self._names_of:
                if self._with_inputs:
                    handles.enter_context(
                        module.register_forward_pre_hook(self._before, with_kwargs=True)
                    )
                handles.enter_context(module.register_forward_hook(self._after))
            if stop_early:
                self._stop_when_closed(handles)
            yield

    def _stop_when_closed(self, handles: ExitStack) -> None:
        still_open = {closes_with(self._model, name) for name in self.names}
        if "" in still_open:
            return

        def close(name: str) -> None:
            still_open.discard(name)
            if not still_open and self.called.issuperset(self.names):
                raise _Stop(name)

        for name in tuple(still_open):
            module = get_layer(self._model, name)
            handles.enter_context(module.register_forward_hook(lambda *_, name=name: close(name)))

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if len(args) == 1 else args
        for part, tensor in [*_tensors(given), *_tensors(kwargs)]:
            copy = _copy(tensor)
            for name in self._names_of[module]:
                self.inputs.setdefault(name + part, []).append(copy)

    def _after(self, module: nn.Module, _: Any, output: Any) -> Any:
        if self._with_gradients and isinstance(output, Tensor) and output._is_view():
            # Autograd forgets this view if it is changed in place later on: hand on a copy.
            output = output.clone()
        self.called.update(self._names_of[module])
        for part, tensor in _tensors(output):
            copy = _copy(tensor)
            # Unlike the tensor, its edge in the graph does not change with the tensor's value.
            edge = get_gradient_edge(tensor) if tensor.requires_grad else None
            for name in self._names_of[module]:
                self.outputs.setdefault(name + part, []).append(copy)
                self._edges.setdefault(name + part, []).append(edge)
        return output

    def gradients(self, score: Tensor) -> dict[str, list[Tensor | None]]:
        edges = [edge for calls in self._edges.values() for edge in calls if edge is not None]
        found = iter(torch.autograd.grad(score, edges, allow_unused=True) if edges else ())
        return {
            key: [None if edge is None else next(found) for edge in calls]
            for key, calls in self._edges.items()
        }


def _names(model: nn.Module, layers: Layer | Iterable[Layer]) -> list[str]:
    """The names of what was asked for, each once; refuses what cannot be listened to."""
    asked = [layers] if isinstance(layers, str | nn.Module) else list(layers)
    if not asked:
        raise ValueError("no layers were asked for. list_layers(model) lists all names.")
    names = []
    for layer in asked:
        name = layer.removeprefix("_orig_mod.") if isinstance(layer, str) else layer
        module = get_layer(model, name)
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                "no hook fires inside a scripted or traced model, so there is nothing to "
                "capture. Capture from the model as it was before torch.jit."
            )
        names.append(name if isinstance(name, str) else layer_name(model, module))
    return list(dict.fromkeys(names))


@contextmanager
def _layer_by_layer() -> Iterator[None]:
    """Keep PyTorch from running several layers as one, in which case no hook fires."""
    with ExitStack() as undo:
        undo.callback(
            torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()
        )
        torch.backends.mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules:  # otherwise nothing is compiled, and it loads slowly
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def _grad_mode(needs_grad: bool) -> Iterator[None]:
    if not needs_grad:
        with torch.no_grad():
            yield
    else:
        with torch.inference_mode(False), torch.enable_grad():
            yield


def _arguments(inputs: Any, *, needs_grad: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def own(tensor: Tensor) -> Tensor:
        copy = _copy(tensor)
        if not needs_grad or not (copy.is_floating_point() or copy.is_complex()):
            return copy
        return copy.requires_grad_().clone()  # no leaf, so that it may be changed in place

    if isinstance(inputs, Mapping):
        return (), {name: tree_map_only(Tensor, own, value) for name, value in inputs.items()}
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(tree_map_only(Tensor, own, value) for value in args), {}


def _thaw(model: nn.Module) -> None:
    """Let frozen layers have gradients too, also those that no floating input leads to."""
    for parameter in model.parameters():
        if not is_lazy(parameter) and (parameter.is_floating_point() or parameter.is_complex()):
            parameter.requires_grad_()


def _score(output: Any, gradients: bool | Score) -> Tensor:
    if callable(gradients):
        score = gradients(output)
        if not isinstance(score, Tensor) or score.numel() != 1:
            raise TypeError(
                "the function given as gradients must return one number as a tensor, such as "
                f"output[:, 3].sum(); it returned {_kind(score)}."
            )
    elif isinstance(output, Tensor) and output.ndim == 2:
        score = output.amax(dim=1).sum()
    else:
        raise TypeError(
            "gradients=True takes each image's largest output and so needs a model that "
            f"returns one tensor [N, classes]; this one returned {_kind(output)}. Pass a "
            "function instead that makes a score: gradients=lambda output: output[…].sum()."
        )
    if not score.requires_grad:
        raise TypeError(
            "the score has no gradient. It must be computed from the model's output by "
            "differentiable steps: no detach(), item(), argmax() or torch.no_grad() on the way."
        )
    return score


def _kind(value: Any) -> str:
    found = f"{type(value).__name__}"
    if isinstance(value, Tensor):
        return f"a {found} of shape {list(value.shape)}"
    return f"{found} with {', '.join(part for part, _ in _tensors(value)) or 'no tensor'}"


def _tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in nested outputs, each with the Python that leads to it."""
    if isinstance(value, Tensor):
        yield path, value
        return
    parts: dict[str, Any] = {}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = {f".{name}": getattr(value, name) for name in value._fields}
    elif dataclasses.is_dataclass(value):
        parts = {
            f".{field.name}": getattr(value, field.name) for field in dataclasses.fields(value)
        }
    elif isinstance(value, Mapping):
        parts = {f"[{key!r}]": item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"[{index}]": item for index, item in enumerate(value)}
    for part, item in parts.items():
        yield from _tensors(item, path + part)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _not_asked(option: str) -> Callable[[str], str]:
    return lambda key: f"nothing is kept for {key!r}: call capture with {option}."


def _shapes(calls: Sequence[Tensor | None]) -> str:
    """Such as `2 calls  [1, 8, 4, 4] × 2`: equal shapes in a row are counted."""
    shapes = [None if value is None else list(value.shape) for value in calls]
    runs = [(shape, len(list(run))) for shape, run in groupby(shapes)]
    text = ", ".join(f"{shape}" + (f" × {count}" if count > 1 else "") for shape, count in runs)
    return f"{len(calls)} call{'s' if len(calls) > 1 else ''}  {text}"
