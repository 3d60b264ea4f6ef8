"""List the layers of a model and find one by its dotted name, such as `layer1.0.conv2`.

Names are those of `model.named_modules()`.
"""

from __future__ import annotations

import re

from torch import nn

from vizhelpers._utils.checks import check_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import did_you_mean

Kind = type[nn.Module] | tuple[type[nn.Module], ...] | str

# Containers that only hold: they have no forward, so no hook on them ever fires.
_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
# Reads the weights of the layer inside it without calling that layer.
_COMPUTES_ITSELF = (nn.MultiheadAttention,)
# What makes a layer's weights of others, such as weight_norm.
_REWEIGHTS = "parametrizations"


@clear_errors
def list_layers(model: nn.Module, kind: Kind | None = None) -> list[str]:
    """List the names of a model's layers, in the order in which they were declared.

    A module that the model holds under several names is listed under each of them, so the
    list may be longer than the number of modules.

    Args:
        model: Any module.
        kind: Only layers of this class, of one of these classes, or whose class (or a base
            of it) has this name: `nn.Conv2d`, `(nn.ReLU, nn.GELU)`, `"BasicBlock"`; all
            modules with `nn.Module`. Without it, layers that are made of no other layers.
            `nn.MultiheadAttention` counts as one of them: what is inside is never called.

    Returns:
        Names that `get_layer` understands. The model's own name, `""`, is among them only
        where it is its one and only layer.

    Raises:
        TypeError: The model is no module, or the kind is no class and no name of one.
        ValueError: There is no such class name, neither in the model nor in `torch.nn`.

    Example:
        >>> list_layers(model, nn.Conv2d)[:3]
        ['conv1', 'layer1.0.conv1', 'layer1.0.conv2']
        >>> list_layers(model, "BasicBlock")[0]
        'layer1.0'
    """
    check_model(model)
    if kind is None:
        return list(_leaves(_named(model)))
    _check_kind(model, kind)
    return [name for name, module in _named(model).items() if _is_a(module, kind)]


@clear_errors
def get_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """Find one layer of a model.

    Args:
        model: Any module.
        layer: The layer's dotted name (`""` is the model itself), or the layer itself,
            which is then only looked for.

    Raises:
        TypeError: The model is no module, or the layer is neither a name nor a module.
        ValueError: The model has no such layer; the message names the nearest ones.

    Example:
        >>> get_layer(model, "layer1.0.conv1").kernel_size
        (3, 3)
    """
    check_model(model)
    if isinstance(layer, nn.Module):
        layer_name(model, layer)
        return layer
    if not isinstance(layer, str):
        raise TypeError(
            "a layer is given by its name, such as 'features.3', or as the module itself; "
            f"got {layer!r} ({type(layer).__name__}). list_layers(model) lists all names."
        )
    if not layer:
        return model
    found: nn.Module | None = getattr(model, "_orig_mod", model)  # of a compiled one, as `_named`
    for part in layer.removeprefix("_orig_mod.").split("."):
        found = found._modules[part] if found is not None and part in found._modules else None
    if found is None:
        raise ValueError(f"{type(model).__name__} has no layer {layer!r}. {_advice(model, layer)}")
    return found


def layer_name(model: nn.Module, module: nn.Module) -> str:
    """Tell under which name a model holds a module: the first one, where there are several.

    Raises:
        TypeError: One of the two is no module.
        ValueError: The model does not hold this very module.
    """
    check_model(model)
    check_model(module, "module")
    if module is model:
        return ""
    for name, candidate in getattr(model, "_orig_mod", model).named_modules():
        if candidate is module:
            return name
    raise ValueError(
        f"this {type(module).__name__} is no part of this {type(model).__name__}. It may belong "
        "to another copy of the network: take the layer from the model that you pass, or name it."
    )


def _named(model: nn.Module) -> dict[str, nn.Module]:
    """All modules under all their names; the model itself only if nothing is inside.

    Of what torch.compile made of a model, the names are those of the model itself.
    """
    model = getattr(model, "_orig_mod", model)
    modules = dict(model.named_modules(remove_duplicate=False))
    if len(modules) > 1:
        del modules[""]
    return modules


def _leaves(modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    whole = tuple(
        f"{name}."
        for name, module in modules.items()
        if isinstance(module, _COMPUTES_ITSELF) or name.split(".")[-1] == _REWEIGHTS
    )
    return {
        name: module
        for name, module in modules.items()
        if isinstance(module, _COMPUTES_ITSELF)
        or not (name.startswith(whole) or isinstance(module, _HOLDERS) or _has_layers(module))
    }


def _has_layers(module: nn.Module) -> bool:
    """Whether it is made of others; not where all weights are its own: it may hold its padding."""
    parts = [p for name, p in module._modules.items() if p is not None and name != _REWEIGHTS]
    has_all = bool(module._parameters) and not any(True for p in parts for _ in p.parameters())
    return bool(parts) and not has_all


def _is_a(module: nn.Module, kind: Kind) -> bool:
    if isinstance(kind, str):
        return kind in (base.__name__ for base in type(module).__mro__)
    return isinstance(module, kind)


def _check_kind(model: nn.Module, kind: Kind) -> None:
    """Refuse what can match nothing; a class that this model happens not to use is fine."""
    if isinstance(kind, str):
        known = {base.__name__ for module in model.modules() for base in type(module).__mro__}
        known |= {name for name in dir(nn) if isinstance(getattr(nn, name), type)}
        if kind not in known:
            raise ValueError(
                f"there is no kind of layer called {kind!r}. {did_you_mean(kind, sorted(known))}"
            )
    elif not all(isinstance(cls, type) for cls in (kind if isinstance(kind, tuple) else (kind,))):
        raise TypeError(
            "kind must be a class such as nn.Conv2d, a tuple of classes, or the name of one; "
            f"got {kind!r}."
        )


def _advice(model: nn.Module, wrong: str) -> str:
    """What to write instead of a wrong layer name: one or two sentences."""
    names = _named(model)
    # Python's own way of writing it (model.features[3], features['3']), as a dotted name.
    written = re.sub(r"\[\W?(-?\w+)\W?\]", r".\1", wrong).strip(" .")
    for prefix in ("", "model.", "self.", "module."):
        if written.removeprefix(prefix) in names:
            return f"Its name is {written.removeprefix(prefix)!r}."
    parent, _, last = written.rpartition(".")
    owner = names.get(parent)
    if owner is not None:
        inside = [f"{parent}.{child}" for child in owner._modules.keys()]  # noqa: SIM118 (of a script)
        if last in owner._parameters or last in owner._buffers:
            return f"{last!r} is a tensor of the layer {parent!r}."
        if not inside:
            return f"{parent!r} is a {type(owner).__name__}, with no layers inside."
        if last.lstrip("-").isdigit():
            return f"Inside {parent!r} there are {len(inside)}: {inside[0]!r} to {inside[-1]!r}."
    kinds = {type(module).__name__.lower(): type(module).__name__ for module in model.modules()}
    if wrong.lower() in kinds:
        return f"It is a kind of layer: list_layers(model, {kinds[wrong.lower()]!r}) names them."
    return f"{did_you_mean(written, list(names))} list_layers(model) lists all names.".lstrip()
