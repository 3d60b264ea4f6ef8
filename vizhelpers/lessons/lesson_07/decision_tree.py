"""Decision tree for a network that does not work: from the symptom to where to look first."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from vizhelpers.figures import COLOURS, DPI, FAINT, MUTED, Picture


class Leaf(NamedTuple):
    """One way through the tree: what is seen, where to look first, and what tells."""

    symptom: str
    look: str
    telltale: str


TREE = {
    "The training does not\ngo as it should": (
        Leaf(
            "The loss is huge, grows,\nor becomes NaN",
            "activations; then\nthe gradients",
            "they grow from layer to layer, or are far\nlarger than usual: it explodes",
        ),
        Leaf(
            "The loss stays, even if you\ntrain on one batch only",
            "gradients, then\nthe activations",
            "no gradient arrives: it vanishes, a branch\nis cut off, or units are always 0 (dead)",
        ),
        Leaf(
            "It learns pictures by heart,\nbut guesses on new ones",
            "inputs and labels,\nas the loss gets them",
            "labels of other pictures, or augmentation\nremoves what the label is about",
        ),
        Leaf(
            "The loss falls, but stays\ntoo high",
            "what has moved;\nthen the curves",
            "a layer has not moved: it is frozen; or\nthe loss has a floor: softmax twice",
        ),
    ),
    "Training went well,\nnow it is wrong": (
        Leaf(
            "Much of it is wrong,\nwithout a pattern",
            "inputs; then what has\nmoved from the file",
            "odd mean, spread, colours or size;\nor weights that are not the file's",
        ),
        Leaf(
            "Always the same classes\nare wrong",
            "mistakes, in a table",
            "all of one class land in one other:\nthe labels or names are exchanged",
        ),
        Leaf(
            "The same picture, in another\nbatch, gets another answer",
            "the same again, alone\nand in company",
            "the answer depends on the company:\nBatchNorm is in training mode",
        ),
        Leaf(
            "Right on its own pictures,\nwrong on those from elsewhere",
            "class activation maps",
            "they glow beside the object: the network\nlooks at something else, a shortcut",
        ),
    ),
    "It answers right, but\nsomething is odd": (
        Leaf(
            "Any picture size fits, or the\nnumber of weights surprises",
            "summary",
            "shapes that you did not plan, hidden\nby an adaptive pool",
        ),
        Leaf(
            "An explanation has changed,\nthough nothing else has",
            "saliency, two classes;\nhooks that are left",
            "two classes, one map: a hook of earlier\ncode still works",
        ),
    ),
}
"""What is wrong, in general; below it the symptoms, in the order in which to ask for them."""

HEADINGS = ("1. What is wrong?", "2. The first that fits", "3. Look here first", "4. Ill, if …")
PLACES = (0.08, 2.46, 5.43, 7.45)  # where the columns begin, in inches
WIDE, HIGH, GROUP, ROW = 10.8, 7.5, 1.98, 0.68  # the page, a group's width, the height of a row
SIZE = 11  # points: on a page of 900 pixels still as large as a footnote


def draw_decision_tree() -> Picture:
    """Draw the decision tree: symptom, where to look first, what tells; one page to print.

    Print it with ``draw_decision_tree().savefig("clinic.pdf")``.
    """
    figure = Picture(figsize=(WIDE, HIGH), dpi=DPI)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDE), ylim=(HIGH, 0))
    ax.axis("off")
    for place, heading in zip(PLACES, HEADINGS, strict=True):
        _write(ax, place, 0.26, heading, color=MUTED)
    top, number = 0.48, 0
    for colour, (group, leaves) in zip(COLOURS, TREE.items(), strict=False):
        middle = top + (ROW * len(leaves) - 0.12) / 2
        _draw_group(ax, group, middle, colour)
        for leaf in leaves:
            number += 1
            _draw_branch(ax, middle, top + 0.28, colour)
            _draw_leaf(ax, number, leaf, top + 0.28, colour)
            top += ROW
        top += 0.1
    return figure


def _draw_group(ax: Axes, words: str, middle: float, colour: str) -> None:
    _draw_box(ax, (PLACES[0], middle - 0.42), (GROUP, 0.84), fc=(colour, 0.2), ec=colour, lw=2.5)
    _write(ax, PLACES[0] + GROUP / 2, middle, words, weight="bold", ha="center")


def _draw_branch(ax: Axes, start: float, end: float, colour: str) -> None:
    """A curve from a group to one of its symptoms."""
    left, right = PLACES[0] + GROUP, PLACES[1] - 0.06
    middle = (left + right) / 2
    points = [(left, start), (middle, start), (middle, end), (right, end)]
    curve = Path(points, [Path.MOVETO, *[Path.CURVE4] * 3])
    ax.add_patch(PathPatch(curve, fc="none", ec=colour, lw=2))


def _draw_leaf(ax: Axes, number: int, leaf: Leaf, middle: float, colour: str) -> None:
    """One row: number and symptom, where to look, what tells."""
    _draw_box(ax, (PLACES[1] - 0.06, middle - 0.28), (WIDE - PLACES[1], 0.56), ec=colour, lw=1.3)
    _write(ax, PLACES[1] + 0.24, middle, str(number), weight="bold", ha="right")
    _write(ax, PLACES[1] + 0.36, middle, leaf.symptom)
    _write(ax, PLACES[2], middle, leaf.look, weight="bold")
    _write(ax, PLACES[3], middle, leaf.telltale)
    for place in PLACES[2:]:
        ax.plot([place - 0.12] * 2, [middle - 0.2, middle + 0.2], color=FAINT, lw=1)


def _draw_box(
    ax: Axes, corner: tuple[float, float], size: tuple[float, float], **style: Any
) -> None:
    shape = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch(corner, *size, shape, **{"fc": "white", **style}))


def _write(ax: Axes, place: float, middle: float, words: str, **style: Any) -> None:
    ax.text(place, middle, words, va="center", fontsize=SIZE, linespacing=1.15, **style)
