"""FlashTorch, repaired: `Backprop` and `GradientAscent`, with the same calls.

FlashTorch 0.1.3 is no longer maintained. Its image functions, its figures and its way to climb
are kept and called from here; what computes gradients is replaced. Nothing of the installed
library is changed, so whoever imports it elsewhere gets what they had. What is wrong with it,
with proof, is in lesson 05.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import flashtorch.activmax
import flashtorch.saliency
import matplotlib.pyplot as plt
import numpy as np
import torch
from flashtorch.utils import apply_transforms
from torch import Tensor, nn

from vizhelpers._utils.checks import check_images, check_model, to_model, whole
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.saliency import saliency_maps
from vizhelpers.figures import to_png
from vizhelpers.hooks import cut_off_after
from vizhelpers.images import load_image
from vizhelpers.layers import get_layer
from vizhelpers.state import preserve_state


class Backprop(flashtorch.saliency.Backprop):  # type: ignore[misc]  # FlashTorch has no types
    """FlashTorch's `Backprop`, which explains the class that it is asked for.

    From Simonyan et al. 2014, "Deep Inside Convolutional Networks", arXiv:1312.6034. The model
    is in eval mode while gradients are taken, and afterwards as it was: mode, hooks, gradients,
    device.

    Args:
        model: A classifier that takes one batch of images.

    Raises:
        TypeError: The model is no module.

    Example:
        >>> Backprop(model).visualize(apply_transforms(photo), 3, guided=True)
    """

    def __init__(self, model: nn.Module) -> None:
        check_model(model)
        # Not FlashTorch's own: it leaves a hook on the model, for good, and eval mode.
        self.model = model
        self.gradients: Tensor | None = None

    def calculate_gradients(
        self,
        input_: Tensor,
        target_class: int | None = None,
        take_max: bool = False,
        guided: bool = False,
        use_gpu: bool = False,
    ) -> Tensor:
        """Take the gradient of one class score with respect to one image.

        Args:
            input_: `[1, C, H, W]`, normalised as the model takes it. It is left as it is.
            target_class: The class; None for the predicted one.
            take_max: Return only the largest of each pixel's values over the channels.
            guided: By guided backpropagation, see `vizhelpers.attribution.guided`.
            use_gpu: On the first CUDA device, if there is one.

        Returns:
            `[C, H, W]`, or `[1, H, W]` with `take_max`, on the CPU.

        Raises:
            TypeError: The image is no tensor of floats, the class no integer, or the model
                returns no tensor.
            ValueError: It is not exactly one image that the model takes, or there is no such
                class.

        Warns:
            NothingToGuideWarning: `guided`, where there is no ReLU.
        """
        _check_one_image(self.model, input_)
        method = "GuidedBackprop" if guided else "Gradient"
        with _ready(self.model, input_, use_gpu):
            found = saliency_maps(
                self.model, input_, target_class, method=method, output=_class_scores
            )
        self.gradients = found.signed
        gradients = self.gradients[0]
        return gradients.amax(dim=0, keepdim=True) if take_max else gradients

    @wraps(flashtorch.saliency.Backprop.visualize, assigned=())  # the arguments are those
    def visualize(self, input_: Tensor, *arguments: Any, **options: Any) -> Any:
        """Draw the image, its gradient in colour, the largest over the channels, and both.

        The figure is FlashTorch's own. Its middle panels are shifted and stretched so that each
        panel's mean is 0.5 and 10 standard deviations are 1: no colour there means "zero".

        The image is grey or RGB, normalised with ImageNet's mean and standard deviation; the
        first four arguments are those of `calculate_gradients`. `cmap` colours the panels that
        have one value for each pixel, and `alpha` is how much of them covers the image in the
        last one. With `return_output`, the gradient `[C, H, W]` and its largest values
        `[1, H, W]` are returned, too.
        """
        _check_one_image(self.model, input_)
        if input_.shape[1] not in (1, 3):
            raise ValueError(
                f"an image of {input_.shape[1]} channels cannot be drawn; calculate_gradients "
                "returns the gradient of each."
            )
        # FlashTorch's figure fails on a tensor that requires a gradient, NumPy on bfloat16.
        image = input_.detach().cpu().float()
        # Of a grey image, which pyplot would colour. No rc_context: it would also take back what
        # a notebook's backend sets when the first figure is made.
        before = plt.rcParams["image.cmap"]
        plt.rcParams["image.cmap"] = "gray"
        try:
            return super().visualize(image, *arguments, **options)
        finally:
            plt.rcParams["image.cmap"] = before


class GradientAscent(flashtorch.activmax.GradientAscent):  # type: ignore[misc]
    """FlashTorch's `GradientAscent`, repeatable, which leaves the model as it was.

    It climbs as FlashTorch does: from grey noise, each step adds the gradient of the filter's
    mean activation, divided by its root mean square, times `lr`, to the normalised image. From
    the same start it gives FlashTorch's pictures. The pass now ends at the layer.

    Args:
        model: A network, or the part of it that holds the convolutions, such as `vgg16.features`.
        img_size: Height and width of the pictures, in pixels.
        lr: How far one step goes.
        use_gpu: Work on the first CUDA device, if there is one.
        seed: Of the noise that every filter starts from, and of filters chosen at random.

    Raises:
        TypeError: The model is no module.

    Example:
        >>> GradientAscent(vgg16.features).visualize(vgg16.features[24], [45, 271, 363, 489])
    """

    _lr: float

    def __init__(
        self,
        model: nn.Module,
        img_size: int = 224,
        lr: float = 1.0,
        use_gpu: bool = False,
        seed: int = 0,
    ) -> None:
        check_model(model)
        super().__init__(getattr(model, "_orig_mod", model), img_size, lr, use_gpu)
        self.seed = seed

    def optimize(
        self,
        layer: nn.Conv2d | str,
        filter_idx: int,
        input_: Tensor | None = None,
        num_iter: int = 30,
    ) -> list[Tensor]:
        """Climb towards an image that activates one filter.

        Args:
            layer: A convolution of the model, or its name.
            filter_idx: Which filter, from 0.
            input_: Where to start, `[1, C, H, W]`, normalised; grey noise of three channels by
                default.
            num_iter: How many steps.

        Returns:
            The image after each step, `[1, C, H, W]` each, on the CPU.

        Raises:
            TypeError: The layer is no Conv2d, or the filter no integer.
            ValueError: The layer is not in the model or not called, there is no such filter, or
                the filter does not depend on the image.
        """
        conv = self._conv(layer)
        channel = _filter(conv, filter_idx)
        if num_iter < 1:
            raise ValueError(f"num_iter must be 1 or more, got {num_iter}.")
        if input_ is None:  # FlashTorch's grey noise
            size = (self._img_size, self._img_size, 3)
            noise = np.random.default_rng(self.seed).uniform(150, 180, size).astype(np.uint8)
            input_ = apply_transforms(noise, size=self._img_size)
        _check_one_image(self.model, input_)
        output = []
        with _ready(self.model, input_, self._use_gpu), cut_off_after(self.model, conv) as run:
            image = input_.detach()
            for _ in with_progress(range(num_iter), "gradient ascent"):
                leaf = image.clone().requires_grad_()
                # A copy: the model may change its input in place.
                activation = run(to_model(self.model, leaf).clone())[:, channel].mean()
                if not activation.requires_grad:
                    raise ValueError("the filter does not depend on the image.")
                (gradient,) = torch.autograd.grad(activation, leaf)
                image = image + self._lr * gradient / (gradient.square().mean().sqrt() + 1e-5)
                output.append(image.cpu())
        return output

    def visualize(  # noqa: PLR0917  (FlashTorch's own order)
        self,
        layer: nn.Conv2d | str,
        filter_idxs: int | Sequence[int] | None = None,
        lr: float | None = None,
        num_iter: int = 30,
        num_subplots: int = 4,
        figsize: tuple[float, float] = (4, 4),
        title: str = "Conv2d",
        return_output: bool = False,
    ) -> list[Any] | None:
        """Climb for one filter, for several or for some at random, and draw the last images.

        Args:
            layer: As in `optimize`.
            filter_idxs: One filter, several, or None for `num_subplots` different ones that the
                seed chooses.
            lr: How far one step goes, in this call; by default as far as the object says.
            num_iter: How many steps.
            num_subplots: How many filters, where none are named.
            figsize: Width and height in inches, for one filter.
            title: Stands above.
            return_output: Also return what `optimize` does, for several filters as a list.
        """
        conv = self._conv(layer)
        wanted: Any = filter_idxs
        if wanted is None:
            count = min(num_subplots, conv.out_channels)
            random = np.random.default_rng(self.seed)
            wanted = random.choice(conv.out_channels, count, replace=False)
        several = np.ndim(wanted) > 0
        wanted = [_filter(conv, each) for each in (wanted if several else [wanted])]
        if not wanted:
            raise ValueError("no filter is named: give one, several, or None for any.")
        with self._step_kept():
            return super().visualize(
                conv,
                wanted if several else wanted[0],
                lr=self._lr if lr is None else lr,
                num_iter=num_iter,
                figsize=figsize,
                title=title,
                return_output=return_output,
            )

    @wraps(flashtorch.activmax.GradientAscent.deepdream, assigned=())
    def deepdream(self, img_path: Any, *arguments: Any, **options: Any) -> Any:
        """Climb from a photo instead of noise, and draw the last image.

        The photo is a path or a Pillow image, and read by `load_image`. `lr` holds for this call
        only; the other arguments are those of `optimize` and `visualize`.
        """
        # FlashTorch itself ignores a camera's rotation, and makes white of 16 bits.
        photo = io.BytesIO(to_png(load_image(img_path)))
        with self._step_kept():
            return super().deepdream(photo, *arguments, **options)

    def _conv(self, layer: nn.Conv2d | str) -> nn.Conv2d:
        found = get_layer(self.model, layer)
        if not isinstance(found, nn.Conv2d):
            raise TypeError(f"the layer must be a Conv2d, this is a {type(found).__name__}.")
        return found

    @contextmanager
    def _step_kept(self) -> Iterator[None]:
        """FlashTorch would keep one call's `lr` for all that follow."""
        before = self._lr
        try:
            yield
        finally:
            self._lr = before


def _filter(conv: nn.Conv2d, wanted: Any) -> int:
    chosen = whole("a filter", wanted)
    if not 0 <= chosen < conv.out_channels:
        raise ValueError(
            f"there is no filter {chosen}: this layer has 0 to {conv.out_channels - 1}."
        )
    return chosen


@contextmanager
def _ready(model: nn.Module, image: Tensor, use_gpu: bool) -> Iterator[None]:
    """On the GPU if that is wanted, and afterwards as it was; says which channels are missing."""
    with preserve_state(model):
        if use_gpu and torch.cuda.is_available():
            model.to("cuda")
        try:
            yield
        except RuntimeError as error:
            takes = [m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
            if not takes or image.shape[1] in takes:
                raise
            raise ValueError(
                f"the image has {image.shape[1]} channels, but the model takes {takes[0]}. A grey "
                "image becomes RGB with image.expand(-1, 3, -1, -1); for a network that takes "
                "grey images, give GradientAscent.optimize a start of one channel as input_."
            ) from error


def _class_scores(answer: Any) -> Any:
    """What the model returns as a row of scores for each image; a single output is one class."""
    if not isinstance(answer, Tensor):
        raise TypeError(
            f"the model returns {type(answer).__name__}, not a tensor of class scores. Wrap it in "
            "a module whose forward returns them."
        )
    return answer[:, None] if answer.ndim == 1 else answer


def _check_one_image(model: nn.Module, image: Any) -> None:
    check_images(model, image)
    if len(image) != 1:
        raise ValueError(
            f"one image at a time, [1, C, H, W]; got {list(image.shape)}. Of a batch, take "
            "images[[i]]; vizhelpers.saliency_maps takes batches."
        )
