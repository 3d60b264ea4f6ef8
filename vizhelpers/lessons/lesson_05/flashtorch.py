"""FlashTorch, repaired: `Backprop` and `GradientAscent`, with the same calls.

FlashTorch 0.1.3 is no longer maintained. Its image functions, its figures and its way to climb
are kept and called from here; what computes gradients is replaced. Nothing of the installed
library is changed, so whoever imports it elsewhere gets what they had. What is wrong with it,
with proof, is in lesson 05.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import flashtorch.activmax
import flashtorch.saliency
import numpy as np
import torch
from flashtorch.utils import apply_transforms
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vizhelpers._utils.checks import check_model, to_model, whole
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.attribution.guided import callers_level, guided_gradient
from vizhelpers.figures import to_png
from vizhelpers.hooks import cut_off_after, differentiable
from vizhelpers.images import load_image
from vizhelpers.layers import get_layer


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
        self.model = getattr(model, "_orig_mod", model)
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
            guided: By guided backpropagation, see `vizhelpers.saliency.guided_gradient`.
            use_gpu: On the first CUDA device, if there is one.

        Returns:
            `[C, H, W]`, or `[1, H, W]` with `take_max`, on the CPU.

        Raises:
            TypeError: The image is no tensor of floats, the class no integer, or the model
                returns no tensor.
            ValueError: It is not exactly one image, or there is no such class.

        Warns:
            UserWarning: `use_gpu` where there is no GPU, or `guided` where there is no ReLU.
        """
        _check_image(input_)
        with _at_work(self.model, use_gpu):
            leaf = input_.detach().clone().requires_grad_()
            with _channels_explained(self.model, leaf):
                scores = self.model(_as_input(self.model, leaf))
            score = _class_score(scores, target_class)
            self.gradients = _gradient_of(score, leaf, guided=guided).cpu()
        gradients = self.gradients[0]
        return gradients.amax(dim=0, keepdim=True) if take_max else gradients

    def visualize(  # noqa: PLR0917  (FlashTorch's own order)
        self,
        input_: Tensor,
        target_class: int | None,
        guided: bool = False,
        use_gpu: bool = False,
        figsize: tuple[float, float] = (16, 4),
        cmap: str = "viridis",
        alpha: float = 0.5,
        return_output: bool = False,
    ) -> tuple[Tensor, Tensor] | None:
        """Draw the image, its gradient in colour, the largest over the channels, and both.

        The figure is FlashTorch's own. Its middle panels are shifted and stretched so that each
        panel's mean is 0.5 and 10 standard deviations are 1: no colour there means "zero".

        Args:
            input_: `[1, C, H, W]`, normalised with ImageNet's mean and standard deviation.
            target_class: The class; None for the predicted one.
            guided: As in `calculate_gradients`.
            use_gpu: As in `calculate_gradients`.
            figsize: Width and height in inches.
            cmap: Colours of the panels that have one value for each pixel.
            alpha: How much of the gradient covers the image in the last panel.
            return_output: Also return what is drawn.

        Returns:
            The gradient `[C, H, W]` and its largest values `[1, H, W]` with `return_output`,
            otherwise None.

        Raises:
            TypeError: As in `calculate_gradients`.
            ValueError: As in `calculate_gradients`; or the image has 2 channels, or 4 or more.
        """
        _check_image(input_)
        if input_.shape[1] not in (1, 3):
            raise ValueError(
                f"an image of {input_.shape[1]} channels cannot be drawn; calculate_gradients "
                "returns the gradient of each."
            )
        # FlashTorch's figure fails on a tensor that requires a gradient, NumPy on bfloat16.
        found = super().visualize(
            input_.detach().cpu().float(),
            target_class,
            guided=guided,
            use_gpu=use_gpu,
            figsize=figsize,
            cmap=cmap,
            alpha=alpha,
            return_output=return_output,
        )
        if input_.shape[1] == 1:
            _draw_grey_as_grey()
        return found


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
            input_: Where to start, `[1, C, H, W]`, normalised; grey noise by default.
            num_iter: How many steps.

        Returns:
            The image after each step, `[1, C, H, W]` each, on the CPU.

        Raises:
            TypeError: The layer is no Conv2d, or the filter no integer.
            ValueError: The layer is not in the model or not called, there is no such filter, or
                the filter does not depend on the image.
        """
        return self._climb(layer, filter_idx, input_, num_iter, self._lr)

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
            layer: A convolution of the model, or its name.
            filter_idxs: One filter, several, or None for `num_subplots` different ones that the
                seed chooses.
            lr: How far one step goes, in this call; by default as far as the object says.
            num_iter: How many steps.
            num_subplots: How many filters, where none are named.
            figsize: Width and height in inches, for one filter.
            title: Stands above.
            return_output: Also return the images.

        Returns:
            With `return_output` what `optimize` returns, or a list of that for several filters.

        Raises:
            TypeError: As in `optimize`.
            ValueError: As in `optimize`; or no filters are asked for.
        """
        conv = self._conv(layer)
        wanted: Any = filter_idxs
        if wanted is None:
            if num_subplots < 1:
                raise ValueError(f"num_subplots must be 1 or more, got {num_subplots}.")
            drawn = np.random.default_rng(self.seed).choice(
                conv.out_channels, min(num_subplots, conv.out_channels), replace=False
            )
            wanted = drawn.tolist()
        elif np.ndim(wanted):
            wanted = [self._filter(conv, each) for each in wanted]
            if not wanted:
                raise ValueError("no filter is named: give one, several, or None for any.")
        else:
            wanted = self._filter(conv, wanted)
        with self._for_now(lr):
            # One filter must be an int for FlashTorch; the step is set above.
            super().visualize(
                conv,
                wanted,
                lr=self._lr,
                num_iter=num_iter,
                num_subplots=num_subplots,
                figsize=figsize,
                title=title,
            )
        return self.output if return_output else None

    def deepdream(  # noqa: PLR0917
        self,
        img_path: str | os.PathLike[str] | Image.Image,
        layer: nn.Conv2d | str,
        filter_idx: int,
        lr: float = 0.1,
        num_iter: int = 20,
        figsize: tuple[float, float] = (4, 4),
        title: str = "DeepDream",
        return_output: bool = False,
    ) -> list[Tensor] | None:
        """Climb from a photo instead of noise, and draw the last image.

        Args:
            img_path: The path of a picture, or a Pillow image; see `load_image`.
            layer: A convolution of the model, or its name.
            filter_idx: Which filter, from 0.
            lr: How far one step goes, in this call.
            num_iter: How many steps.
            figsize: Width and height in inches.
            title: Stands above.
            return_output: Also return the images.

        Returns:
            What `optimize` returns, with `return_output`.

        Raises:
            TypeError: As in `optimize`.
            ValueError: As in `optimize`.
            FileNotFoundError: There is no such picture; `load_image` says more.
        """
        # FlashTorch itself ignores a camera's rotation, and makes white of 16 bits.
        photo = io.BytesIO(to_png(load_image(img_path)))
        with self._for_now(lr):
            output: list[Tensor] = super().deepdream(
                photo, layer, filter_idx, self._lr, num_iter, figsize, title, True
            )
        return output if return_output else None

    def _climb(
        self,
        layer: nn.Conv2d | str,
        filter_idx: int,
        start: Tensor | None,
        num_iter: int,
        lr: float,
    ) -> list[Tensor]:
        conv = self._conv(layer)
        filter_idx = self._filter(conv, filter_idx)
        if start is None:
            start = apply_transforms(self._noise(), size=self._img_size)
        _check_image(start)
        if num_iter < 1:
            raise ValueError(f"num_iter must be 1 or more, got {num_iter}.")
        output = []
        with _at_work(self.model, self._use_gpu) as device, cut_off_after(self.model, conv) as run:
            image = start.detach().to(device)
            for _ in with_progress(range(num_iter), "gradient ascent"):
                leaf = image.clone().requires_grad_()
                with _channels_explained(self.model, leaf):
                    activation = run(_as_input(self.model, leaf))[:, filter_idx].mean()
                gradient = _gradient_of(activation, leaf)
                image = image + lr * gradient / (gradient.square().mean().sqrt() + 1e-5)
                output.append(image.cpu())
        self.activation, self.gradients = activation.detach().cpu(), gradient.cpu()
        return output

    def _noise(self) -> NDArray[np.uint8]:
        """FlashTorch's grey noise, `[H, W, 3]`."""
        size = (self._img_size, self._img_size, 3)
        return np.random.default_rng(self.seed).uniform(150, 180, size).astype(np.uint8)

    def _conv(self, layer: nn.Conv2d | str) -> nn.Conv2d:
        found = get_layer(self.model, layer)
        if not isinstance(found, nn.Conv2d):
            raise TypeError(f"the layer must be a Conv2d, this is a {type(found).__name__}.")
        return found

    def _filter(self, conv: nn.Conv2d, filter_idx: Any) -> int:
        chosen = whole("a filter", filter_idx)
        if not 0 <= chosen < conv.out_channels:
            raise ValueError(
                f"there is no filter {chosen}: this layer has 0 to {conv.out_channels - 1}."
            )
        return chosen

    @contextmanager
    def _for_now(self, lr: float | None) -> Iterator[None]:
        """Another step for one call: FlashTorch would keep it for all that follow."""
        before = self._lr
        self._lr = before if lr is None else lr
        try:
            yield
        finally:
            self._lr = before


@contextmanager
def _at_work(model: nn.Module, use_gpu: bool) -> Iterator[torch.device]:
    """The model ready for gradients, on the GPU if that is wanted; afterwards as it was."""
    with differentiable(model):
        if use_gpu and torch.cuda.is_available():
            model.to("cuda")
        elif use_gpu:
            warnings.warn(
                "use_gpu=True, but PyTorch finds no CUDA device here: working on the CPU.",
                stacklevel=callers_level(),
            )
        yield next((weight.device for weight in model.parameters()), torch.device("cpu"))


@contextmanager
def _channels_explained(model: nn.Module, image: Tensor) -> Iterator[None]:
    """Say what is wrong where no convolution of the model takes as many channels."""
    try:
        yield
    except RuntimeError as error:
        takes = [m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
        if not takes or image.shape[1] in takes:
            raise
        raise ValueError(
            f"the image has {image.shape[1]} channels, but the model takes {takes[0]}. A grey "
            "image becomes RGB with image.expand(-1, 3, -1, -1); for a network that takes grey "
            "images, give GradientAscent.optimize a start of one channel as input_."
        ) from error


def _as_input(model: nn.Module, leaf: Tensor) -> Tensor:
    """The image as the model takes it, and a copy: the model may change its input in place."""
    return to_model(model, leaf).clone()


def _gradient_of(score: Tensor, image: Tensor, *, guided: bool = False) -> Tensor:
    if not score.requires_grad:
        raise ValueError("the score does not depend on the image.")
    return guided_gradient(score, image) if guided else torch.autograd.grad(score, image)[0]


def _class_score(scores: Any, target_class: int | None) -> Tensor:
    """The score of one class of one image; of a network with a single output, that output."""
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"the model returns {type(scores).__name__}, not a tensor of class scores. Wrap it in "
            "a module whose forward returns them."
        )
    row = scores.reshape(-1)
    if scores.ndim > 2 or (scores.ndim == 2 and len(scores) != 1):
        raise ValueError(f"scores of one image must be [1, classes], got {list(scores.shape)}.")
    if target_class is None:
        return row[row.argmax()]
    wanted = whole("target_class", target_class)
    if not 0 <= wanted < len(row):
        raise ValueError(f"there is no class {wanted}: the model has classes 0 to {len(row) - 1}.")
    return row[wanted]


def _check_image(image: Any) -> None:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(
            f"the image must be a tensor of floats [1, C, H, W], got {kind}. apply_transforms "
            "makes one of a Pillow image."
        )
    if image.ndim == 3:
        raise ValueError(f"the image {list(image.shape)} lacks its first dimension: image[None].")
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(
            f"one image at a time, [1, C, H, W]; got {list(image.shape)}. Of a batch, take "
            "images[[i]]; vizhelpers.saliency_maps takes batches."
        )


def _draw_grey_as_grey() -> None:
    """Give a picture of one channel grey instead of pyplot's colours, in the first panel and last.

    FlashTorch draws into pyplot's current figure.
    """
    import matplotlib.pyplot as plt

    panels = plt.gcf().axes
    for panel in (panels[0], panels[1], panels[-1]):
        panel.images[0].set_cmap("gray")
