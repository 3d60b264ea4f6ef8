"""Bring a model of your own by a short text, such as "timm:resnet26d" or "net.py:Net"."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vizhelpers._utils.checks import whole
from vizhelpers._utils.clear_errors import clear_errors, describe_briefly
from vizhelpers._utils.messages import refuse
from vizhelpers._utils.random_numbers import own_random_numbers
from vizhelpers.zoo.loading import (
    ModelInfo,
    _imagenet_info,
    _info,
    _with_info,
    hub_path,
    load_model,
)
from vizhelpers.zoo.python_file import classes_in, found_in_file
from vizhelpers.zoo.state_dicts import load_weights, read_tensors

FORMS = "torchvision:resnet18, timm:resnet26d, course:efficientnet_lite0 or path/net.py:Net"
REMOVE = "Delete that file: without it the model can be looked at untrained."
_TEXT = re.compile(r"\s*(?P<where>.+?):(?P<name>[A-Za-z_][\w.-]*)\s*(?P<call>\(.*\))?\s*", re.S)


class _Wanted(NamedTuple):
    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    cached: bool  # may weights that a package has in its cache be used?


@clear_errors
def load_your_model(
    text: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    prefix: str = "",
    seed: int = 0,
) -> nn.Module:
    """Load any model by a short text: a package's architecture, or a class in a Python file.

    Nothing is downloaded. The pretrained weights of a package's architecture are used where they
    lie in its cache on this disk; else it is untrained, and ``model.info.weights`` says so.

    Args:
        text: ``"torchvision:resnet18"``, ``"timm:resnet26d"``, ``"course:efficientnet_lite0"``
            (what `load_model` knows), or ``"path/net.py:Net"``: a class, a function or a model
            in that file, whose code is run. Arguments may follow:
            ``"torchvision:resnet18(num_classes=10)"``.
        weights: A ``.safetensors`` or ``.pth`` file with its state dict, for `load_weights`.
        prefix: What all names in that file begin with, as for `load_weights`.
        seed: Of random weights. The global random generators are left alone.

    Returns:
        The model in eval mode, with a `ModelInfo` as ``model.info`` where it is known.

    Raises:
        ValueError: There is no such architecture or class, it cannot be built with these
            arguments, or the file does not hold its weights; the nearest names are named.
        FileNotFoundError: There is no such Python file or weights file.

    Example:
        >>> model = load_your_model("torchvision:resnet18(num_classes=10)")
        >>> model.info.weights
        'untrained'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string such as {FORMS}, not {type(text).__name__}.")
    if prefix and weights is None:
        raise ValueError("prefix= is about the names in a file of weights: give weights=, too.")
    where, wanted = _understood(text, cached=weights is None)
    makers = {"torchvision": _torchvision, "timm": _timm, "course": _course}
    with own_random_numbers(whole("seed", seed)):
        model = makers[where](wanted) if where in makers else _from_python_file(where, wanted)
    if weights is not None:
        load_weights(model, weights, prefix=prefix)
        if isinstance(info := getattr(model, "info", None), ModelInfo):
            _with_info(model, replace(info, weights=Path(weights).name))
    return model.eval()


def describe_weights(model: nn.Module, file: str | os.PathLike[str] | None = None) -> str:
    """Say in a sentence where a model's weights are from; untrained ones are said plainly.

    Args:
        model: As `load_your_model` gives it.
        file: The file that they were loaded from, if any.
    """
    source = getattr(getattr(model, "info", None), "weights", None)
    if file is not None:
        source = Path(file).name
    if source == "untrained":
        return (
            "It is untrained: its weights are random, so its maps show what such an architecture "
            "can do, and its answers mean nothing."
        )
    if source:
        return f"Its weights: {source}."
    return "Its weights are as its own code makes them: random, unless that code loads some."


@clear_errors
def load_classes(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Load the names of classes: ImageNet's, or those in a file.

    Args:
        source: ``"imagenet"`` for its 1,000; or a text file with one name in each line, in the
            order of the model's outputs, or a ``.json`` file with a list of names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no names.
    """
    if source == "imagenet":
        return _imagenet_info("resnet18", "").classes
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path} of class names. Write 'imagenet', or a text file with one "
            "name in each line."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = json.loads(text) if path.suffix == ".json" else text.strip().splitlines()
    except ValueError as error:  # no text, no JSON
        raise ValueError(f"{path.name} cannot be read as names of classes: {error}.") from None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{path.name} holds no list of names.")
    return tuple(name.strip() for name in names)


# -- what the text says -------------------------------------------------------------------------


def _understood(text: str, *, cached: bool) -> tuple[str, _Wanted]:
    """Where the model is to be found, and what is asked for there."""
    match = _TEXT.fullmatch(text)
    where = match["where"] if match else ""
    if match is None or not (where in ("torchvision", "timm", "course") or where.endswith(".py")):
        raise ValueError(f"{text!r} names no model. {_what_it_may_mean(text.strip())}")
    call = match["call"] or "()"
    try:
        tree: Any = ast.parse(f"f{call}", mode="eval").body
        options = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
        arguments = tuple(ast.literal_eval(value) for value in tree.args)
    except (SyntaxError, ValueError):
        raise ValueError(
            f"the arguments {call} cannot be read. Write numbers, strings, lists, True, False or "
            "None, as in net.py:Net(width=64, norm='batch')."
        ) from None
    return where, _Wanted(match["name"], arguments, options, cached)


def _what_it_may_mean(text: str) -> str:
    from torchvision import models

    path = Path(text).expanduser()
    if path.suffix == ".py" and path.is_file():
        name = next(iter(classes_in(path)), "Net")
        return f"Say which class or function of that file, such as {text}:{name}"
    if text in models.list_models():
        return f"Did you mean 'torchvision:{text}'?"
    return f"Write {FORMS}."


# -- where models come from ---------------------------------------------------------------------


def _course(wanted: _Wanted) -> nn.Module:
    untrained = {} if wanted.cached else {"weights": None}
    return load_model(wanted.name, *wanted.arguments, **{**untrained, **wanted.options})


def _torchvision(wanted: _Wanted) -> nn.Module:
    from torchvision import models

    names = models.list_models()
    if wanted.name not in names:
        refuse(f"torchvision has no architecture {wanted.name!r}", wanted.name, names)
    build = models.get_model_builder(wanted.name)
    default = models.get_model_weights(wanted.name).DEFAULT
    trained = wanted.cached and not wanted.options and _in_hub_cache(default.url)
    options = {"weights": default if trained else None, **wanted.options}
    if not trained and "weights_backbone" in inspect.signature(build).parameters:
        options.setdefault("weights_backbone", None)  # else ImageNet's would be downloaded
    model = _built(wanted, build, options)
    source = f"imagenet, {default.name}" if trained else "untrained"
    preset = default.transforms()
    if wanted.name in models.list_models(module=models):
        info = _imagenet_info(wanted.name, source)
    elif hasattr(preset, "mean") and not hasattr(preset, "crop_size"):  # for segmentation
        classes, mean, std = default.meta["categories"], preset.mean, preset.std
        info = _square(wanted.name, source, classes, mean=mean, std=std)
    else:  # of videos, or without a normalisation of its own
        return model
    return _with_info(model, replace(info, classes=()) if "num_classes" in options else info)


def _timm(wanted: _Wanted) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ValueError("timm is not installed. Install it: pip install timm") from error
    if not timm.is_model(wanted.name):
        names = timm.list_models()
        refuse(f"timm has no architecture {wanted.name!r}", wanted.name, names)
    options = {"pretrained": False, **wanted.options}
    file = _in_timms_cache(wanted.name) if wanted.cached else None
    if file:
        state = read_tensors(file, REMOVE)
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
    model: Any = _built(wanted, partial(timm.create_model, wanted.name), options)
    made_for = timm.data.resolve_model_data_config(model)
    channels, _, size = made_for["input_size"]
    if options.get("in_chans", channels) != 3:
        return model
    source = f"{model.pretrained_cfg['tag']}, from timm's cache" if file else "untrained"
    classes = _imagenet_info("resnet18", source).classes if model.num_classes == 1000 else ()
    mean, std = made_for["mean"], made_for["std"]
    info = _square(wanted.name, source, classes, mean=mean, std=std, size=size)
    return _with_info(model, info)


def _in_hub_cache(url: str) -> bool:
    """Whether torch has downloaded that file; one that holds more than tensors is refused."""
    path = hub_path(url)
    return path.is_file() and bool(read_tensors(path, REMOVE))


def _in_timms_cache(name: str) -> Path | None:
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    file = try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
    return Path(file) if isinstance(file, str) else None


def _square(
    name: str,
    weights: str,
    classes: Sequence[str],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    size: int = 224,
) -> ModelInfo:
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(crop_size=size, resize_size=size, mean=mean, std=std)
    return _info(name, weights, tuple(classes), preset)


def _from_python_file(where: str, wanted: _Wanted) -> nn.Module:
    path = Path(where).expanduser()
    with found_in_file(path, wanted.name) as make:
        return make if isinstance(make, nn.Module) else _built(wanted, make, wanted.options)


def _built(wanted: _Wanted, make: Callable[..., Any], options: dict[str, Any]) -> nn.Module:
    """Call a class or function; say which arguments it needs, or what failed inside it."""
    signature = inspect.signature(make)
    try:
        signature.bind(*wanted.arguments, **options)
    except TypeError as error:
        needed = [
            f"{p.name}=…"
            for p in signature.parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        example = f"{wanted.name}({', '.join(needed or ['num_classes=10'])})"
        raise ValueError(
            f"{wanted.name} cannot be built so: {error}. Write its arguments like this: {example}"
        ) from None
    try:
        model = make(*wanted.arguments, **options)
    except Exception as error:  # of code that we do not know
        raise ValueError(
            f"{wanted.name} could not be built: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{wanted.name} gives no torch.nn.Module but {describe_briefly(model)}. Name the "
            "network's class, or a function that returns the network."
        )
    return model
