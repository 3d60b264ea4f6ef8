"""The tools of the clinic: each shows one thing of a patient as one picture.

Every tool takes a patient from `open_case`, and is made with the course's plain functions. Those
that draw numbers by layer, and the curves, take a second patient, such as the healthy twin, to
draw both on one scale.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from torch import Tensor

import vizhelpers as vh
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import TINY, Picture
from vizhelpers.lessons.lesson_07 import measurements as measure
from vizhelpers.lessons.lesson_07 import panels
from vizhelpers.lessons.lesson_07.case import Case
from vizhelpers.lessons.lesson_07.names import TOOLS, check_name
from vizhelpers.plotting import overlay

if TYPE_CHECKING:
    from vizhelpers.inspection.summary import Summary

ROW = 4  # pictures side by side


@clear_errors
def summary(case: Case) -> Summary:
    """Show the layers of the network: their shapes, parameters, and whether they may learn."""
    columns = ["output_size", "num_params", "trainable"]
    return vh.summarize(case.model, input_data=case.inputs[:1], columns=columns, depth=2)


@clear_errors
def inputs(case: Case, *, first: int = 0) -> Picture:
    """Show photos with their labels, the same as the network gets them, and their numbers.

    Args:
        case: The patient.
        first: The first of the photos.
    """
    some = slice(first, first + ROW)
    names = [case.classes[label] for label in case.labels[some]]
    return panels.draw_inputs(case.photos[some], seen(case)[some], names, case.inputs)


@clear_errors
def weights(case: Case) -> Picture:
    """Show how the weights of each layer are distributed."""
    return vh.inspection.show_weight_stats(case.model, title="weights by layer")


@clear_errors
def feature_maps(case: Case, layer: str, *, picture: int = 0) -> Axes:
    """Show what a layer makes of one picture: its feature maps.

    Args:
        case: The patient.
        layer: The layer's name.
        picture: Which of the photos.
    """
    found = vh.capture(case.model, case.inputs[picture : picture + 1], layer).map
    tiles = found if found.ndim == 3 else found.reshape(-1, 1, 1)
    image = seen(case)[picture]
    return vh.show_mosaic(tiles, image=image, title=f"what {layer} makes of this picture")


@clear_errors
def activations(case: Case, twin: Case | None = None) -> Picture:
    """Show by layer how large the outputs are, and how many units are never above zero."""
    found = {who: measure.activity(each) for who, each in _both(case, twin).items()}
    shares = "share of units that are never above zero (ReLUs)"
    sizes = {who: {name: a.size for name, a in layers.items()} for who, layers in found.items()}
    silent = {
        who: {name: a.silent for name, a in layers.items() if not math.isnan(a.silent)}
        for who, layers in found.items()
    }
    return panels.draw_by_layer({"mean absolute output": sizes, shares: silent}, shares=shares)


@clear_errors
def gradients(case: Case, twin: Case | None = None) -> Picture:
    """Show by layer how large the gradient of the loss is at its weights, on a batch."""
    found = {who: measure.gradient_sizes(each) for who, each in _both(case, twin).items()}
    return panels.draw_by_layer({"mean absolute gradient of the loss": found})


@clear_errors
def cam(case: Case, target: str | None = None) -> Axes | Picture:
    """Show which places speak for a class: Grad-CAM of four pictures.

    Args:
        case: The patient.
        target: The name of a class; by default each picture's answer.
    """
    wanted = None
    if target is not None:
        check_name("this patient knows no class", target, case.classes)
        wanted = case.classes.index(target)
    try:
        heat = measure.class_heat(case, wanted, ROW)
    except ValueError:
        return panels.say("Grad-CAM has nothing to show: no layer with maps leads to the answer.")
    names = [case.classes[answer] for answer in case.answers()[:ROW]]
    labels = [f"asked for {target}" if target else f"says {name}" for name in names]
    return overlay(seen(case)[:ROW], heat, labels=labels, columns=ROW, title="Grad-CAM")


@clear_errors
def saliency(case: Case, *, picture: int = 0) -> Axes | Picture:
    """Show to which pixels the scores of the likely classes are sensitive: red for, blue against.

    Args:
        case: The patient.
        picture: Which of the photos.
    """
    try:
        gradients = measure.class_gradients(case, picture)
    except ValueError:
        return panels.say("There is no gradient to show: the scores do not depend on the picture.")
    signed = gradients.sum(dim=1)
    title = "gradients, each to its largest value; with the first they correlate by at least"
    return overlay(
        seen(case)[picture],
        signed / signed.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12),
        labels=[case.classes[which] for which in measure.likely_classes(case, picture)],
        parts=["photo", "overlay"],
        columns=3,
        title=f"{title} {measure.least_alike(gradients):.2f}".replace("-", "\N{MINUS SIGN}"),
    )


@clear_errors
def curves(case: Case, twin: Case | None = None) -> Picture:
    """Show loss and accuracy during the training."""
    if case.history is None:
        return panels.say("There are no curves to show: this network came trained.")
    both = _both(case, twin).items()
    return panels.draw_curves({who: each.history for who, each in both if each.history})


@clear_errors
def mistakes(case: Case) -> Picture:
    """Show what is taken for what, and four pictures that it gets wrong."""
    answers = case.answers()
    wrong = (answers != case.labels).nonzero()[:ROW, 0]
    names = [
        f"{case.classes[case.labels[n]]}: says {case.classes[answers[n]]}" for n in wrong.tolist()
    ]
    share = measure.agreement(answers, case.labels)
    return panels.draw_mistakes(
        measure.confusion(case), case.classes, case.photos[wrong], names, share
    )


@clear_errors
def moved(case: Case, twin: Case | None = None) -> Picture:
    """Show by layer how far it is from its start: before the training, or in the file."""
    found = {who: measure.moved(each) for who, each in _both(case, twin).items()}
    return panels.draw_by_layer({"distance from the start, as a share of its size there": found})


@clear_errors
def again(case: Case) -> Axes:
    """Show what the answer to a picture becomes, asked alone and among others."""
    chances: dict[str, dict[str, float]] = {}
    for picture in range(ROW):
        found = measure.in_company(case, picture)
        best = int(found["alone"].argmax())
        name = f"photo {picture}: {case.classes[best]}"
        for how, probabilities in found.items():
            chances.setdefault(how, {})[name] = float(probabilities[best])
    return vh.show_scores(
        chances, percent=True, title="the probability of the answer that it gives when asked alone"
    )


@clear_errors
def show(case: Case, tool: str) -> Axes | Picture:
    """Show the picture of a tool by the tool's name, for pickers; the summary as a drawing, too.

    Args:
        case: The patient.
        tool: One of ``names.TOOLS``. Feature maps are those of the first layer.

    Raises:
        ValueError: There is no such tool; the nearest are named.
    """
    check_name("there is no tool", tool, TOOLS)
    if tool == "summary":
        words = repr(summary(case))
        return panels.say(words, size=TINY, lines=words.count("\n") + 1)
    if tool == "feature_maps":
        return feature_maps(case, vh.list_layers(case.model, measure.WEIGHTED)[0])
    found: Axes | Picture = globals()[tool](case)
    return found


def seen(case: Case) -> Tensor:
    """What the network gets as one sees it: with the usual normalisation taken back, [N, 3, h, w].

    Of a network that was made with another normalisation than it gets, it looks wrong.
    """
    return vh.denormalize(case.inputs).clamp(0, 1).float()


def _both(case: Case, twin: Case | None) -> dict[str, Case]:
    one = {f"patient {case.letter}": case}
    return one if twin is None else one | {"its healthy twin": twin}
