"""The computational graph of a model, traced by torch.fx into a networkx graph.

Functional calls and shortcuts are included. `graph_plot` draws it.
"""

from __future__ import annotations

import inspect
import operator
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor, fx, nn

from vizhelpers._utils.checks import check_model, tensor_shapes
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
    - `shape`: the shape of its output, [] where it is no tensor or no input was given.

    Args:
        model: Any module that `torch.fx` can follow.
        example_input: A tensor, a tuple of tensors, or a dictionary by argument names. With
            it, shapes are known, and what computes no tensor (such as `x.size(0)`) is left out.
        depth: How many levels of modules to open; everything deeper is one "block". All, if
            not given.

    Raises:
        TypeError: The model is no module.
        ValueError: The depth is below 1, or the model's path depends on the numbers in its
            input, so that there is no one graph.
        RuntimeError: The model failed on the example.
    """
    check_model(model)
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be 1 (the outermost modules) or more, got {depth}.")
    given = _arguments(model, example_input)
    with preserve_state(model), torch.no_grad():
        model.eval()
        traced = _trace(model, depth, given)
        if given:
            _note_shapes(traced, given)
    return _as_graph(traced)


def _arguments(model: nn.Module, example: Any) -> dict[str, Any]:
    """The example's parts by the names that the model's forward method gives them."""
    if example is None:
        return {}
    signature = inspect.signature(model.forward)
    if isinstance(example, Mapping):
        return dict(signature.bind(**example).arguments)
    inputs = example if isinstance(example, tuple | list) else (example,)
    return dict(signature.bind(*inputs).arguments)


class _Tracer(fx.Tracer):
    """Opens modules down to a depth; the layers of torch.nn are never opened."""

    def __init__(self, depth: int | None) -> None:
        super().__init__()
        self.depth = depth

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        too_deep = self.depth is not None and module_qualified_name.count(".") + 1 >= self.depth
        return too_deep or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module, depth: int | None, given: dict[str, Any]) -> fx.GraphModule:
    # Arguments that are left at their default (`mask=None`) are no inputs of the graph.
    signature = inspect.signature(model.forward).parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    fixed = {name: value for name, value in defaults.items() if name not in given}
    try:
        return fx.GraphModule(model, _Tracer(depth).trace(model, fixed))
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


class _Shapes(fx.Interpreter):
    """Runs a traced model and notes at every node what it returned."""

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except Exception as error:
            raise RuntimeError(
                f"the model fails on this example at {n.name!r}: {error}\nsummarize(model, "
                "input_data=…) shows the shapes up to there."
            ) from error
        n.meta["shapes"] = tensor_shapes(result)
        n.meta["is_tensor"] = isinstance(result, Tensor)
        return result


def _note_shapes(traced: fx.GraphModule, given: dict[str, Any]) -> None:
    values: list[Any] = []
    for node in traced.graph.find_nodes(op="placeholder"):
        if node.target.startswith("*"):
            values.extend(given.get(node.target.lstrip("*"), ()))
        else:
            values.append(given.get(node.target, *node.args))
    runner = _Shapes(traced)
    runner.extra_traceback = False  # its own message says it in fewer words
    runner.run(*values)


def _as_graph(traced: fx.GraphModule) -> nx.DiGraph:
    graph = nx.DiGraph()
    for node in traced.graph.nodes:
        graph.add_node(node.name, **_attributes(node, traced), shapes=node.meta.get("shapes", []))
        graph.add_edges_from((source.name, node.name) for source in _sources(node))
    # Checks and sizes lead nowhere, except to the shape of a tensor that comes from elsewhere.
    leads_to_output = nx.ancestors(graph, "output") | {"output"}
    return graph.subgraph(n for n in graph if n in leads_to_output).copy()


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


def _attributes(node: fx.Node, traced: fx.GraphModule) -> dict[str, str]:
    """Kind, layer name and label of one node."""
    target = str(node.target)
    if node.op == "call_module":
        module = traced.get_submodule(target)
        return {"kind": _kind(module), "layer": target, "label": type(module).__name__}
    if node.op == "get_attr":
        return {"kind": "parameter", "layer": "", "label": target}
    if node.op in ("placeholder", "output"):
        kind = "input" if node.op == "placeholder" else "output"
        return {"kind": kind, "layer": "", "label": target.lstrip("*")}
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
