"""What networks answer to a picture that is painted over, as rows of numbers and as a drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import Output, check_hookable, select, to_model
from vizhelpers.attribution.targets import checked_scores
from vizhelpers.figures import Picture, new_figure
from vizhelpers.state import preserve_state

FEW = 10  # so many classes are all shown
FIRST, LATER = 5, 3  # of more: the strongest of the start, and so many that come up later
TOP_COLOUR, COLOUR, TRACK_COLOUR = "#e65100", "#90a4ae", "#eeeeee"


@dataclass(frozen=True)
class Network:
    """A classification network that is asked about one picture [3, H, W] in [0, 1] at a time."""

    model: nn.Module
    name: str
    transform: Callable[[Tensor], Tensor]
    classes: tuple[str, ...] | None
    output: Output | None = None

    def probabilities(self, image: Tensor) -> Tensor:
        """Softmax of the class scores: float32 [K], on the CPU. The model stays as it was."""
        with preserve_state(self.model), torch.no_grad():
            self.model.eval()
            batch = self.transform(image.clone())[None]
            answer = select(self.model(to_model(self.model, batch)), self.output)
            scores = checked_scores(answer, 1)
        if scores.ndim != 2 or scores.shape[1] < 2:
            raise ValueError(
                f"{self.name} returns {list(scores.shape)} for one picture, but bars need one "
                "score for each of two or more classes, [1, K]. output= can bring it there."
            )
        if self.classes is not None and len(self.classes) != scores.shape[1]:
            raise ValueError(
                f"{self.name} returns {scores.shape[1]} scores, but there are names for "
                f"{len(self.classes)} classes. Give the names with classes=[…]."
            )
        return scores.float().softmax(1)[0].cpu()

    def class_name(self, index: int) -> str:
        """What a class is called; only its number where nothing is known."""
        return f"class {index}" if self.classes is None else self.classes[index]


def describe_network(
    model: nn.Module,
    name: str | None,
    transform: Callable[[Tensor], Tensor] | None,
    classes: Sequence[str] | None,
    output: Output | None,
) -> Network:
    """Find out what is not given about a network: from its `info`, if `load_model` made it."""
    model = check_hookable(model)
    info: Any = getattr(model, "info", None)
    transform = transform or getattr(info, "transform", None)
    if transform is None:
        raise ValueError(
            f"this {type(model).__name__} does not say how it wants pictures. Give it as "
            "transform=: vh.normalize for a network trained with ImageNet's mean and standard "
            "deviation, or your own function from a picture [3, H, W] in [0, 1] to its input."
        )
    names = getattr(info, "classes", None) if classes is None else classes
    return Network(
        model,
        name or _name(model, info),
        transform,
        None if names is None else tuple(map(str, names)),
        output,
    )


def _name(model: nn.Module, info: Any) -> str:
    if info is None:
        return type(model).__name__
    twin = str(info.weights).removeprefix("course, ")
    return info.name if twin.startswith("imagenet") else f"{info.name}, {twin}"


# -- bars -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bars:
    """Networks that know the same classes, what they answered at the start, and rows of bars."""

    networks: list[Network]
    start: list[Tensor]

    def rows(self, now: list[Tensor]) -> list[int]:
        """The classes to show: all of a few; of many those of the start, and what comes up."""
        if len(self.start[0]) <= FEW:
            return list(range(len(self.start[0])))
        first = list(dict.fromkeys(k for p in self.start for k in _strongest(p)))
        later = {k: float(p[k]) for p in now for k in _strongest(p) if k not in first}
        return first + sorted(later, key=lambda k: -later[k])[:LATER]

    def table(self, now: list[Tensor]) -> dict[str, Any]:
        """The same for the page: names of networks, and of each class its name and numbers."""
        rows = [
            {
                "name": self.networks[0].class_name(k),
                "now": [float(p[k]) for p in now],
                "start": [float(p[k]) for p in self.start],
                "top": [int(p.argmax()) == k for p in now],
            }
            for k in self.rows(now)
        ]
        return {"models": [network.name for network in self.networks], "rows": rows}


def _strongest(probabilities: Tensor) -> list[int]:
    return probabilities.topk(min(FIRST, len(probabilities))).indices.tolist()


def draw_painted(painted: Tensor, tables: list[dict[str, Any]], title: str) -> Picture:
    """Draw a painted picture with the bars beside it, for a page without a kernel."""
    columns = sum(len(table["models"]) for table in tables)
    figure = new_figure(4 + 2.6 * columns, 4)
    picture, *plots = figure.subplots(
        1, 1 + columns, width_ratios=[4] + [2.6] * columns, squeeze=False
    )[0]
    picture.imshow(painted.permute(1, 2, 0).numpy(), interpolation="nearest")
    picture.set_title(title, fontsize=10)
    picture.set_axis_off()
    pairs = [(table, k) for table in tables for k in range(len(table["models"]))]
    for ax, (table, k) in zip(plots, pairs, strict=True):
        _draw_bars(ax, table, k, labels=k == 0)
    return figure


def _draw_bars(ax: Any, table: dict[str, Any], k: int, *, labels: bool) -> None:
    rows = table["rows"]
    for place, row in enumerate(rows):
        now, top = row["now"][k], row["top"][k]
        ax.barh(place, 1, color=TRACK_COLOUR, height=0.7)
        ax.barh(place, now, color=TOP_COLOUR if top else COLOUR, height=0.7)
        ax.plot([row["start"][k]] * 2, [place - 0.35, place + 0.35], color="black", lw=1)
        text = f" {percent(now)}{' ◀' if top else ''}"
        ax.text(1.02, place, text, va="center", fontsize=9, weight="bold" if top else "normal")
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows] if labels else [])
    ax.set_xlim(0, 1.5)
    ax.set_xticks([])
    ax.invert_yaxis()
    ax.set_title(table["models"][k], fontsize=10, loc="left")
    ax.set_xlabel("◀ strongest; thin line: before painting", fontsize=8, loc="left")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def percent(share: float) -> str:
    """A share as whole percent; a small one that is not 0 keeps a digit."""
    value = 100 * share
    return f"{value:.1f} %" if 0.05 <= value < 0.95 else f"{value:.0f} %"
