"""Load a network: trained by the course, untrained, with ImageNet weights, or from a file."""

import contextlib
import os
import sys
import urllib.request
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import whole
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import refuse
from vizhelpers._utils.paths import WEIGHTS
from vizhelpers._utils.random_numbers import own_random_numbers
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD
from vizhelpers.zoo.state_dicts import explain_mismatch, read_tensors

if TYPE_CHECKING:
    from PIL import Image

TIMEOUT = 10.0
"""Seconds to wait for the server of the ImageNet weights to answer."""


class WeightsUnavailable(RuntimeError):  # noqa: N818 (reads better in `except`)
    """ImageNet weights are neither in the cache nor to be had.

    Args:
        message: Everything a person needs to get them, or to do without.
        headline: The same in one line that is equal on every machine, for lessons to print.
    """

    def __init__(self, message: str, headline: str) -> None:
        super().__init__(message)
        self.headline = headline


@dataclass(frozen=True)
class ModelInfo:
    """What else is to be known about a loaded network; `load_model` puts it on ``model.info``.

    Args:
        name: The architecture, as torchvision calls it.
        weights: Where the weights are from, such as ``"course, fair"`` or ``"untrained"``.
        classes: Names of the outputs, in order.
        input_size: Height and width, in pixels, that `transform` makes.
        mean: Mean of each channel that normalised input had subtracted.
        std: Standard deviation of each channel that normalised input was divided by.
        transform: From a PIL image, or a tensor ``[3, H, W]`` or ``[N, 3, H, W]`` (uint8, or float
            in [0, 1]), to normalised float32 input. An image that has the right size already
            keeps its pixels; another is resized and cut to its middle.
    """

    name: str
    weights: str
    classes: tuple[str, ...] = field(repr=False)
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transform: Callable[["Image.Image | Tensor"], Tensor] = field(repr=False)


@clear_errors
def load_model(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = "course",
    twin: str = "fair",
    seed: int = 0,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Load a network in eval mode, with a `ModelInfo` as ``model.info``.

    Args:
        name: ``"alexnet"``, ``"vgg11"`` or ``"resnet18"``; ``"efficientnet_lite0"``, which knows
            photos and needs no download; with other `weights` than ``"course"`` any
            classification network of torchvision.
        weights: ``"course"`` for the narrow networks that come with the course, trained on drawn
            scenes. ``"imagenet"`` for the full-size network with torchvision's ``DEFAULT``
            weights, from torch's cache or else downloaded. ``None`` for random weights: in the
            course's narrow network if there is one of that name, else in torchvision's. Or the
            path of a ``.safetensors`` or ``.pth`` file with a state dict, for either of the two.
        twin: Of the course's networks, the one trained on ``"fair"`` backgrounds, on
            ``"shortcut"`` ones that give the class away, or (ResNet18 only) on a ``"mixed"`` lot.
        seed: Of random weights. The global random generators are left alone.
        device: Where to put the network; the CPU by default.

    Raises:
        ValueError: If there is no such network or twin, or a file does not hold its weights.
        FileNotFoundError: If `weights` is a path where nothing is.
        WeightsUnavailable: If ImageNet weights are neither cached nor reachable.

    Example:
        >>> model = load_model("resnet18")  # small, and really trained on the drawn scenes
        >>> model(images).shape
        torch.Size([4, 10])
        >>> cheat = load_model("resnet18", twin="shortcut")
        >>> photos = load_model("efficientnet_lite0")  # ImageNet's 1,000 classes
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string such as 'resnet18', not {type(name).__name__}.")
    if twin != "fair" and weights != "course":
        raise ValueError(f"twin={twin!r} is for the course's networks alone: weights='course'.")
    place, seed = _device(device), whole("seed", seed)
    if name == "efficientnet_lite0" and twin == "fair" and weights in ("course", "imagenet"):
        from vizhelpers.zoo.photo_network import load_photo_network

        model = load_photo_network()
    elif weights is None:
        model = _untrained(name, seed)
    elif weights == "course":
        model = _course(name, twin)
    elif weights == "imagenet":
        model = _imagenet(name)
    elif isinstance(weights, str | os.PathLike):
        model = _from_file(name, Path(weights).expanduser())
    else:
        raise TypeError(
            f"weights must be 'course', 'imagenet', None or a path, not {type(weights).__name__}."
        )
    return model.eval().to(place)


def _device(device: str | torch.device | None) -> torch.device:
    try:
        return torch.device(device or "cpu")
    except RuntimeError as error:
        raise ValueError(f"device: {error}") from error


def _course(name: str, twin: str) -> nn.Module:
    from vizhelpers.zoo.architectures import ARCHITECTURES

    if name not in ARCHITECTURES:
        also = "For torchvision's full-size networks give weights='imagenet' or weights=None."
        refuse(f"The course has trained no network {name!r}", name, list(ARCHITECTURES), also)
    twins = [
        path.stem.removeprefix(f"{name}-") for path in sorted(WEIGHTS.glob(f"{name}-*.safetensors"))
    ]
    if not twins:
        raise ValueError(
            f"No weights of {name} in {_short(WEIGHTS)}. Copy them again from the course, "
            "or make them: python -m vizhelpers train"
        )
    if twin not in twins:
        refuse(f"There is no {twin!r} twin of {name}", str(twin), twins)
    path = WEIGHTS / f"{name}-{twin}.safetensors"
    model = _filled(deepcopy(_empty_course(name)), read_tensors(path), path)
    return _with_info(model, _course_info(name, f"course, {twin}"))


def _untrained(name: str, seed: int) -> nn.Module:
    from vizhelpers.zoo.architectures import ARCHITECTURES

    with own_random_numbers(seed):
        if name in ARCHITECTURES:
            return _with_info(ARCHITECTURES[name](), _course_info(name, "untrained"))
        return _with_info(_torchvision(name)(), _imagenet_info(name, "untrained"))


def _from_file(name: str, path: Path) -> nn.Module:
    """Fill the course's narrow network or torchvision's, whichever the file fits better."""
    from vizhelpers.zoo.architectures import ARCHITECTURES

    choices = [(_empty(_torchvision(name)), _imagenet_info)]
    if name in ARCHITECTURES:
        choices.insert(0, (_empty(ARCHITECTURES[name]), _course_info))
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no weights file {_short(path)}. weights may be 'course', 'imagenet', None "
            "or the path of a .safetensors or .pth file."
        )
    state = read_tensors(path)
    model, info = min(choices, key=lambda choice: _differences(choice[0], state))
    return _with_info(_filled(model, state, path), info(name, path.name))


def _imagenet(name: str) -> nn.Module:
    from torchvision.models import get_model, get_model_weights

    _torchvision(name)
    weights = get_model_weights(name).DEFAULT
    path = hub_path(weights.url)
    if not path.is_file():
        _download(name, weights, path)
    # torchvision itself would unpickle whatever the file holds; after this it holds tensors only.
    read_tensors(path, "Delete that file and try again: it will be downloaded anew.")
    with own_random_numbers(0):
        try:
            model = get_model(name, weights=weights)
        except RuntimeError as error:
            raise ValueError(
                f"{_short(path)} does not hold the weights of {name}. Delete that file and try "
                f"again: it will be downloaded anew. ({str(error).splitlines()[-1].strip()})"
            ) from error
    return _with_info(model, _imagenet_info(name, f"imagenet, {weights.name}"))


def hub_path(url: str) -> Path:
    """Where torch keeps the weights that it has downloaded from an address, if it has."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])


def _download(name: str, weights: Any, path: Path) -> None:
    """Fetch weights into torch's cache, or say in words what is missing and what to do."""
    try:
        if os.environ.get("VIZHELPERS_OFFLINE") == "1":
            raise OSError("VIZHELPERS_OFFLINE=1 forbids to try")
        # torch waits for an answer without limit, so find out first whether there is one.
        request = urllib.request.Request(weights.url, method="HEAD")
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
        # torch prints the path to stdout, where a notebook would keep it.
        with contextlib.redirect_stdout(sys.stderr):
            weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:
        from vizhelpers.zoo.architectures import ARCHITECTURES

        size = f"{weights.meta.get('_file_size', 0):.0f} MB"
        if name in ARCHITECTURES:
            instead = f"load_model({name!r}) needs no download"
        else:
            instead = f"load_model({name!r}, weights=None) needs no download, but is untrained"
        headline = f"The ImageNet weights of {name} ({size}) are not here; {instead}."
        message = (
            f"The ImageNet weights of {name} are not on this machine and could not be "
            f"downloaded ({error}).\n"
            f"  Download:    {size} from {weights.url}\n"
            f"  It goes to:  {_short(path)}\n"
            f"  Without it:  {instead}."
        )
        raise WeightsUnavailable(message, headline) from error


def _filled(model: nn.Module, state: dict[str, Tensor], path: Path) -> nn.Module:
    """Give an empty network its weights."""
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        why = explain_mismatch(model, state)
        raise ValueError(f"{_short(path)} does not fit {type(model).__name__}:\n{why}") from error
    return model


def _differences(model: nn.Module, state: dict[str, Tensor]) -> int:
    """How many tensors are not in both, or in another shape."""
    ours, theirs = (
        {(name, tensor.shape) for name, tensor in tensors.items()}
        for tensors in (model.state_dict(), state)
    )
    return len(ours ^ theirs)


def _empty(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without drawing weights that are about to be replaced."""
    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:  # RegNet reckons its widths with tensors
        with own_random_numbers(0):
            return build()


@cache
def _empty_course(name: str) -> nn.Module:
    """The course's network without weights, to be copied: that is faster than to build it."""
    from vizhelpers.zoo.architectures import ARCHITECTURES

    return _empty(ARCHITECTURES[name])


def _torchvision(name: str) -> Callable[[], nn.Module]:
    """Return torchvision's function that builds the full-size network without weights."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        refuse(f"torchvision has no classification network {name!r}", name, names)
    return partial(models.get_model, name, weights=None)


def _with_info(model: nn.Module, info: ModelInfo) -> nn.Module:
    model.info = info  # type: ignore[assignment]  # nn.Module is declared to hold tensors only
    return model


def _course_info(name: str, weights: str) -> ModelInfo:
    from torchvision.models import AlexNet_Weights

    from vizhelpers.scenes import CLASSES
    from vizhelpers.zoo.architectures import INPUT_SIZE

    preset = AlexNet_Weights.DEFAULT.transforms(
        crop_size=INPUT_SIZE, resize_size=INPUT_SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    return _info(name, weights, tuple(CLASSES), preset)


def _imagenet_info(name: str, weights: str) -> ModelInfo:
    from torchvision.models import get_model_weights

    default = get_model_weights(name).DEFAULT
    return _info(name, weights, tuple(default.meta["categories"]), default.transforms())


def _info(name: str, weights: str, classes: tuple[str, ...], preset: Any) -> ModelInfo:
    mean, std = tuple(preset.mean), tuple(preset.std)
    prepare = partial(_prepare, preset=preset)
    return ModelInfo(name, weights, classes, preset.crop_size[0], mean, std, prepare)


def _prepare(image: "Image.Image | Tensor", *, preset: Callable[..., Tensor]) -> Tensor:
    return preset(image if isinstance(image, Tensor) else image.convert("RGB"))


def _short(path: Path) -> str:
    """Write a path with ~ for the home folder."""
    with contextlib.suppress(ValueError):
        return str(Path("~") / path.absolute().relative_to(Path.home()))
    return str(path)
