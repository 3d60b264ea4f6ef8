"""Class activation maps (CAM, Grad-CAM and others) for any model, by pytorch-grad-cam.

The library does the work. Around it: the target layer is chosen or checked, frozen and dict models
work, and nothing is left on the model. Scores of maps are in `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, check_images, check_one_for_each, to_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.methods import CLASS_MAPS as METHODS
from vizhelpers.attribution.methods import check_method
from vizhelpers.attribution.target_layer import Looked, Reshape, TargetLayer, choose_target_layer
from vizhelpers.attribution.targets import (
    Scores,
    Target,
    as_float,
    as_functions,
    asked_for,
    checked_scores,
)
from vizhelpers.hooks import differentiable
from vizhelpers.layers import get_layer, layer_name

__all__ = ["METHODS", "ClassMaps", "choose_target_layer", "class_maps"]

# These make many images of each one, or resize every channel: one image at a time fits in memory.
_ONE_AT_A_TIME = ("ScoreCAM", "AblationCAM", "FullGrad")


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


@clear_errors
def class_maps(
    model: nn.Module,
    images: Tensor,
    targets: int | Sequence[int] | Tensor | Target | Sequence[Target] | None = None,
    *,
    method: str | type[Any] = "GradCAM",
    layer: str | nn.Module | None = None,
    reshape: Reshape | None = None,
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
        reshape: From what `layer` returns to maps `[N, C, h, w]`, where its shape does not tell:
            `lambda out: out.movedim(-1, 1)` where the channels come last.
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
    model = check_images(model, images)
    if isinstance(method, str):
        check_method(method, METHODS)
    elif not hasattr(method, "get_cam_image"):
        raise TypeError(f"method is a name or a class of pytorch_grad_cam, got {method!r}.")
    if reshape is not None and layer is None:
        raise ValueError("reshape= is for one layer: say which, layer=.")
    images = images.detach()
    with differentiable(model):
        import pytorch_grad_cam  # here, as what it imports draws random numbers

        cls = getattr(pytorch_grad_cam, method) if isinstance(method, str) else method
        looked = Looked(model, images, output)
        asked = asked_for(targets, checked_scores(looked.output, 1), len(images))
        if cls.__name__ == "FullGrad":
            target = looked.biases()
        elif layer is None:
            target = looked.choose()
        else:
            target = looked.given(layer_name(model, get_layer(model, layer)), reshape)
        if cls.__name__ == "AblationCAM" and target.reshape:
            _check_ablation(looked.seen[target.name][0], target.reshape)
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
            maps.append(cam(to_model(model, images[some]).clone(), goals and goals[some]))
            scores.append(cam.outputs.detach())
    stretched = _finite(maps)
    check_one_for_each(stretched, images, target.name)
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


def _check_ablation(output: Tensor, reshape: Reshape) -> None:
    """Refuse a layer of which the library could not switch off single channels."""
    vectors, first = output[0].flatten(0, -2), reshape(output)[0, :, 0, 0]
    if len(output) != 1 or first.shape != vectors.shape[1:] or not (vectors == first).all(1).any():
        raise ValueError(
            f"AblationCAM needs the channels of a layer first or last, [N, C, H, W] or [N, …, C]; "
            f"it returns {list(output.shape)}. Choose another method."
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

    def as_maps(output: Tensor) -> Tensor:
        return as_float(target.reshape(output) if target.reshape else output)

    biased = [get_layer(model.model, name) for name in target.biased]
    layers = [] if biased else [get_layer(model.model, target.name)]
    options: dict[str, Any] = {"target_layers": layers, "reshape_transform": as_maps}
    if issubclass(cls, AblationCAM):
        options["ablation_layer"] = AblationLayerVit() if target.reshape else AblationLayer()
    with ExitStack() as undo:
        undo.enter_context(np.errstate(divide="ignore", invalid="ignore"))  # see `_finite`
        for module in (ablation_cam, score_cam):  # a bar for every image
            undo.callback(setattr, module, "tqdm", module.tqdm)
            module.tqdm = SimpleNamespace(tqdm=iter)
        for module in model.model.modules():  # the library goes into children that are None
            for name in [name for name, child in module._modules.items() if child is None]:
                vars(module)[name] = module._modules.pop(name)
        if biased:  # they go to NumPy, which knows no bfloat16
            model.to(as_float(model.place).dtype)
        for layer in biased:  # so that those count to which no pixel leads
            layer.bias.requires_grad_()
        cam = cls(model, **options)
        if biased:  # the library takes them as declared, but the gradients as called
            cam.bias_data = [cam.get_bias_data(layer).cpu().numpy() for layer in biased]
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
