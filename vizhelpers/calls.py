"""Whether a layer can be called again, read from the source of the modules around it.

What tells from code how often a layer is called belongs here, so that a forward pass can be
ended early without losing a call. Everything that is not plain to see counts as "may be called
again": the pass then runs longer, and the answer stays right.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from torch import nn

_REPEATED = (
    *(ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)
_HARMLESS = ("parameters", "buffers")  # methods of nn.Module that lead to no submodule
_MAY_HOLD_LAYERS = (list, tuple, dict, set, nn.Module)
_UNKNOWN = (("", False),)


def closes_with(model: nn.Module, names: Iterable[str]) -> set[str]:
    """Find the modules after whose end no layer of these can be called again in the pass.

    For one layer that is the layer itself, if on the way down to it every module calls the
    next one in one place, outside of loops. Where that is not plain from the source, it is
    the module that makes the calls: a residual block for the ReLU that it uses twice. Calls
    that come from elsewhere, say from a global variable or from a hook, are not seen.

    Args:
        model: Any module.
        names: Dotted names of its layers.

    Returns:
        Dotted names, with `""`, the model itself, if the pass has to run to its end.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    places = Counter(map(id, modules.values()))
    # Both for this pass only: a model may be changed.
    uses = {cls: _uses(cls) for cls in {type(m) for m in modules.values() if m._modules}}
    calls_once = cache(lambda owner, child: _calls_once(uses[type(owner)], owner, child))
    found = set()
    for name in names:
        closing = path = name if places[id(modules[name])] == 1 else ""
        while path:
            owner, _, child = path.rpartition(".")
            if not calls_once(modules[owner], child):
                closing = owner
            path = owner
        found.add(closing)
    return found


def _calls_once(uses: _Uses, owner: nn.Module, child: str) -> bool:
    """Whether one pass through `owner` is sure to call `owner.child` at most once."""
    cls, attributes = type(owner), vars(owner)
    if type(owner._modules[child]).__call__ is not nn.Module.__call__ or "forward" in attributes:
        return False
    if cls.forward is nn.Sequential.forward:
        return True
    return _comes_once(uses, child) and not any(
        hasattr(cls, name) or isinstance(attributes[name], _MAY_HOLD_LAYERS)
        for name in uses
        if name in attributes
    )


_Uses = dict[str, list[tuple[str, bool]]]


def _comes_once(uses: _Uses, name: str) -> bool:
    if name == "forward":
        return name not in uses
    found = uses.get(name, [])
    return len(found) == 1 and found[0][1] and _comes_once(uses, found[0][0])


def _uses(cls: type[nn.Module]) -> _Uses:
    """Attribute of `self` → the methods that use it, and whether each calls it at most once.

    Only `forward` and the methods that it leads to. Empty where something remains unknown.
    """
    uses: _Uses = {}
    methods = ["forward"]
    for method in methods:
        for name, once in _references(_look_up(cls, method)):
            own = _look_up(cls, name)
            inherited = own is not None and own is _look_up(nn.Module, name)
            if not name or (inherited and name not in _HARMLESS):
                return {}
            if own is not None and not inherited and name not in methods:
                methods.append(name)
            uses.setdefault(name, []).append((method, once))
    return uses


def _look_up(cls: type, name: str) -> Any:
    """What a class holds under a name, as it is: a property, not its value."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _references(attribute: Any) -> tuple[tuple[str, bool], ...]:
    """Names used as `self.name` in a method's source, and whether called right there, once."""
    function = attribute.fget if isinstance(attribute, property) else attribute
    if inspect.isfunction(function):
        return _UNKNOWN if hasattr(function, "__wrapped__") else _read(function.__code__)
    return _UNKNOWN if callable(attribute) else ()


@cache  # by the code: a method that is replaced or reloaded is read again
def _read(code: CodeType) -> tuple[tuple[str, bool], ...]:
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(code))).body[0]
    except (OSError, TypeError, SyntaxError):
        return _UNKNOWN
    if not isinstance(function, ast.FunctionDef) or function.name != code.co_name:
        return _UNKNOWN  # a lambda, or the file has changed since it was imported
    body = ast.Module(function.body, [])
    return tuple(_search(body, code.co_varnames[0], once=not function.decorator_list))


def _search(node: ast.AST, me: str, *, once: bool) -> Iterator[tuple[str, bool]]:
    called = node.func if isinstance(node, ast.Call) else node
    rest = list(ast.iter_child_nodes(node))
    if isinstance(called, ast.Attribute) and ast.unparse(called.value) == me:
        yield called.attr, once and called is not node
        rest = rest[1:]  # without the function that is called, or `self`
    elif isinstance(node, ast.Name) and node.id in (me, "super"):
        yield from _UNKNOWN
    for child in rest:
        yield from _search(child, me, once=once and not isinstance(node, _REPEATED))
