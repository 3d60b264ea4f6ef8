"""Whether a layer can be called again, read from the source of the modules around it.

What tells from code how often a layer is called belongs here, so that a forward pass can be
ended early without losing a call. Everything that is not plain to see counts as "may be called
again": the pass then runs longer, and the answer stays right.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

from torch import nn

_REPEATED = (
    *(ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)
_HARMLESS = ("parameters", "buffers")  # methods of nn.Module that lead to no submodule
_MAY_HOLD_LAYERS = (list, tuple, dict, set, nn.Module)

_Method = tuple[type, str]  # the class that defines it, its name


class _Reference(NamedTuple):
    """`self.name` in the source of a method; the name is empty for `self` alone."""

    name: str
    via_super: bool
    once: bool  # it is called right there, at most once whenever the method runs


def closes_with(model: nn.Module, name: str) -> str:
    """Find the module after whose end a layer cannot be called again in a forward pass.

    That is the layer itself, if on the way down to it every module calls the next one in
    one place, outside of loops. Where that is not plain from the source, it is the module
    that makes the calls: a residual block for the ReLU that it uses twice. Calls that come
    from elsewhere, say from a global variable or from a hook, are not seen.

    Args:
        model: Any module.
        name: A layer's dotted name.

    Returns:
        A dotted name; `""`, the model itself, if the pass has to run to its end.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    if sum(module is modules[name] for module in modules.values()) > 1:
        return ""
    closing = path = name
    while path:
        owner, _, child = path.rpartition(".")
        if not _calls_once(modules[owner], child):
            closing = owner
        path = owner
    return closing


def _calls_once(owner: nn.Module, child: str) -> bool:
    """Whether one pass through `owner` is sure to call `owner.child` at most once."""
    if type(owner._modules[child]).__call__ is not nn.Module.__call__ or "forward" in vars(owner):
        return False
    if type(owner).forward is nn.Sequential.forward:
        return True
    uses = _uses(type(owner))
    attributes = vars(owner)
    for target in uses:
        if isinstance(target, str) and isinstance(attributes.get(target), _MAY_HOLD_LAYERS):
            return False
        if isinstance(target, tuple) and target[1] in attributes:  # replaced in this one object
            return False
    return _comes_once(uses, child)


_Uses = dict[_Method | str, list[tuple[_Method, bool]]]


def _comes_once(uses: _Uses, target: _Method | str) -> bool:
    found = uses.get(target, [])
    if target == next(iter(uses)):  # forward itself, which only the module's caller may call
        return not found
    return len(found) == 1 and found[0][1] and _comes_once(uses, found[0][0])


def _uses(cls: type[nn.Module]) -> _Uses:
    """Where `forward`, and each method that it leads to, uses which attribute of `self`.

    Methods stand under class and name, other attributes under their name. The first entry is
    `forward`. Empty where something remains unknown.
    """
    mro = cls.__mro__
    forward = (next(base for base in mro if "forward" in vars(base)), "forward")
    uses: _Uses = {forward: []}
    todo: list[_Method] = [forward]
    while todo:
        base, method = place = todo.pop()
        for name, via_super, once in _references(vars(base)[method]):
            candidates = mro[mro.index(base) + 1 :] if via_super else mro
            definer = next((cls for cls in candidates if name in vars(cls)), None)
            if not name or (definer in (nn.Module, object) and name not in _HARMLESS):
                return {forward: [(place, False)]}
            target = name if definer is None else (definer, name)
            if isinstance(target, tuple) and target not in uses and definer is not nn.Module:
                todo.append(target)
            uses.setdefault(target, []).append((place, once))
    return uses


_UNKNOWN = (_Reference("", via_super=False, once=False),)


def _references(attribute: Any) -> tuple[_Reference, ...]:
    function = attribute.fget if isinstance(attribute, property) else attribute
    if inspect.isfunction(function):
        return _UNKNOWN if hasattr(function, "__wrapped__") else _read(function.__code__)
    harmless = isinstance(attribute, staticmethod | classmethod) or not callable(attribute)
    return () if harmless else _UNKNOWN


@cache
def _read(code: CodeType) -> tuple[_Reference, ...]:
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(code))).body[0]
    except (OSError, TypeError, SyntaxError):
        return _UNKNOWN
    if not isinstance(function, ast.FunctionDef) or function.name != code.co_name:
        return _UNKNOWN  # a lambda, or the file has changed since it was imported
    me = code.co_varnames[0] if code.co_argcount else "self"
    body = ast.Module(function.body, [])
    return tuple(_search(body, me, once=not function.decorator_list))


def _search(node: ast.AST, me: str, *, once: bool) -> Iterator[_Reference]:
    if isinstance(node, ast.Name) and node.id == me:
        yield from _UNKNOWN
    called = node.func if isinstance(node, ast.Call) else node
    if isinstance(called, ast.Attribute) and ast.unparse(called.value) in (me, "super()"):
        via_super = not isinstance(called.value, ast.Name)
        yield _Reference(called.attr, via_super, once and called is not node)
        rest = [*node.args, *node.keywords] if isinstance(node, ast.Call) else []
    else:
        rest = list(ast.iter_child_nodes(node))
    once = once and not isinstance(node, _REPEATED)
    for child in rest:
        yield from _search(child, me, once=once)
