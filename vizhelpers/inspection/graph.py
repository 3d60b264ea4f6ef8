"""The computational graph of a model, traced by torch.fx into a networkx graph.

Functional calls and shortcuts are included. `graph_plot` draws it.
"""

from __future__ import annotations

import inspect
import operator
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map_only

from vizhelpers._utils.checks import check_hookable, named_tensors, tensor_shapes
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.state import preserve_state

# Kinds of layers, by the file of torch.nn that defines them.
_KIND_OF_FILE = {
    "conv": "convolution",
    "linear": "linear",
    "sparse": "embedding",
    "batchnorm": "normalization",
    "instancenorm": "normalization",
    "normalization": "normalization",
    "activation": "activation",
    "pooling": "pooling",
    "rnn": "recurrent",
}


@clear_errors
def module_graph(
    model: nn.Module, example_input: Any = None, *, depth: int | None = None
) -> nx.DiGraph:
    """Trace a model into a graph whose nodes are layers and functional calls.

    `torch.fx` runs the forward method once with stand-ins for tensors. Each call becomes a
    node, so a layer that is called twice has two. Nodes carry

    - `kind`: "input", "output", "operation" (a function or method: add, flatten), "parameter"
      (a weight used directly), "block" (a module with modules inside, shown as one), or a
      kind of layer: "convolution", "linear", "normalization", "activation", "pooling",
      "attention", "recurrent", "embedding", "other layer";
    - `layer`: its dotted name, or "" where it is no layer;
    - `label`: its class, or the name of the function;
    - `shapes`: those of its output, [] where it is no tensor or no input was given.

    Args:
        model: Any module that `torch.fx` can follow.
        example_input: A tensor, a tuple of arguments, or a dictionary by argument names. With
            it, shapes are known, what works in place (`y.add_(x)`) is linked to what comes
            after, and what does not lead to the output (such as `x.size(0)`) is left out.
        depth: How many levels of modules to open; everything deeper is one "block". All, if
            not given.

    Raises:
        TypeError: The model is no module, or a scripted or traced one.
        ValueError: The depth is below 1, or the model's path depends on the numbers in its
            input, so that there is no one graph.
        RuntimeError: The model failed on the example.
    """
    model = check_hookable(model)
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be 1 (the outermost modules) or more, got {depth}.")
    tracer = _Tracer(depth, _arguments(model, example_input))
    with preserve_state(model), torch.no_grad(), ExitStack() as undo:
        # torch.fx patches these two, and leaves them patched where Ctrl-C comes at a bad moment.
        for name in ("__call__", "__getattr__"):
            undo.callback(setattr, nn.Module, name, getattr(nn.Module, name))
        undo.callback(_keep_caches(model))
        model.eval()
        graph = _trace(model, tracer)
        if example_input is not None:
            runner = _Runner(model, graph=graph)
            runner.extra_traceback = False  # its own message says it in fewer words
            runner.run(*tracer.inputs)
    drawn = _as_graph(model, graph)
    if example_input is None:
        return drawn
    # Checks and sizes lead nowhere, except to the shape of a tensor that comes from elsewhere.
    leads_to_output = nx.ancestors(drawn, "output") | {"output"}
    return drawn.subgraph(node for node in drawn if node in leads_to_output).copy()


def _arguments(model: nn.Module, example: Any) -> inspect.BoundArguments:
    """What the forward method is given; without an example, a tensor where it needs something."""
    signature = inspect.signature(model.forward)
    if example is None:
        needed = (p for p in signature.parameters.values() if p.default is p.empty)
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        example = {p.name: torch.empty(0) for p in needed if p.kind not in several}
    listed = example if isinstance(example, tuple | list) else (example,)
    try:
        named = isinstance(example, Mapping)
        bound = signature.bind(**example) if named else signature.bind(*listed)
    except TypeError as error:
        raise TypeError(f"example_input does not fit forward{signature}: {error}.") from None
    bound.apply_defaults()
    return bound


def _keep_caches(model: nn.Module) -> Callable[[], None]:
    """What puts back the model's own dictionaries and lists: stand-ins may be kept in them."""
    own = (value for module in model.modules() for value in vars(module).values())
    contents = [(value, value.copy()) for value in own if isinstance(value, dict | list)]

    def restore() -> None:
        for value, content in contents:
            value.clear()
            if isinstance(value, dict):
                value.update(content)
            else:
                value.extend(content)

    return restore


class _Tracer(fx.Tracer):
    """Opens modules down to a depth; layers of torch.nn, or derived from one, are never opened.

    Only tensors among the arguments become stand-ins: a flag, a number or None stays what it is.
    """

    def __init__(self, depth: int | None, arguments: inspect.BoundArguments) -> None:
        super().__init__()
        self.depth, self.arguments = depth, arguments
        self.inputs: list[Tensor] = []  # copies, one for each stand-in

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        too_deep = self.depth is not None and module_qualified_name.count(".") + 1 >= self.depth
        is_layer = _kind(m) not in ("block", "other layer")
        return too_deep or is_layer or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[[], Any], list[Any]]:
        def stand_in(name: str, value: Tensor) -> fx.Proxy:
            self.inputs.append(value.clone())
            return self.create_proxy("placeholder", name, (), {})

        given = self.arguments
        for name, value in given.arguments.items():
            given.arguments[name] = tree_map_only(Tensor, partial(stand_in, name), value)
        return lambda: root_fn(self.root, *given.args, **given.kwargs), []


def _trace(model: nn.Module, tracer: _Tracer) -> fx.Graph:
    try:
        return tracer.trace(model)
    except Exception as error:  # fx runs the model's own code, which may raise anything
        raise ValueError(_why_not(model, error)) from error


def _why_not(model: nn.Module, error: Exception) -> str:
    torch_folder = Path(torch.__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    own = [f for f in frames if torch_folder not in Path(f.filename).parents]
    place = f" It stopped at\n    {own[-1].line}" if own else ""
    return (
        f"torch.fx cannot follow {type(model).__name__} with stand-ins for tensors.{place}\n"
        f"{type(error).__name__}: {error}\n"
        "A path that depends on the numbers in the input has no single graph. depth=1 keeps the "
        "inner modules closed, which helps if this is inside one of them. The other way is "
        "TensorBoard's add_graph (lesson 06): it draws the path that one example takes."
    )


class _Runner(fx.Interpreter):
    """Runs a traced model; notes at every node what it returned and what it changed in place."""

    def run_node(self, n: fx.Node) -> Any:
        before = self._versions()
        try:
            result = super().run_node(n)
        except Exception as error:
            raise RuntimeError(
                f"the model fails on this example at {n.name!r}: {error}\nsummarize(model, "
                "input_data=…) shows the shapes up to there."
            ) from error
        after = self._versions()
        n.meta["changed"] = [node for node in before if before[node] != after[node]]
        n.meta["shapes"] = tensor_shapes(result)
        n.meta["is_tensor"] = isinstance(result, Tensor)
        return result

    def _versions(self) -> dict[fx.Node, list[int]]:
        """How often each tensor that is still needed was written; views count with their base."""
        return {
            node: [t._version for _, t in named_tensors(value) if not t.is_inference()]
            for node, value in self.env.items()
        }


def _as_graph(model: nn.Module, traced: fx.Graph) -> nx.DiGraph:
    graph = nx.DiGraph()
    writers: dict[fx.Node, fx.Node] = {}  # of a value: what changed it in place last
    for node in traced.nodes:
        graph.add_node(node.name, **_attributes(node, model), shapes=node.meta.get("shapes", []))
        sources = (writers.get(source, source) for source in _sources(node))
        graph.add_edges_from((source.name, node.name) for source in sources)
        writers |= dict.fromkeys(node.meta.get("changed", []), node)
    return graph


def _sources(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes whose tensors go into a node, past what only computes or picks them out."""
    for source in node.all_input_nodes:
        if not source.meta.get("shapes", True):
            continue  # a number, such as x.size(0)
        picks = source.target is operator.getitem and isinstance(source.args[0], fx.Node)
        if picks and not source.args[0].meta.get("is_tensor", True):  # type: ignore[union-attr]
            yield from _sources(source)  # one of several outputs
        else:
            yield source


def _attributes(node: fx.Node, model: nn.Module) -> dict[str, str]:
    """Kind, layer name and label of one node."""
    target = str(node.target)
    if node.op == "call_module":
        module = model.get_submodule(target)
        return {"kind": _kind(module), "layer": target, "label": type(module).__name__}
    if node.op == "get_attr":
        return {"kind": "parameter", "layer": "", "label": target}
    if node.op in ("placeholder", "output"):
        kind = "input" if node.op == "placeholder" else "output"
        return {"kind": kind, "layer": "", "label": target}
    name = target if node.op == "call_method" else getattr(node.target, "__name__", target)
    # x[0] is operator.getitem, and x.add_(y) an addition like any other.
    label = "index" if name == "getitem" else name.strip("_")
    return {"kind": "operation", "layer": "", "label": label}


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    for base in type(module).__mro__:
        package, _, file = base.__module__.rpartition(".")
        if package == "torch.nn.modules" and file in _KIND_OF_FILE and base is not nn.Identity:
            return _KIND_OF_FILE[file]
    return "block" if module._modules else "other layer"
