"""Saliency maps for any model, by captum: gradients, SmoothGrad, integrated gradients, occlusion.

Which input pixels does the answer depend on? Maps of a layer instead of the input are in `cam`,
scores of maps in `metrics`, sanity checks in `sanity_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, check_images, to_model, whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.guided import guided_gradient
from vizhelpers.attribution.methods import SALIENCY as METHODS
from vizhelpers.attribution.methods import check_method
from vizhelpers.attribution.targets import Scores, Target, as_functions, asked_for
from vizhelpers.hooks import differentiable

Score = Callable[[Tensor], Tensor]
# From a score, images and baselines to what each value of an image does for its score.
Explain = Callable[[Score, Tensor, Tensor], Tensor]

_BATCH = 16


# Names that other libraries and papers use.
_ALSO = {"Saliency": "Gradient", "InputXGradient": "GradientXInput", "NoiseTunnel": "SmoothGrad"}


@dataclass(frozen=True, eq=False)
class SaliencyMaps:
    """Saliency maps of a batch of images, all tensors on the CPU.

    Attributes:
        maps: float32 `[N, H, W]`, 0 or more, for drawing and scoring. Of methods that tell how
            sensitive the score is, the largest of a pixel's absolute values over the channels
            (Simonyan et al. 2014). Of those whose values add up (`METHODS[name].adds_up`), their
            sum over the channels, 0 where it speaks against the class: as in class activation
            maps. Not stretched: values of different methods have different units.
        signed: float32 `[N, C, H, W]`, what the method says about each input value: positive
            where more of it raises the score.
        targets: int64 `[N]`, the class that each map is about, or the functions that were given.
        method: Name of the method.
        forward_images: How many images went through the model to make the maps.
        backward_images: Through how many of them a gradient was sent back.
    """

    maps: Tensor
    signed: Tensor
    targets: Tensor | tuple[Target, ...]
    method: str
    forward_images: int
    backward_images: int

    def __repr__(self) -> str:
        count, height, width = self.maps.shape
        return f"SaliencyMaps({self.method}: {count} of {height}×{width})"


@clear_errors
def saliency_maps(
    model: nn.Module,
    images: Tensor,
    targets: int | Sequence[int] | Tensor | Target | Sequence[Target] | None = None,
    *,
    method: str = "Gradient",
    output: Output | None = None,
    samples: int = 25,
    noise: float = 0.15,
    steps: int = 32,
    baseline: float | Tensor = 0.0,
    window: int = 16,
    stride: int = 8,
    seed: int = 0,
) -> SaliencyMaps:
    """Make saliency maps with captum, on any model, and leave nothing behind.

    The model runs in eval mode and comes out as it went in: modes, gradients, `requires_grad`,
    hooks, buffers and random numbers, also after an error. Frozen models work, and so do
    `torch.no_grad` and `torch.inference_mode`.

    Two things are not captum's: GuidedBackprop is `guided_gradient`, which knows ReLUs that are
    functions and not modules; and each image gets its own score, so a target may be any function.

    Args:
        model: Any module that takes one batch of images.
        images: `[N, C, H, W]` as the model takes them, that is, already normalised.
        targets: None for the predicted class of each image, one class for all of them, a class
            for each; or one function, or one for each image, from an image's scores (the
            output without its first dimension) to one number.
        method: One of `METHODS`.
        output: From what the model returns to the class scores `[N, classes]`, for a model
            that returns more than those: `lambda out: out["logits"]`.
        samples: SmoothGrad: how many noisy copies of each image.
        noise: SmoothGrad: standard deviation of the noise, as a share of the image's range.
        steps: IntegratedGradients: at how many places on the way the gradient is taken.
        baseline: IntegratedGradients and Occlusion: what stands for "nothing there": one number,
            where 0 is the mean colour of the training images; or an image `[C, H, W]`, or one
            for each `[N, C, H, W]`; normalised, too.
        window: Occlusion: height and width of the covered patch, in pixels.
        stride: Occlusion: how far the patch moves, in pixels; at most `window`.
        seed: SmoothGrad: of the noise, which is the same for every image; the global random
            numbers are left alone.

    Raises:
        TypeError: Something is of the wrong kind: the model, the images, a target, the output.
        ValueError: There is no such method or class; a number of targets, a baseline or an
            option does not fit; or the score does not depend on the image.

    Example:
        >>> saliency_maps(load_model("resnet18"), images, 3, method="GuidedBackprop").maps.shape
        torch.Size([4, 128, 128])
    """
    model = check_images(model, images)
    method = _ALSO.get(str(method), method)
    check_method(method, METHODS)
    inputs = images.detach()
    base = _baseline(baseline, inputs)
    whole("seed", seed)
    _check_options(samples=samples, steps=steps, window=window, stride=stride, noise=noise)
    if method == "Occlusion":
        _check_patch(inputs, window=window, stride=stride)
    with differentiable(model):
        counted = Scores(model, output)
        with torch.no_grad():
            asked = asked_for(targets, counted(inputs[:1]), len(inputs))
            if asked is None:
                batches = torch.split(inputs, _BATCH)
                asked = torch.cat([counted(batch).argmax(1).cpu() for batch in batches])
        goals, counted.forward_images = as_functions(asked), 0
        ways: dict[str, Explain] = {
            "Gradient": _gradient,
            "GuidedBackprop": _guided,
            "SmoothGrad": partial(_smooth_grad, samples=samples, noise=noise),
            "GradientXInput": _gradient_x_input,
            "IntegratedGradients": partial(_integrated, steps=steps),
            "Occlusion": partial(_occlusion, window=window, stride=stride),
        }
        many = method in ("SmoothGrad", "IntegratedGradients", "Occlusion")
        size = 1 if many else _BATCH
        found = []
        for start in with_progress(range(0, len(inputs), size), method):
            some = slice(start, start + size)
            score = partial(_scores_of, counted, goals[some])
            pixels = to_model(model, inputs[some]).clone().requires_grad_()
            _seed(seed, pixels.device)  # for each image: its map does not depend on the others
            made = ways[method](score, pixels, to_model(model, base[some]))
            found.append(made.detach().cpu().float())
    signed = torch.cat(found)
    maps = signed.sum(1).clamp(min=0) if METHODS[method].adds_up else signed.abs().amax(1)
    return SaliencyMaps(
        maps, signed, asked, method, counted.forward_images, counted.backward_images
    )


def _scores_of(model: Scores, goals: list[Target], images: Tensor) -> Tensor:
    """The score of every image: `[N]`; of one image there may be any number of variants."""
    scores = model(images)
    if images.requires_grad and not scores.requires_grad:
        raise ValueError(
            "the score does not depend on the image: on the way through the model it is detached, "
            "made an integer, or not used."
        )
    each = goals if len(goals) == len(images) else goals * len(images)
    return torch.stack([goal(row) for goal, row in zip(each, scores, strict=True)])


def _seed(seed: int, device: torch.device) -> None:
    """Set the global random numbers, which captum takes; `differentiable` puts them back."""
    if device.type == "cpu":
        # torch.manual_seed would reseed the GPUs as well.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


# -- the methods -------------------------------------------------------------------------------


def _gradient(score: Score, images: Tensor, _: Tensor) -> Tensor:
    from captum.attr import Saliency

    return Saliency(score).attribute(images, abs=False)


def _guided(score: Score, images: Tensor, _: Tensor) -> Tensor:
    return guided_gradient(score(images), images)


def _smooth_grad(score: Score, images: Tensor, _: Tensor, *, samples: int, noise: float) -> Tensor:
    from captum.attr import NoiseTunnel, Saliency

    low, high = images.detach().aminmax()
    return NoiseTunnel(Saliency(score)).attribute(
        images,
        nt_samples=samples,
        nt_samples_batch_size=min(samples, _BATCH),
        stdevs=float(noise * (high - low)),
        abs=False,
    )


def _gradient_x_input(score: Score, images: Tensor, _: Tensor) -> Tensor:
    from captum.attr import InputXGradient

    return InputXGradient(score).attribute(images)


def _integrated(score: Score, images: Tensor, baseline: Tensor, *, steps: int) -> Tensor:
    from captum.attr import IntegratedGradients

    return IntegratedGradients(score).attribute(
        images, baseline, n_steps=steps, internal_batch_size=_BATCH
    )


def _occlusion(
    score: Score, images: Tensor, baseline: Tensor, *, window: int, stride: int
) -> Tensor:
    from captum.attr import Occlusion

    channels = images.shape[1]
    found = Occlusion(score).attribute(
        images.detach(),
        (channels, window, window),
        strides=(channels, stride, stride),
        baselines=baseline,
        perturbations_per_eval=_BATCH,
    )
    return found / channels  # captum writes a patch's whole effect into every channel


# -- what was asked for ------------------------------------------------------------------------


def _baseline(baseline: float | Tensor, images: Tensor) -> Tensor:
    """A baseline for each image."""
    base = torch.as_tensor(baseline, dtype=images.dtype, device=images.device).detach()
    if base.shape not in (torch.Size([]), images.shape[1:], images.shape):
        raise ValueError(
            f"baseline must be one number, an image {list(images.shape[1:])} or one for each "
            f"image {list(images.shape)}; got {list(base.shape)}."
        )
    return base.expand_as(images)


def _check_options(*, noise: float, **counts: int) -> None:
    for name, count in counts.items():
        if whole(name, count) < 1:
            raise ValueError(f"{name} must be 1 or more, got {count}.")
    if not noise >= 0:
        raise ValueError(f"noise must be 0 or more, got {noise}.")


def _check_patch(images: Tensor, *, window: int, stride: int) -> None:
    side = min(images.shape[2:])
    if not stride <= window <= side:
        raise ValueError(
            f"the patch must fit the image and not jump over pixels: stride ≤ window ≤ {side}; "
            f"got stride {stride} and window {window}."
        )
