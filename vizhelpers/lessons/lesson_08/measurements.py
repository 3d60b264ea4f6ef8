"""What lesson 08 measures: tokens that change, answers that stay, and where a tool applies."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.lessons.lesson_08.networks import Subject

TOOLS = ("kernels", "maps", "cam", "saliency", "ascent")  # of the explorer


def token_changes(
    model: nn.Module, before: Tensor, after: Tensor, layers: Sequence[str]
) -> dict[str, Tensor]:
    """Compare the tokens of a vision transformer for two pictures, patch by patch.

    Args:
        model: Its layers return tokens `[1, T, D]`: others first, then those of the patches, row
            by row.
        before: `[1, 3, H, W]`, as the model takes it.
        after: The same picture, changed somewhere.
        layers: Names of layers.

    Returns:
        For each layer `[h, w]`: how far each patch's token moved, as a share of its length.
    """
    with torch.no_grad():
        old, new = (vh.capture(model, batch, list(layers)) for batch in (before, after))
    found = {}
    for name in layers:
        a, b = old[name][0][0], new[name][0][0]
        side = int(len(a) ** 0.5)  # a class token or a few registers do not make it a square
        moved = (a - b).norm(dim=1) / a.norm(dim=1)
        found[name] = moved[-side * side :].view(side, side)
    return found


def answers_right(model: nn.Module, batch: Tensor, labels: Tensor) -> Tensor:
    """Which answers of a classifier are right: bool `[N]`."""
    with torch.no_grad():
        return model(batch).argmax(dim=1) == labels


def sure_of(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    transforms: Mapping[str, Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """Ask a classifier about pictures that are normalised in several ways.

    Args:
        model: In eval mode.
        images: `[N, 3, H, W]` in [0, 1].
        classes: `[N]`, the class whose probability is wanted.
        transforms: From pictures to what the model takes, by name.

    Returns:
        For each transform the probabilities `[N]`.
    """
    found = {}
    with torch.no_grad():
        for name, transform in transforms.items():
            probabilities = model(transform(images)).softmax(dim=1)
            found[name] = probabilities.gather(1, classes[:, None])[:, 0]
    return found


def where_tools_apply(models: Mapping[str, Subject]) -> dict[str, dict[str, tuple[int, int]]]:
    """Count to how many layers of each model each tool of the explorer applies.

    Args:
        models: By name.

    Returns:
        For each model, for each tool by its title: how many layers, and of how many.
    """
    found = {}
    for name, each in models.items():
        explorer = vh.explore(
            each.model,
            each.images[:1],
            transform=each.transform,
            classes=each.classes,
            output=each.output,
            pane="layer",  # the cheapest to begin with
        )
        layers = explorer.layers[1:]  # the first is the whole model
        found[name] = {
            explorer.panes[tool]: (sum(not explorer.why_not(k, tool) for k in layers), len(layers))
            for tool in TOOLS
        }
        explorer.close()
    return found
