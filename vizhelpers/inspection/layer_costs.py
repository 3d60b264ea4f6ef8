"""Layer costs: parameters, multiply-adds and activations of each layer, with the formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from torch import nn

from vizhelpers.figures import Picture, new_figure
from vizhelpers.inspection.summary import summarize

# The layers that nearly all parameters and mult-adds of a network are in.
COSTLY = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
PLAIN, CHOSEN, OTHERS = "#1f77b4", "#d62728", "#b0b8c1"


@dataclass(frozen=True)
class LayerCost:
    """One layer's share of the bill.

    Attributes:
        name: Dotted name, as in ``model.named_modules()``.
        layer: The module itself.
        input_size: Shape of what it received, batch included.
        output_size: Shape of what it returned, batch included.
        parameters: How many numbers it has learned.
        mult_adds: How many multiplications with additions one forward pass takes.
    """

    name: str
    layer: nn.Module
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    parameters: int
    mult_adds: int


@dataclass(frozen=True)
class Budget:
    """What layers cost, in the order in which they ran, and what the whole network costs.

    Attributes:
        layers: The layers that were asked for.
        parameters: Of the whole network, not only of these layers.
        mult_adds: Likewise, for one forward pass.
    """

    layers: tuple[LayerCost, ...]
    parameters: int
    mult_adds: int

    @property
    def names(self) -> list[str]:
        """The layers' names."""
        return [cost.name for cost in self.layers]

    def __getitem__(self, name: str) -> LayerCost:
        """Return the cost of the layer called ``name``; ValueError where there is none."""
        if name not in self.names:
            near = get_close_matches(name, self.names, cutoff=0.0)
            raise ValueError(f"no layer {name!r} in this budget; the nearest: {', '.join(near)}")
        return self.layers[self.names.index(name)]

    def __str__(self) -> str:
        """Say which layers cost the most."""
        return "\n".join([self._largest("parameters"), self._largest("mult_adds")])

    def _largest(self, what: str, count: int = 3) -> str:
        total = getattr(self, what)
        ranked = sorted(self.layers, key=lambda cost: -getattr(cost, what))[:count]
        shares = ", ".join(f"{c.name} {getattr(c, what) / total:.1%}" for c in ranked)
        return f"most {what.replace('_', '-')} of {total:,}: {shares}"

    def explain(self, name: str) -> str:
        """Say in one line what a layer does to shapes, and derive what it costs."""
        cost = self[name]
        sizes = f"{list(cost.input_size)} → {list(cost.output_size)}"
        kind = type(cost.layer).__name__
        counts = f"{formula(cost.layer)} parameters, {cost.mult_adds:,} mult-adds"
        return f"{kind}, {sizes}, {counts}"


def formula(layer: nn.Module) -> str:
    """Derive a layer's parameter count, e.g. ``3×3×64×128 + 128 = 73,856``."""
    total = f"{sum(p.numel() for p in layer.parameters()):,}"
    weight: Any = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        return total
    # PyTorch stores [out, in, height, width]; a formula reads better from the kernel outwards.
    sizes = [*weight.shape[2:], weight.shape[1], weight.shape[0]]
    bias = f" + {layer.bias.numel()}" if layer.bias is not None else ""
    return "×".join(map(str, sizes)) + f"{bias} = {total}"


def layer_budget(
    model: nn.Module,
    input_size: Sequence[int],
    kind: type[nn.Module] | tuple[type[nn.Module], ...] = COSTLY,
) -> Budget:
    """Measure what each layer with parameters of its own costs for one input.

    Args:
        model: Any module that torchinfo can run.
        input_size: Shape of the input, batch included, such as ``(1, 3, 224, 224)``.
        kind: Which layers to list; by default convolutions and linear layers, which cost the most.
            ``nn.Module`` lists all.

    Returns:
        One entry per layer that ran. A layer that ran several times appears once, with the
        mult-adds of its first run.
    """
    summary = summarize(model, input_size)
    names = {id(module): name for name, module in model.named_modules()}
    layers: dict[str, LayerCost] = {}
    for row in summary.statistics.summary_list:
        has_own = any(True for _ in row.module.parameters(recurse=False))
        name = names.get(id(row.module), "")
        if isinstance(row.module, kind) and has_own and name not in layers:
            sizes = tuple(row.input_size), tuple(row.output_size)
            layers[name] = LayerCost(name, row.module, *sizes, row.num_params, row.macs)
    return Budget(tuple(layers.values()), summary.total_params, summary.total_mult_adds or 0)


def show_budget(
    budget: Budget,
    *,
    highlight: str | None = None,
    titles: tuple[str, str] = ("parameters", "mult-adds for one image"),
) -> Picture:
    """Draw parameters and mult-adds of every layer, as shares of the whole.

    Args:
        budget: From `layer_budget`.
        highlight: A layer to draw in red, and to mark with an arrow.
        titles: What to write above the two panels.
    """
    width, height = 7.2, 3.8
    figure = new_figure(width, height)
    # Room for the longest name, which stands at 45°; matplotlib's own layout would take three
    # times as long as the drawing, and a picker would wait for it.
    figure.set_layout_engine(None)
    longest = max(map(len, budget.names), default=0)
    bottom_margin = min(0.6, (longest * 0.045 + 0.2) / height)
    margins = {"left": 0.1, "right": 0.98, "top": 0.92, "bottom": bottom_margin, "hspace": 0.4}
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw=margins)
    parameters = [cost.parameters / budget.parameters for cost in budget.layers]
    mult_adds = [cost.mult_adds / budget.mult_adds for cost in budget.layers]
    _bars(top, budget, parameters, highlight, titles[0])
    _bars(bottom, budget, mult_adds, highlight, titles[1])
    names = budget.names
    # Names that would overlap are left out; the chosen one and both ends are always written.
    step = max(1, round(len(names) / 12))
    shown = [i for i, name in enumerate(names) if i % step == 0 or name == highlight]
    bottom.set_xticks(shown, [names[i] for i in shown], rotation=45, ha="right", fontsize=8)
    return figure


def _bars(ax: Axes, budget: Budget, shares: list[float], highlight: str | None, title: str) -> None:
    chosen = [name == highlight for name in budget.names]
    others = PLAIN if highlight is None else OTHERS
    ax.bar(range(len(shares)), shares, color=[CHOSEN if one else others for one in chosen])
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_ylabel("share of all", fontsize=9)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.margins(x=0.01, y=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    if any(chosen):
        place = chosen.index(True)
        ax.annotate("▼", (place, shares[place]), ha="center", va="bottom", color=CHOSEN)
