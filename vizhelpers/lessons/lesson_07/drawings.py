"""Drawings of lesson 07. They only draw: every number in them is given to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import vizhelpers as vh
from vizhelpers.figures import COLOURS, FAINT, MUTED, SMALL, Picture

STYLES = ("-", "--", ":", "-.")


def draw_losses(losses: Mapping[str, Sequence[float]], *, guess: float) -> Picture:
    """Draw the losses of several trainings, step by step, and what guessing would reach.

    Args:
        losses: Maps a training's name to its loss at each step.
        guess: The loss of equal probabilities for all classes, a dotted line.
    """
    figure = vh.new_figure(9, 3.4)
    ax = figure.subplots()
    for (name, values), colour, style in zip(losses.items(), COLOURS, STYLES, strict=False):
        ax.plot(values, style, color=colour, lw=2, label=name)
    ax.axhline(guess, color=MUTED, linestyle=(0, (1, 2)), label="guessing")
    ax.set(xlabel="step", ylabel="loss")
    ax.set_ylim(bottom=0)
    ax.grid(color=FAINT)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center right", frameon=False, fontsize=SMALL)
    return figure
