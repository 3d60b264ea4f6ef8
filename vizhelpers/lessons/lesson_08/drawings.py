"""Drawings of lesson 08. They only draw: every number in them is given to them."""

from collections.abc import Mapping, Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import vizhelpers as vh
from vizhelpers.lessons.lesson_08.checklist import Checked

# Blue and orange of Okabe and Ito, made pale; the marks say the same without colours.
_LOOKS = {True: ("✓", "#cfe3f2"), False: ("✗", "#f6cfae"), None: ("–", "#eeeeee")}
_BLUE = to_rgb("#56B4E9")
PAGE, LEFT, COLUMN, ROW, HEAD = 10.4, 2.9, 2.8, 0.44, 0.55  # inches
Cell = tuple[str, str | tuple[float, ...]]  # words and colour


def checklists(cases: Mapping[str, Checked]) -> Figure:
    """Draw checklists side by side: above each its map, a row for each question.

    Args:
        cases: By name, what `before_you_believe` has found.
    """
    checked = list(cases.values())
    questions = [line.question for line in checked[0].lines]
    cells = [
        [(f"{_LOOKS[line.passes][0]}  {line.measured}", _LOOKS[line.passes][1]) for line in lines]
        for lines in zip(*(each.lines for each in checked), strict=True)
    ]
    width, below = LEFT + COLUMN * len(cases), HEAD + ROW * len(questions)
    figure = vh.new_figure(width, COLUMN + below)
    for column, each in enumerate(checked):
        box = (LEFT + COLUMN * column, below, COLUMN - 0.04, COLUMN)
        ax = _axes(figure, box)
        vh.overlay(each.picture, each.heat, ax=ax, colorbar=False)
    _table(_axes(figure, (0, 0, width, below)), questions, list(cases), cells)
    return figure


def what_applies(shares: Mapping[str, Mapping[str, tuple[int, int]]]) -> Figure:
    """Draw which tool applies to how many layers of which model.

    Args:
        shares: For each model, for each tool: to how many layers it applies, and of how many.
    """
    tools = list(next(iter(shares.values())))
    cells: list[list[Cell]] = [
        [(f"{some} of {every}", _shade(some / every)) for some, every in found.values()]
        for found in shares.values()
    ]
    size = PAGE, HEAD + ROW * len(shares)
    figure = vh.new_figure(*size)
    _table(
        _axes(figure, (0, 0, *size)), list(shares), tools, cells, wide=(PAGE - LEFT) / len(tools)
    )
    return figure


def _shade(share: float) -> tuple[float, ...]:
    """White for 0, and more blue the larger the share."""
    return tuple(1 - share * (1 - part) for part in _BLUE)


def _axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes at a place in inches from the lower left corner."""
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    x, y, wide, high = box
    return figure.add_axes((x / width, y / height, wide / width, high / height))


def _table(
    ax: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[Cell]],
    wide: float = COLUMN,
) -> None:
    """Write names at the left and above, and cells of words and colour."""
    for column, name in enumerate(columns):
        x = LEFT + wide * (column + 0.5)
        ax.text(x, -0.15, fill(name, round(wide * 9)), fontsize=11, ha="center", va="bottom")
    for row, name in enumerate(rows):
        ax.text(0.05, row + 0.5, name, fontsize=11, va="center")
        for column, (words, colour) in enumerate(cells[row]):
            x = LEFT + wide * column
            ax.add_patch(Rectangle((x, row), wide, 1, facecolor=colour, edgecolor="white", lw=2))
            ax.text(x + wide / 2, row + 0.5, words, fontsize=11, ha="center", va="center")
    ax.set(xlim=(0, LEFT + wide * len(columns)), ylim=(len(rows), -HEAD / ROW))
    ax.axis("off")
