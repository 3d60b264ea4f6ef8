"""What lesson 03 measures on many pictures, channels or layers at once."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vizhelpers as vh


def channels_off(*channels: int) -> Callable[..., Tensor]:
    """A forward hook that sets channels of a layer's output to zero: an ablation.

    Example:
        >>> with torch.no_grad(), model.layer1.register_forward_hook(channels_off(13)):
        ...     scores = model(images)
    """

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()  # never change the network's own tensor
        output[:, list(channels)] = 0
        return output

    return hook


def without_each(model: nn.Module, layer: str, image: Tensor) -> Tensor:
    """The answers with one channel of a layer switched off, for each channel in turn.

    Args:
        model: A classifier.
        layer: The layer's name.
        image: `[1, 3, H, W]`, normalised.

    Returns:
        Probabilities `[C, classes]`: row i is the answer without channel i.
    """
    channels = torch.arange(len(vh.capture(model, image, layer, stop_early=True).map))

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[channels, channels] = 0  # in copy i of the image, channel i
        return output

    with torch.no_grad(), vh.get_layer(model, layer).register_forward_hook(hook):
        return torch.as_tensor(model(image.expand(len(channels), -1, -1, -1)).softmax(dim=1))


class Needs(NamedTuple):
    """How bright each map is, and how much each is needed; pictures are rows.

    Attributes:
        lost: `[N, C]`, percentage points that the right class loses without the channel.
        brightness: `[N, C]`, the mean of the map.
        peak: `[N, C]`, its largest value.
    """

    lost: Tensor
    brightness: Tensor
    peak: Tensor


def needed_channels(model: nn.Module, layer: str, images: Tensor, labels: Tensor) -> Needs:
    """Switch each channel off, on every picture that the model gets right without that.

    Args:
        model: A classifier.
        layer: The layer's name.
        images: `[N, 3, H, W]`, normalised.
        labels: `[N]`, the right classes.
    """
    maps = vh.capture(model, images, layer, stop_early=True)[layer][0]

    def answers(*off: int) -> Tensor:
        hook = channels_off(*off)
        with torch.no_grad(), vh.get_layer(model, layer).register_forward_hook(hook):
            return torch.as_tensor(model(images).softmax(dim=1))

    before, own = answers(), labels[:, None]
    right = before.argmax(1) == labels
    after = [answers(channel).gather(1, own) for channel in range(maps.shape[1])]
    lost = 100 * (before.gather(1, own) - torch.cat(after, 1))
    return Needs(lost[right], maps.mean((2, 3))[right], maps.amax((2, 3))[right])


def on_object(
    model: nn.Module, layers: Iterable[str], images: Tensor, masks: Tensor
) -> dict[str, tuple[float, float, float]]:
    """Response on the object ÷ its area, layer by layer: does a map look at the object?

    The share of all positive response that lies inside the mask, divided by the share of the
    picture that the mask covers. 1 is what maps that know nothing of the object would score.

    Args:
        model: The network.
        layers: Names of layers that return maps.
        images: `[N, 3, H, W]`, normalised.
        masks: `[N, H, W]` in [0, 1].

    Returns:
        For each layer the median over the pictures, and the ends of their middle half.
    """
    captured = vh.capture(model, images, layers)
    found = {}
    for layer, (maps,) in captured.items():
        response = maps.clamp(min=0)
        small = F.interpolate(masks[:, None], response.shape[2:], mode="area")
        share = (response * small).sum((1, 2, 3)) / response.sum((1, 2, 3))
        low, middle, high = (share / masks.mean((1, 2))).quantile(torch.tensor([0.25, 0.5, 0.75]))
        found[layer] = (float(middle), float(low), float(high))
    return found


def grey_part(
    image: Tensor, mask: Tensor, parts: Tensor, part: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Paint a part of the object grey; as many pixels elsewhere on it; all of it but the part.

    Args:
        image: `[3, H, W]` in [0, 1].
        mask: `[H, W]`, the object.
        parts: `[H, W]`, index in `vh.scenes.PARTS`.
        part: Such as "eye".

    Returns:
        The picture with the part in grey; with the same shape in grey beside it; and with the
        whole object in grey, except for the part.
    """
    chosen, inside = parts == vh.scenes.PARTS.index(part), mask > 0.5
    elsewhere = image.masked_fill(_beside(chosen, inside), 0.5)
    return image.masked_fill(chosen, 0.5), elsewhere, image.masked_fill(inside & ~chosen, 0.5)


def _beside(chosen: Tensor, inside: Tensor) -> Tensor:
    """The same shape, moved to where most of it lies on the object and none of it on itself."""
    height, width = chosen.shape
    size = (2 * height, 2 * width)
    shape = torch.fft.rfft2(chosen.float(), s=size)

    def agree(other: Tensor) -> Tensor:  # how many pixels do, for each way to move the shape
        return torch.fft.irfft2(torch.fft.rfft2(other.float(), s=size) * shape.conj(), s=size)

    good = agree(inside).round() - height * width * (agree(chosen).round() > 0)
    down, across = divmod(int(good.argmax()), size[1])
    return chosen.roll((down, across), (0, 1))


def refuses_backward_hook(model: nn.Module, image: Tensor) -> Tensor:
    """On which layers does `register_full_backward_hook` make the forward pass raise?

    Args:
        model: The network.
        image: `[1, 3, H, W]`.

    Returns:
        Bool `[layers]`, for each module without children, in the model's order.
    """
    refused = []
    for layer in [each for each in model.modules() if not list(each.children())]:
        with layer.register_full_backward_hook(lambda *_: None):
            try:
                model(image)
                refused.append(False)
            except RuntimeError:
                refused.append(True)
    return torch.tensor(refused)


def graph_memory(
    model: nn.Module, images: Iterable[Tensor], keep: Callable[[Tensor], Tensor]
) -> list[float]:
    """Megabytes that the kept outputs hold in memory, after each image; weights not counted.

    Args:
        model: The network.
        images: Each `[N, 3, H, W]`.
        keep: What is kept of each output, such as `lambda output: output.detach()`.
    """
    saved: list[weakref.ref[Tensor]] = []
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:  # called for each tensor that autograd saves
        held = tensor.detach()
        saved.append(weakref.ref(held))
        return held

    kept, sizes = [], []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held):
        for image in images:
            kept.append(keep(model(image.clone())))
            alive = [tensor for each in saved if (tensor := each()) is not None]
            memory = {t.data_ptr(): t.nbytes for t in [*alive, *kept]}
            sizes.append(sum(size for at, size in memory.items() if at not in weights) / 1e6)
            del alive
    return sizes


def with_sigmoids(model: nn.Module) -> nn.Module:
    """Put a sigmoid in the place of every ReLU; the model is changed, and returned."""
    for name, child in model.named_children():
        if isinstance(child, nn.ReLU):
            setattr(model, name, nn.Sigmoid())
        else:
            with_sigmoids(child)
    return model
