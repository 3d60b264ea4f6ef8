"""The methods that the course compares, one table for class activation maps, one for saliency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vizhelpers._utils.messages import did_you_mean


@dataclass(frozen=True)
class Method:
    """What a method does, for tables.

    Attributes:
        idea: How the map is made, in a few words.
        paper: Where it was published.
        gradients: Whether a backward pass is needed.
        asks_class: Whether the map depends on the class that is asked for.
        adds_up: Whether the values are shares of the score, so that those of a pixel's channels
            add up to the pixel's share; otherwise they say how sensitive the score is.
    """

    idea: str
    paper: str
    gradients: bool = True
    asks_class: bool = True
    adds_up: bool = False


CLASS_MAPS = {
    "GradCAM": Method("channels × mean gradient", "arXiv:1610.02391"),
    "HiResCAM": Method("activation × gradient, place by place", "arXiv:2011.08891"),
    "GradCAMPlusPlus": Method("channels × positive gradients", "arXiv:1710.11063"),
    "XGradCAM": Method("channels × activation-weighted gradient", "arXiv:2008.02312"),
    "LayerCAM": Method("activation × positive gradient", "doi:10.1109/TIP.2021.3089943"),
    "EigenCAM": Method(
        "first component, of arbitrary sign", "arXiv:2008.00299", gradients=False, asks_class=False
    ),
    "ScoreCAM": Method("channels × score of what they show", "arXiv:1910.01279", gradients=False),
    "AblationCAM": Method(
        "channels × loss of score without them",
        "doi:10.1109/WACV45572.2020.9093360",
        gradients=False,
    ),
    "FullGrad": Method("input and biases × gradients", "arXiv:1905.00780"),
}
"""Classes of pytorch-grad-cam, by name."""

SALIENCY = {
    "Gradient": Method("change of the score with each value", "arXiv:1312.6034"),
    "GuidedBackprop": Method("the same, positive parts only at ReLUs", "arXiv:1412.6806"),
    "SmoothGrad": Method("mean gradient of noisy copies", "arXiv:1706.03825"),
    "GradientXInput": Method("gradient times input", "arXiv:1605.01713", adds_up=True),
    "IntegratedGradients": Method(
        "mean gradient on the way from a baseline, times the way", "arXiv:1703.01365", adds_up=True
    ),
    "Occlusion": Method(
        "loss of score with a patch covered", "arXiv:1311.2901", gradients=False, adds_up=True
    ),
}
"""Methods of `saliency_maps`, by name."""


def check_method(method: str, table: Mapping[str, Method]) -> None:
    """Refuse a method's name that is not in the table."""
    if not isinstance(method, str):
        raise TypeError(
            f"method is the name of one, such as {next(iter(table))!r}; got {method!r}."
        )
    if method not in table:
        question = f"{did_you_mean(method, table)} " if did_you_mean(method, table) else ""
        raise ValueError(f"no method {method!r}. {question}There is {', '.join(table)}.")
