"""Class activation maps for any model: pytorch-grad-cam, run so that nothing breaks or stays.

Choosing the layer, checking what was asked for and running the library belongs here. How good
a map is belongs in `scores`; drawing it, in `pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import takewhile
from operator import index, itemgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_leaves, tree_leaves_with_path
from tqdm import tqdm

from vizhelpers.capture import Captured, capture
from vizhelpers.layers import check_model, get_layer, layer_name, list_layers
from vizhelpers.state import preserve_state

Target = Callable[[Tensor], Tensor]
Output = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Method:
    """What one of pytorch-grad-cam's classes does, for tables.

    Attributes:
        idea: How the map is made, in a few words.
        gradients: Whether a backward pass is needed.
        asks_class: Whether the map depends on the class that is asked for.
        paper: Where it was published.
    """

    idea: str
    gradients: bool
    asks_class: bool
    paper: str


METHODS = {
    "GradCAM": Method(
        "channels weighted by their mean gradient", True, True, "Selvaraju 2017, arXiv:1610.02391"
    ),
    "HiResCAM": Method(
        "gradient × activation at every place", True, True, "Draelos 2020, arXiv:2011.08891"
    ),
    "GradCAMPlusPlus": Method(
        "positive gradients, weighted by higher derivatives",
        *(True, True, "Chattopadhay 2018, arXiv:1710.11063"),
    ),
    "XGradCAM": Method(
        "gradients weighted by the share of the activation",
        *(True, True, "Fu 2020, arXiv:2008.02312"),
    ),
    "LayerCAM": Method(
        "positive gradient × activation at every place",
        *(True, True, "Jiang 2021, doi:10.1109/TIP.2021.3089943"),
    ),
    "EigenCAM": Method(
        "first principal component of the activations, of arbitrary sign",
        *(False, False, "Muhammad 2020, arXiv:2008.00299"),
    ),
    "ScoreCAM": Method(
        "channels weighted by the score of the image seen through them",
        *(False, True, "Wang 2020, arXiv:1910.01279"),
    ),
    "AblationCAM": Method(
        "channels weighted by how far the score falls without them",
        *(False, True, "Desai 2020, doi:10.1109/WACV45572.2020.9093360"),
    ),
    "FullGrad": Method(
        "input × gradient plus bias × gradient of all layers",
        *(True, True, "Srinivas 2019, arXiv:1905.00780"),
    ),
}
"""The library's classes that the course compares, by name."""

# These make many images of each one, or resize every channel: one image at a time fits in memory.
_ONE_AT_A_TIME = ("ScoreCAM", "AblationCAM", "FullGrad")
_MOST_EXTRA_TOKENS = 8  # class token, distillation token, registers
_ADVICE = "choose_target_layer(model, images) finds a layer; list_layers(model) lists all."


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
    _check_images(model, inputs)
    with _prepared(model):
        return _choose(model, _look(model, inputs, list_layers(model, nn.Module), output))


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
    _check_images(model, images)
    cls = _method(method)
    model = getattr(model, "_orig_mod", model)  # the model that torch.compile was given
    with _prepared(model):
        if cls.__name__ == "FullGrad":
            target, scores = _biases(model, images, output)
        elif layer is None:
            seen = _look(model, images, list_layers(model, nn.Module), output)
            target, scores = _choose(model, seen), seen.output
        else:
            target, scores = _given(model, images, layer, output)
        asked = _asked(targets, scores, len(images))
        return _run(_Scores(model, output), images, asked, cls, target)


class _Scores(nn.Module):
    """The model as the library wants it: one tensor of scores; counts what goes through."""

    def __init__(self, model: nn.Module, output: Output | None) -> None:
        super().__init__()
        self.model, self.output = model, output
        self.forward_images = self.backward_images = 0

    def forward(self, images: Tensor) -> Any:
        self.forward_images += len(images)
        # A copy: the model may write into its input, which for FullGrad is a leaf.
        scores = _select(self.model(images.clone()), self.output)
        if scores.requires_grad:
            scores.register_hook(self._count)
        return scores

    def _count(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)


def _run(
    model: _Scores,
    images: Tensor,
    asked: Tensor | tuple[Target, ...] | None,
    cls: type[Any],
    target: TargetLayer,
) -> ClassMaps:
    maps, raw, scores = [], [], []
    goals: list[Any] | None = None
    if asked is not None:
        each = map(itemgetter, asked.tolist()) if isinstance(asked, Tensor) else asked
        goals = [partial(_one_number, target) for target in each]
    size = 1 if cls.__name__ in _ONE_AT_A_TIME else 16
    with _library(model, cls, target) as cam:

        def record(*args: Any, make: Callable[..., Any] = cam.get_cam_image) -> Any:
            raw.append(make(*args))
            return raw[-1]

        cam.get_cam_image = record
        for start in tqdm(range(0, len(images), size), cls.__name__, delay=2, disable=None):
            some = slice(start, start + size)
            maps.append(cam(_to_model(model, images[some]), goals and goals[some]))
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
def _library(model: _Scores, cls: type[Any], target: TargetLayer) -> Iterator[Any]:
    """The library's object, quiet, with the target layer's output out of harm's way."""
    from pytorch_grad_cam import AblationCAM, ablation_cam, score_cam
    from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit

    options: dict[str, Any] = {"target_layers": [], "reshape_transform": target.reshape}
    with ExitStack() as undo:
        undo.enter_context(np.errstate(divide="ignore", invalid="ignore"))  # see `_finite`
        for module in (ablation_cam, score_cam):  # a bar for every image
            undo.callback(setattr, module, "tqdm", module.tqdm)
            module.tqdm = SimpleNamespace(tqdm=iter)
        if cls.__name__ != "FullGrad":
            options["target_layers"] = [get_layer(model.model, target.name)]
        if issubclass(cls, AblationCAM):
            options["ablation_layer"] = AblationLayerVit() if target.reshape else AblationLayer()
        cut = _Cut()
        handles = [layer.register_forward_hook(cut.before) for layer in options["target_layers"]]
        cam = cls(model, **options)
        # Gradients are asked for at the layer only, unless the library wants them at the image.
        cut.active = cam.uses_gradients and not cam.compute_input_gradient
        handles += [layer.register_forward_hook(cut.after) for layer in options["target_layers"]]
        if issubclass(cls, AblationCAM):  # its own hook comes after `cut.after`
            cam.save_activation = lambda _, __, out: setattr(cam, "activations", out.clone())
        undo.callback(cam.activations_and_grads.release)
        for handle in handles:
            undo.callback(handle.remove)
        yield cam


@dataclass
class _Cut:
    """Hooks round the library's own, so that nothing overwrites what the library has seen.

    Autograd begins at the layer, and the network goes on with a copy.
    """

    active: bool = False

    def before(self, module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        return output.detach().requires_grad_() if self.active else None

    def after(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output.clone()


@contextmanager
def _prepared(model: nn.Module) -> Iterator[None]:
    """Eval mode, autograd on, weights frozen, every layer called by itself; undone afterwards."""
    with ExitStack() as undo:
        undo.enter_context(preserve_state(model))
        mha = torch.backends.mha
        undo.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        undo.enter_context(torch.inference_mode(False))
        undo.enter_context(torch.enable_grad())
        model.eval().requires_grad_(False)  # frozen: no time is spent on gradients of weights
        yield


def _look(
    model: nn.Module, images: Tensor, layers: Iterable[str], output: Output | None
) -> Captured:
    """What layers return for one image, and how its largest scores depend on that."""

    def score(result: Any) -> Any:
        scores = [leaf.amax() for leaf in tree_leaves(_select(result, output)) if _is_float(leaf)]
        if not scores:
            raise TypeError("neither the model nor `output` returned a tensor of floats.")
        return sum(scores)

    seen = capture(model, _to_model(model, images[:1]), layers, gradients=score)
    seen.output = _select(seen.output, output)
    return seen


def _choose(model: nn.Module, seen: Captured) -> TargetLayer:
    modules = dict(model.named_modules(remove_duplicate=False))
    order = [name for name in seen if name and name in modules]
    for name in reversed([n for n in order if "Norm" in type(modules[n]).__name__]):
        tokens, gradient = _tokens(model, seen, name), seen.gradients[name][0]
        if tokens and tokens.reshape and gradient is not None and tokens.reshape(gradient).any():
            return tokens
    results = [leaf for leaf in tree_leaves(seen.output) if isinstance(leaf, Tensor)]
    maps = [n for n in order if _is_map(seen, n)]
    maps = [n for n in maps if not any(torch.equal(seen[n][0], result) for result in results)]
    if not maps:
        raise ValueError(
            f"no layer of this {type(model).__name__} is called exactly once, returns a map "
            "[N, C, H, W] with more than one position and leads to the output, so there is "
            f"nothing to draw over the image. The layers return:\n{seen!r}"
        )
    leaves = list_layers(model)
    own = [n for n in maps if n in leaves and "Pool" not in type(modules[n]).__name__]
    start = maps.index(own[-1] if own else maps[-1])
    size = seen[maps[start]][0].shape[2:]
    # The blocks that end with this layer, or that join it with parallel branches.
    name = list(takewhile(lambda n: seen[n][0].shape[2:] == size, maps[start:]))[-1]
    reason = f"{name!r} is the last layer that returns maps before they are pooled or flattened: "
    reason += "{} of {}×{} positions.".format(*seen[name][0].shape[1:])
    following = [n for n in order[order.index(name) + 1 :] if n in leaves][:1]
    for after in following:
        shape = list(seen[after][0].shape)
        reason += f" Next comes {after!r} ({type(modules[after]).__name__}), with {shape}."
    return TargetLayer(name, reason, tuple(size))


def _given(
    model: nn.Module, images: Tensor, layer: str | nn.Module, output: Output | None
) -> tuple[TargetLayer, Any]:
    name = layer_name(model, get_layer(model, layer))
    convs = list_layers(model, nn.Conv2d)
    seen = _look(model, images, [name, *convs], output)
    if name not in seen:
        what = "was not called" if name in seen.never_called else "returned no single tensor"
        raise ValueError(f"the layer {name!r} {what} in this pass. {_ADVICE}")
    calls, gradients = seen[name], seen.gradients[name]
    if len(calls) > 1:
        raise ValueError(
            f"the layer {name!r} is called {len(calls)} times in one pass, and the library would "
            f"mix them up. Take the block around it, {name.rpartition('.')[0]!r}, or another "
            f"layer that is called once. {_ADVICE}"
        )
    if gradients[0] is None:
        raise ValueError(
            f"the scores do not depend on what {name!r} returns, or the model cuts the gradient "
            f"after it with detach() or no_grad(). {_ADVICE}"
        )
    reason = f"{name!r} was asked for."
    if _is_map(seen, name):
        return TargetLayer(name, reason, tuple(calls[0].shape[2:])), seen.output
    if tokens := _tokens(model, seen, name):
        return replace(tokens, reason=reason), seen.output
    raise ValueError(
        f"{name!r} returns {list(calls[0].shape)}: no map [N, C, H, W] with more than one "
        f"position, and no tokens [N, T, D] of image patches. {_ADVICE}"
    )


def _biases(model: nn.Module, images: Tensor, output: Output | None) -> tuple[TargetLayer, Any]:
    """What FullGrad uses: the library pairs biases with gradients by the order of the layers."""
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    names = [n for n, m in model.named_modules() if type(m) in kinds and m.bias is not None]
    seen = _look(model, images, names, output) if names else Captured()
    in_use = [
        name for name, grads in seen.gradients.items() if [g is None for g in grads] == [False]
    ]
    if not names or in_use != names:
        raise ValueError(
            "FullGrad needs Conv2d or BatchNorm2d layers with a bias, each called exactly once and "
            f"in the order of their declaration. This {type(model).__name__} has them as "
            f"{names}, and these took part once: {in_use}. Choose another method."
        )
    reason = f"FullGrad adds up all {len(names)} Conv2d and BatchNorm2d layers that have a bias."
    return TargetLayer("all biases", reason, (images.shape[2], images.shape[3])), seen.output


def _is_map(seen: Captured, name: str) -> bool:
    maps, gradient = seen[name][0], seen.gradients[name][0]
    usable = len(seen[name]) == 1 and gradient is not None
    return usable and maps.ndim == 4 and maps.shape[2] * maps.shape[3] > 1


def _tokens(model: nn.Module, seen: Captured, name: str) -> TargetLayer | None:
    """The layer as a target, if it returns a token for each patch that a convolution cut out."""
    convs = [n for n in list_layers(model, nn.Conv2d) if n in seen and _is_map(seen, n)]
    tokens = seen[name][0]
    if not convs or tokens.ndim != 3 or len(seen[name]) > 1:
        return None
    height, width = seen[convs[-1]][0].shape[2:]
    extra = tokens.shape[1] - height * width
    if not 0 <= extra <= _MOST_EXTRA_TOKENS:
        return None
    reason = (
        f"{name!r} is the last normalisation from which image patches reach the output: "
        f"{height}×{width} of them, put back in their places without the {extra} tokens in front."
    )
    return TargetLayer(name, reason, (height, width), partial(_as_maps, extra, height))


def _as_maps(extra: int, height: int, tokens: Tensor) -> Tensor:
    maps = tokens[:, extra:].transpose(1, 2)
    return maps.reshape(*maps.shape[:2], height, -1)


def _check_images(model: nn.Module, images: Tensor) -> None:
    check_model(model)
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor [N, C, H, W] of floats, got {kind}.")
    if images.ndim != 4 or not len(images):
        raise ValueError(
            f"images must be a batch [N, C, H, W], got {list(images.shape)}. "
            "One image becomes a batch with image[None]."
        )


def _method(method: str | type[Any]) -> type[Any]:
    if not isinstance(method, str):
        if not hasattr(method, "get_cam_image"):
            raise TypeError(f"method is a name or a class of pytorch_grad_cam, got {method!r}.")
        return method
    if method not in METHODS:
        near = get_close_matches(method, METHODS, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no method {method!r}. {hint}There is {', '.join(METHODS)}.")
    import pytorch_grad_cam

    return getattr(pytorch_grad_cam, method)


def _asked(targets: Any, scores: Any, count: int) -> Tensor | tuple[Target, ...] | None:
    """The targets, one for each image; None for the predictions."""
    if not isinstance(scores, Tensor):
        parts = {keystr(p): list(t.shape) for p, t in tree_leaves_with_path(scores) if _is_float(t)}
        likely = next((key for key, shape in parts.items() if len(shape) == 2), next(iter(parts)))
        raise TypeError(
            f"the model returns {type(scores).__name__}, not a tensor of scores. It holds {parts}. "
            f"Say which are the scores: output=lambda out: out{likely}"
        )
    values = targets.tolist() if hasattr(targets, "tolist") else targets
    items = list(values) if isinstance(values, Sequence) else [values] * count
    if len(items) != count:
        raise ValueError(
            f"{len(items)} targets for {count} images. Give one class for all of them, or a "
            "class for each."
        )
    if items and all(callable(item) for item in items):
        return tuple(items)
    if scores.ndim != 2:
        raise ValueError(
            f"the scores of one image have the shape {list(scores.shape)}, not [1, classes]: no "
            "class can be taken from them. Use a function from an image's scores to a number."
        )
    if values is None:
        return None
    try:
        classes = [index(item) for item in items]
    except TypeError:
        raise TypeError(
            f"targets are classes (whole numbers) or functions, got {targets!r}."
        ) from None
    if wrong := [c for c in classes if not 0 <= c < scores.shape[1]]:
        raise ValueError(
            f"there is no class {wrong[0]}: the model has classes 0 to {scores.shape[1] - 1}."
        )
    return torch.tensor(classes)


def _one_number(target: Target, scores: Tensor) -> Tensor:
    value = target(scores)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(f"a target must return a tensor with one number, it returned {value!r}.")
    if scores.requires_grad and not value.requires_grad:
        raise TypeError(
            "what the target returned has no gradient. It must follow from the scores without "
            "detach(), item(), argmax() or torch.no_grad() on the way."
        )
    return value.reshape(())


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _select(result: Any, output: Output | None) -> Any:
    return result if output is None else output(result)


def _to_model(model: nn.Module, images: Tensor) -> Tensor:
    return images.to(next((p.device for p in model.parameters()), images.device))
