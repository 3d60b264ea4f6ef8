"""Class activation maps (CAM, Grad-CAM and others) for any model, by pytorch-grad-cam.

The library does the work. Around it: the target layer is chosen or checked, frozen and dict models
work, and nothing is left on the model. Scores of maps are in `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vizhelpers._utils.checks import Output, check_images, is_float, select, to_model
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.targets import Scores, Target, as_functions, asked_for, check_method
from vizhelpers.hooks import Captured, capture, differentiable
from vizhelpers.layers import get_layer, layer_name, list_layers


@dataclass(frozen=True)
class Method:
    """What one of pytorch-grad-cam's classes does, for tables.

    Attributes:
        gradients: Whether a backward pass is needed.
        asks_class: Whether the map depends on the class that is asked for.
        idea: How the map is made, in a few words.
        paper: Where it was published.
    """

    gradients: bool
    asks_class: bool
    idea: str
    paper: str


METHODS = {
    "GradCAM": Method(True, True, "channels × mean gradient", "arXiv:1610.02391"),
    "HiResCAM": Method(True, True, "activation × gradient, place by place", "arXiv:2011.08891"),
    "GradCAMPlusPlus": Method(True, True, "channels × positive gradients", "arXiv:1710.11063"),
    "XGradCAM": Method(True, True, "channels × activation-weighted gradient", "arXiv:2008.02312"),
    "LayerCAM": Method(
        True, True, "activation × positive gradient", "doi:10.1109/TIP.2021.3089943"
    ),
    "EigenCAM": Method(False, False, "first component, of arbitrary sign", "arXiv:2008.00299"),
    "ScoreCAM": Method(False, True, "channels × score of what they show", "arXiv:1910.01279"),
    "AblationCAM": Method(
        False, True, "channels × loss of score without them", "doi:10.1109/WACV45572.2020.9093360"
    ),
    "FullGrad": Method(True, True, "input and biases × gradients", "arXiv:1905.00780"),
}
"""The library's classes that the course compares, by name."""

# These make many images of each one, or resize every channel: one image at a time fits in memory.
_ONE_AT_A_TIME = ("ScoreCAM", "AblationCAM", "FullGrad")
_NEEDED = (
    "is called exactly once, returns a map [N, C, H, W] with more than one position (or a token "
    "for each image patch), and leads to the output"
)


@dataclass(frozen=True)
class TargetLayer:
    """The layer that maps are made from.

    Attributes:
        name: Its dotted name.
        reason: Why this one, in one or two sentences.
        map_shape: Height and width of its maps, in positions.
        reshape: For a transformer, turns its tokens `[N, T, D]` into maps `[N, D, h, w]`.
    """

    name: str
    reason: str
    map_shape: tuple[int, int]
    reshape: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """Class activation maps of a batch of images, all tensors on the CPU.

    Attributes:
        maps: float32 `[N, H, W]` in [0, 1], as the library returns them: negative values cut
            off, each stretched from its own minimum to its own maximum, resized to the image.
        raw: float32 `[N, h, w]`, the same before stretching and resizing. None for FullGrad.
        empty: bool `[N]`, True where nothing is left to stretch: that map is zero everywhere.
        targets: int64 `[N]`, the class that each map is about, or the functions that were given.
        layer: Name of the layer.
        reason: Why this layer.
        method: Name of the library's class.
        forward_images: How many images went through the model to make the maps.
        backward_images: Through how many of them a gradient was sent back.
    """

    maps: Tensor
    raw: Tensor | None
    empty: Tensor
    targets: Tensor | tuple[Target, ...]
    layer: str
    reason: str
    method: str
    forward_images: int
    backward_images: int

    def __repr__(self) -> str:
        count, height, width = self.maps.shape
        size = "" if self.raw is None else " from {1}×{2}".format(*self.raw.shape)
        return f"ClassMaps({self.method} at {self.layer}: {count} of {height}×{width}{size})"


def choose_target_layer(
    model: nn.Module, inputs: Tensor, *, output: Output | None = None
) -> TargetLayer:
    """Choose the layer that class activation maps are usually made from.

    In a convolutional network that is the last module in the order of the forward pass whose
    output is a map `[N, C, H, W]`, before a pooling layer makes it smaller; where a block ends
    there, the block, so `layer4` and not `layer4.1`. AlexNet and VGG end in a ReLU and a pooling
    layer: the ReLU is taken, as in the Grad-CAM paper, since the pooled map says less about
    where. In a vision transformer it is the last normalisation from which the patches still
    reach the output: behind the last attention only the class token does.

    Maps with the channels last, as in some Swin transformers, are not recognised.

    Args:
        model: Any module; it is run once, on the first image, in eval mode.
        inputs: Images `[N, C, H, W]` as the model takes them.
        output: From what the model returns to the class scores, if it returns more than those.

    Raises:
        TypeError: The model is no module, or the inputs are no tensor.
        ValueError: No layer returns a map; the message says what the layers return.

    Example:
        >>> choose_target_layer(load_model("resnet18"), images).name
        'layer4'
    """
    model = check_images(model, inputs)
    with differentiable(model):
        return _choose(model, _look(model, inputs, output))


def class_maps(
    model: nn.Module,
    images: Tensor,
    targets: int | Sequence[int] | Tensor | Target | Sequence[Target] | None = None,
    *,
    method: str | type[Any] = "GradCAM",
    layer: str | nn.Module | None = None,
    output: Output | None = None,
) -> ClassMaps:
    """Make class activation maps with pytorch-grad-cam, on any model, and leave nothing behind.

    The model runs in eval mode and comes out as it went in: modes, gradients, `requires_grad`,
    hooks and random numbers, also after an error. Frozen models work, and so do `torch.no_grad`
    and `torch.inference_mode`. The layer is recorded as it was when it returned, whatever an
    in-place ReLU or `+=` does to it afterwards.

    Two methods are to be read with care, in the library as here: EigenCAM's sign is arbitrary, so
    that its maps may be upside down; and AblationCAM divides by the score, so that below zero its
    map shows what speaks against the class.

    Args:
        model: Any module that takes one batch of images.
        images: `[N, C, H, W]` as the model takes them, that is, already normalised.
        targets: None for the predicted class of each image, one class for all of them, a class
            for each; or one function, or one for each image, from an image's scores (the
            output without its first dimension) to one number.
        method: One of `METHODS`, or a class of pytorch_grad_cam.
        layer: The layer, or its name; by default `choose_target_layer` decides. FullGrad uses
            all layers with a bias instead.
        output: From what the model returns to the class scores `[N, classes]`, for a model
            that returns more than those: `lambda out: out["logits"]`.

    Raises:
        TypeError: Something is of the wrong kind: the model, the images, a target, the output.
        ValueError: There is no such method, layer or class; the number of targets is not that
            of the images; the layer returns no map, is called several times, or has no
            influence on the scores.

    Example:
        >>> class_maps(load_model("resnet18"), images, 3).maps.shape
        torch.Size([4, 128, 128])
    """
    model, cls = check_images(model, images), _method(method)
    with differentiable(model):
        seen = _look(model, images, output)
        if cls.__name__ == "FullGrad":
            target = _biases(model, seen, images)
        elif layer is None:
            target = _choose(model, seen)
        else:
            target = _given(model, seen, layer_name(model, get_layer(model, layer)))
        asked = asked_for(targets, seen.output, len(images))
        return _run(Scores(model, output), images, asked, cls, target)


def _run(
    model: Scores,
    images: Tensor,
    asked: Tensor | tuple[Target, ...] | None,
    cls: type[Any],
    target: TargetLayer,
) -> ClassMaps:
    maps, raw, scores = [], [], []
    goals = None if asked is None else as_functions(asked)
    size = 1 if cls.__name__ in _ONE_AT_A_TIME else 16
    with _library(model, cls, target) as cam:

        def record(*args: Any, make: Callable[..., Any] = cam.get_cam_image) -> Any:
            raw.append(make(*args))
            return raw[-1]

        cam.get_cam_image = record
        for start in with_progress(range(0, len(images), size), cls.__name__):
            some = slice(start, start + size)
            maps.append(cam(to_model(model, images[some]), goals and goals[some]))
            scores.append(cam.outputs.detach())
    stretched = _finite(maps)
    return ClassMaps(
        maps=stretched,
        raw=_finite(raw).clamp(min=0) if raw else None,
        empty=stretched.flatten(1).amax(1) == 0,
        targets=torch.cat(scores).argmax(1).cpu() if asked is None else asked,
        layer=target.name,
        reason=target.reason,
        method=cls.__name__,
        forward_images=model.forward_images,
        backward_images=model.backward_images,
    )


def _finite(arrays: list[Any]) -> Tensor:
    """AblationCAM divides by the score, XGradCAM by the activation; either may be zero."""
    return torch.from_numpy(np.nan_to_num(np.float32(np.concatenate(arrays)), posinf=0, neginf=0))


@contextmanager
def _library(model: Scores, cls: type[Any], target: TargetLayer) -> Iterator[Any]:
    """The library's object, quiet, with the target layer's output protected from in-place changes.

    The hooks are taken away by `layer_by_layer`, as are those of the library.
    """
    from pytorch_grad_cam import AblationCAM, ablation_cam, score_cam
    from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit

    layers = [] if cls.__name__ == "FullGrad" else [get_layer(model.model, target.name)]
    options: dict[str, Any] = {"target_layers": layers, "reshape_transform": target.reshape}
    if issubclass(cls, AblationCAM):
        options["ablation_layer"] = AblationLayerVit() if target.reshape else AblationLayer()
    with ExitStack() as undo:
        undo.enter_context(np.errstate(divide="ignore", invalid="ignore"))  # see `_finite`
        for module in (ablation_cam, score_cam):  # a bar for every image
            undo.callback(setattr, module, "tqdm", module.tqdm)
            module.tqdm = SimpleNamespace(tqdm=iter)
        cam = cls(model, **options)
        # What is set on it refers to it: without this, the last batch's graph would live on.
        for name in ("get_cam_image", "save_activation"):
            undo.callback(vars(cam).pop, name, None)
        undo.callback(cam.activations_and_grads.release)
        for layer in layers:
            if cam.uses_gradients and not cam.compute_input_gradient:
                # Autograd begins at the layer: that is faster, and enough.
                layer.register_forward_hook(_leaf, prepend=True)
            # The library has seen the output; the network goes on with a copy that it may change.
            layer.register_forward_hook(lambda _, __, output: output.clone())
        if issubclass(cls, AblationCAM):  # hooks in later, so that it sees the network's copy
            cam.save_activation = lambda _, __, output: setattr(cam, "activations", output.clone())
        yield cam


def _leaf(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output.detach().requires_grad_()


def _look(model: nn.Module, images: Tensor, output: Output | None) -> Captured:
    """What all layers return for the first image, and how the largest scores depend on that."""

    def score(result: Any) -> Any:
        scores = [leaf.amax() for leaf in tree_leaves(select(result, output)) if is_float(leaf)]
        if not scores:
            raise TypeError("neither the model nor `output` returned a tensor of floats.")
        return sum(scores)

    image = to_model(model, images[:1])
    seen = capture(model, image, list_layers(model, nn.Module), gradients=score)
    seen.output = select(seen.output, output)
    return seen


def _choose(model: nn.Module, seen: Captured) -> TargetLayer:
    targets = {n: t for n in list_layers(model, nn.Module) if (t := _target(model, seen, n))}
    targets = {name: targets[name] for name in seen if name in targets}  # as they were called
    for name, target in reversed(targets.items()):
        norm = "Norm" in _kind(get_layer(model, name))
        if norm and target.reshape and target.reshape(seen.gradients[name][0]).any():
            why = "the last normalisation from which image patches reach the output"
            rows, columns = target.map_shape
            return replace(target, reason=f"{name!r} is {why}: {rows}×{columns} of them.")
    name = _last_map(model, seen, targets)
    count, rows, columns = seen[name][0].shape[1:]
    reason = (
        f"{name!r} is the last layer that returns maps before they are pooled or flattened: "
        f"{count} of {rows}×{columns} positions."
    )
    later, leaves = list(seen)[list(seen).index(name) + 1 :], list_layers(model)
    if after := next((other for other in later if other in leaves), None):
        kind, shape = _kind(get_layer(model, after)), list(seen[after][0].shape)
        reason += f" Next comes {after!r} ({kind}), which returns {shape}."
    return replace(targets[name], reason=reason)


def _last_map(model: nn.Module, seen: Captured, targets: dict[str, TargetLayer]) -> str:
    results = [leaf for leaf in tree_leaves(seen.output) if isinstance(leaf, Tensor)]
    maps = [
        name
        for name, target in targets.items()
        if not target.reshape and not any(torch.equal(seen[name][0], r) for r in results)
    ]
    if not maps:
        raise ValueError(
            f"no layer of this {_kind(model)} {_NEEDED}. So there is nothing to lay over the "
            f"image. The layers return:\n{seen!r}"
        )
    leaves = list_layers(model)
    own = [n for n in maps if n in leaves and "Pool" not in _kind(get_layer(model, n))] or maps
    size = targets[own[-1]].map_shape
    # On to the blocks that end with this layer, or that join it with parallel branches.
    return list(takewhile(lambda n: targets[n].map_shape == size, maps[maps.index(own[-1]) :]))[-1]


def _given(model: nn.Module, seen: Captured, name: str) -> TargetLayer:
    if target := _target(model, seen, name):
        return target
    if name not in seen:
        what = "was not called, or does not return a single tensor"
    elif len(seen[name]) > 1:
        what = f"is called {len(seen[name])} times, of which the library would show the first"
    elif seen.gradients[name][0] is None:
        what = "does not lead to the scores, or detach() or no_grad() hides it"
    else:
        what = f"returns {list(seen[name][0].shape)}"
    near = name
    while near and not _target(model, seen, near):
        near = near.rpartition(".")[0]
    raise ValueError(
        f"no map can be made at {name!r}: it {what}. Take a layer that {_NEEDED}, such as "
        f"{near or _choose(model, seen).name!r}."
    )


def _biases(model: nn.Module, seen: Captured, images: Tensor) -> TargetLayer:
    """What FullGrad uses: the library pairs biases with gradients by the order of the layers."""
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    names = [n for n, m in model.named_modules() if type(m) in kinds and m.bias is not None]
    used = [n for n in seen if n in names and _once(seen, n)]
    if used != names or not names:
        raise ValueError(
            "FullGrad needs Conv2d or BatchNorm2d layers with a bias, each called exactly once, in "
            f"the order of their declaration. Declared: {names}; called once: {used}. Choose "
            "another method."
        )
    reason = f"FullGrad adds up all {len(names)} Conv2d and BatchNorm2d layers that have a bias."
    return TargetLayer("all biases", reason, (images.shape[2], images.shape[3]))


def _once(seen: Captured, name: str) -> bool:
    return name in seen and len(seen[name]) == 1 and seen.gradients[name][0] is not None


def _target(model: nn.Module, seen: Captured, name: str) -> TargetLayer | None:
    """The layer as a target, if a map can be made of it."""
    if not _once(seen, name):
        return None
    output, reason = seen[name][0], f"{name!r} was asked for."
    if output.ndim == 4 and output[0, 0].numel() > 1:
        return TargetLayer(name, reason, (output.shape[2], output.shape[3]))
    for conv in reversed(list_layers(model, nn.Conv2d)) if output.ndim == 3 else ():
        # Tokens, one for each patch that the convolution has cut out.
        if patches := _target(model, seen, conv):
            rows, columns = patches.map_shape
            extra = output.shape[1] - rows * columns
            reshape = partial(_as_maps, extra, rows)
            return TargetLayer(name, reason, (rows, columns), reshape) if 0 <= extra <= 8 else None
    return None


def _as_maps(extra: int, height: int, tokens: Tensor) -> Tensor:
    maps = tokens[:, extra:].transpose(1, 2)
    return maps.reshape(*maps.shape[:2], height, -1)


def _method(method: str | type[Any]) -> type[Any]:
    if not isinstance(method, str):
        if not hasattr(method, "get_cam_image"):
            raise TypeError(f"method is a name or a class of pytorch_grad_cam, got {method!r}.")
        return method
    check_method(method, METHODS)
    import pytorch_grad_cam

    return getattr(pytorch_grad_cam, method)


def _kind(value: object) -> str:
    return type(value).__name__
