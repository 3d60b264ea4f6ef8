"""Layer costs: parameters, multiply-adds and activations of each layer, with the formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil, prod

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import nn

from vizhelpers._utils.checks import check_hookable
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.figures import Picture, new_figure
from vizhelpers.inspection._calls import Shape, random_inputs, record_calls, where_it_stopped

# The layers that nearly all parameters and mult-adds of a network are in.
COSTLY = (nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention, nn.RNNBase)
PLAIN, CHOSEN, OTHERS = "#1f77b4", "#d62728", "#b0b8c1"


@dataclass(frozen=True)
class LayerCost:
    """One layer's share of the bill.

    Attributes:
        name: Dotted name, as in ``model.named_modules()``.
        layer: The module itself.
        input_size: Shape of what it received first, batch included.
        output_size: Shape of what it returned, batch included.
        parameters: How many numbers it has learned.
        mult_adds: How many multiplications with additions one forward pass takes in it.
    """

    name: str
    layer: nn.Module
    input_size: Shape
    output_size: Shape
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
        total, costs = getattr(self, what), {cost.name: getattr(cost, what) for cost in self.layers}
        shares = [
            f"{n} {costs[n] / (total or 1):.1%}" for n in sorted(costs, key=lambda n: -costs[n])
        ]
        elsewhere = 1 - sum(costs.values()) / (total or 1)
        rest = [f"in none of these layers {elsewhere:.1%}"] if elsewhere >= 0.001 else []
        return f"most {what.replace('_', '-')} of {total:,}: {', '.join(shares[:count] + rest)}"

    def explain(self, name: str) -> str:
        """Say in one line what a layer does to shapes, and derive what it costs."""
        cost = self[name]
        sizes = f"{list(cost.input_size)} → {list(cost.output_size)}"
        kind = type(cost.layer).__name__
        counts = f"{formula(cost.layer)} parameters, {cost.mult_adds:,} mult-adds"
        return f"{kind}, {sizes}, {counts}"


def formula(layer: nn.Module) -> str:
    """Derive a layer's parameter count, e.g. ``3×3×64×128 + 128 = 73,856``."""
    count = sum(parameter.numel() for parameter in layer.parameters())
    # Not layer.weight, which a parametrized layer computes anew.
    weight, bias = (layer._parameters.get(name) for name in ("weight", "bias"))
    if not isinstance(layer, nn.Conv2d | nn.Linear) or weight is None:
        return f"{count:,}"
    # PyTorch stores [out, in, height, width]; a formula reads better from the kernel outwards.
    sizes = [*weight.shape[2:], weight.shape[1], weight.shape[0]]
    biases = 0 if bias is None else bias.numel()
    if prod(sizes) + biases != count:
        return f"{count:,}"
    return "×".join(map(str, sizes)) + (f" + {biases}" if biases else "") + f" = {count:,}"


@clear_errors
def layer_budget(
    model: nn.Module,
    input_size: Sequence[int],
    kind: type[nn.Module] | tuple[type[nn.Module], ...] = COSTLY,
) -> Budget:
    """Measure what each layer that has parameters or multiplies costs for one input.

    Multiply-adds are counted by `torch.utils.flop_counter.FlopCounterMode` around each layer's
    call, so they do not depend on the layer's class. It leaves out additions of a bias and what is
    done number by number.

    Args:
        model: Any module.
        input_size: Shape of the input, batch included, such as ``(1, 3, 224, 224)``; a list of
            shapes where the model takes several inputs.
        kind: Which layers to list; by default convolutions, linear, recurrent and attention
            layers, which cost the most. ``nn.Module`` lists all.

    Returns:
        One entry per layer that ran, with the mult-adds of all its runs.

    Raises:
        TypeError: The model is no module, or `input_size` no shape.
        RuntimeError: The model failed; the message says in which layer.
    """
    model = check_hookable(model)
    with record_calls(model) as calls, torch.no_grad():
        model.eval()
        inputs = random_inputs(model, input_size)
        try:
            model(*inputs)
        except Exception as error:  # the model's own
            raise RuntimeError(where_it_stopped(calls, error, input_size)) from error
        mult_adds = calls.mult_adds()
        parameters = {name: sum(p.numel() for p in ps) for name, ps in calls.parameters().items()}
    layers: dict[str, LayerCost] = {}
    for call in calls:
        if isinstance(call.module, kind) and (parameters[call.name] or mult_adds[call.name]):
            given, returned = (next(iter(shapes), ()) for shapes in (call.inputs, call.outputs))
            costs = parameters[call.name], mult_adds[call.name]
            cost = LayerCost(call.name, call.module, given, returned, *costs)
            layers.setdefault(call.name, cost)
    return Budget(tuple(layers.values()), sum(parameters.values()), sum(mult_adds.values()))


@clear_errors
def show_budget(
    budget: Budget,
    *,
    highlight: str | None = None,
    titles: tuple[str, str] = ("parameters", "mult-adds for one image"),
) -> Picture:
    """Draw parameters and mult-adds of every layer side by side, as shares of the whole.

    Args:
        budget: From `layer_budget`. The layers stand below each other, as they ran.
        highlight: A layer to draw in red, with its shares written beside its bars.
        titles: What to write above the two panels.

    Raises:
        ValueError: The budget has no layer of that name.

    Example:
        ``show_budget(layer_budget(model, (1, 3, 128, 128)), highlight="conv1")``
    """
    if highlight is not None:
        budget[highlight]  # refuses a wrong name
    names = budget.names
    chosen = None if highlight is None else names.index(highlight)
    width, height = 10.0, min(6.0, 0.95 + 0.19 * max(len(names), 4))
    figure = new_figure(width, height)
    # Room for the longest name; matplotlib's own layout would take three times as long as the
    # drawing, and a picker would wait for it.
    figure.set_layout_engine(None)
    left = min(0.4, (max(map(len, names), default=0) * 0.08 + 0.25) / width)
    margins = {"left": left, "right": 0.985, "wspace": 0.06}
    margins |= {"top": 1 - 0.35 / height, "bottom": 0.5 / height}
    axes = figure.subplots(1, 2, sharey=True, gridspec_kw=margins)
    for ax, what, title in zip(axes, ("parameters", "mult_adds"), titles, strict=True):
        total = getattr(budget, what) or 1
        shares = [getattr(cost, what) / total for cost in budget.layers]
        _bars(ax, shares, chosen, title)
    # Names that would overlap are left out; the chosen one is always written.
    step = max(1, ceil(len(names) / 26))
    apart = [i for i in range(0, len(names), step) if chosen is None or abs(i - chosen) >= step]
    shown = apart if chosen is None else [*apart, chosen]
    axes[0].set_yticks(shown, [names[i] for i in shown], fontsize=9, parse_math=False)
    axes[0].invert_yaxis()
    axes[1].tick_params(left=False)
    return figure


def _bars(ax: Axes, shares: list[float], chosen: int | None, title: str) -> None:
    colours = [PLAIN if chosen is None else OTHERS] * len(shares)
    if chosen is not None:
        colours[chosen] = CHOSEN
        share = f" {shares[chosen]:.1%}"
        ax.text(shares[chosen], chosen, share, va="center", color=CHOSEN, fontsize=9, weight="bold")
    ax.barh(range(len(shares)), shares, color=colours)
    ax.set_title(title, fontsize=11, loc="left", parse_math=False)
    ax.set_xlabel("share of all", fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.margins(x=0.14, y=0.01)
    ax.spines[["top", "right"]].set_visible(False)
