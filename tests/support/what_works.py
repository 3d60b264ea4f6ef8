"""Every kind of model through every function: it works, or is refused in our own words.

Run: ``python tests/support/what_works.py`` writes the table that learners read,
``vizhelpers/what_works.md``; a test compares it.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import torch
from support.models import ALL, Plain
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers._utils.paths import ROOT

TABLE = ROOT / "vizhelpers" / "what_works.md"
HEAD = """\
# What works on which model

Made by `python tests/support/what_works.py`; a test compares it. ✓: it works. A number: it is
refused before anything is touched, with the sentence below. Options such as `output=`, `layer=` and
`reshape=` are left out here; the sentences name the one that helps.

"""


class Complex(nn.Module):
    """Its first weights are complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Parameter(torch.ones(1, dtype=torch.complex64))
        self.inner = Plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x * self.phase.abs())


class ChannelsLast(nn.Module):
    """Ends in maps [N, H, W, C], as ConvNeXt and Swin do."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.patch(x).permute(0, 2, 3, 1)).mean((1, 2)))


def cast(kind: torch.dtype) -> Callable[[], nn.Module]:
    return lambda: Plain().to(kind)


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Plain(), {nn.Linear}, dtype=torch.qint8)


def weight_norm() -> nn.Module:
    model = Plain()
    nn.utils.parametrizations.weight_norm(model.features[0])
    return model


def vision_transformer() -> nn.Module:
    model = ALL["vit"].make()
    nn.init.normal_(model.heads.head.weight)  # torchvision begins with zeros: no score, no map
    return model


def in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return Plain()


KINDS: dict[str, Callable[[], nn.Module]] = {
    "a plain CNN": Plain,
    "in-place ReLU": ALL["inplace_relu"].make,
    "residual, BatchNorm, training": ALL["residual"].make,
    "a shared ReLU": ALL["shared_relu"].make,
    "a layer called twice": ALL["shared_conv"].make,
    "frozen": ALL["frozen_everything"].make,
    "functions, no modules": ALL["functional"].make,
    "a dict as output": ALL["dict_output"].make,
    "a tuple as output": ALL["tuple_output"].make,
    "a vision transformer": vision_transformer,
    "channels last": ChannelsLast,
    "recurrent": ALL["recurrent"].make,
    "one layer": ALL["one_layer"].make,
    "weight norm": weight_norm,
    "complex weights": Complex,
    "float64": cast(torch.float64),
    "bfloat16": cast(torch.bfloat16),
    "torch.compile": lambda: torch.compile(Plain(), backend="eager"),  # no C++ compiler at work
    "torch.jit.script": lambda: torch.jit.script(Plain()),
    "torch.jit.trace": lambda: torch.jit.trace(Plain().eval(), torch.rand(1, 3, 16, 16)),
    "quantised": quantised,
    "on meta": lambda: Plain().to("meta"),
    "lazy": lambda: nn.Sequential(
        nn.LazyConv2d(4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5)
    ),
    "made in inference mode": in_inference_mode,
    "no weights": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten()),
    "no module": lambda: lambda x: x,
}


def a_layer(model: Any) -> str:
    """The last convolution's name, or any layer's."""
    if not isinstance(model, nn.Module):
        return "features.3"
    return (vh.list_layers(model, nn.Conv2d) or vh.list_layers(model))[-1]


def randomized(model: nn.Module, x: Tensor) -> None:
    with vh.attribution.randomize_from_top(model) as layers, torch.no_grad():
        for _ in layers:
            model(x)


FUNCTIONS: dict[str, Callable[[Any, Tensor], Any]] = {
    "list_layers": lambda m, x: vh.list_layers(m),
    "capture": lambda m, x: vh.capture(m, x, a_layer(m)),
    "capture, gradients": lambda m, x: vh.capture(m, x, a_layer(m), gradients=True),
    "summarize": lambda m, x: repr(vh.summarize(m, tuple(x.shape))),
    "layer_budget": lambda m, x: repr(vh.inspection.layer_budget(m, tuple(x.shape))),
    "module_graph": vh.inspection.module_graph,
    "weight_stats": lambda m, x: repr(vh.inspection.weight_stats(m)),
    "receptive_field": lambda m, x: vh.features.receptive_field(m, a_layer(m), tuple(x.shape)),
    "top_patches": lambda m, x: vh.features.top_patches(m, a_layer(m), x, count=1),
    "maximize_activation": lambda m, x: vh.maximize_activation(
        m, a_layer(m), 0, shape=tuple(x.shape[1:]), steps=2
    ),
    "class_maps": lambda m, x: vh.class_maps(m, x, 1),
    "saliency_maps": lambda m, x: vh.saliency_maps(m, x, 1),
    "deletion_insertion": lambda m, x: vh.attribution.deletion_insertion(
        m, x, x[:, 0].abs(), 1, fill=0, steps=1
    ),
    "randomize_from_top": randomized,
}


def outcome(kind: str, function: str) -> str:
    """An empty text where it works; else the refusal. Anything else is raised as it came."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model, images = KINDS[kind](), torch.rand(2, 3, 16, 16)
        if kind in ("float64", "bfloat16"):
            images = images.to(next(model.parameters()))
        try:
            FUNCTIONS[function](model, images)
        except (TypeError, ValueError, RuntimeError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1].filename
            if Path(where).is_relative_to(ROOT / "vizhelpers"):
                return " ".join(str(error).split())
            raise
    return ""


def table() -> str:
    """The table as Markdown."""
    sentences: dict[str, int] = {}
    lines = [f"| model | {' | '.join(FUNCTIONS)} |", "|---" * (len(FUNCTIONS) + 1) + "|"]
    for kind in KINDS:
        cells = []
        for function in FUNCTIONS:
            said = outcome(kind, function)
            said = said if len(said) < 300 else said[:299] + "…"
            cells.append(str(sentences.setdefault(said, len(sentences) + 1)) if said else "✓")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    notes = [f"{number}. {sentence}" for sentence, number in sentences.items()]
    return HEAD + "\n".join([*lines, "", *notes]) + "\n"


def unclear() -> list[str]:
    """Where a function ends in words that are not ours."""
    found = []
    for kind in KINDS:
        for function in FUNCTIONS:
            try:
                outcome(kind, function)
            except Exception as error:
                found.append(f"{kind} × {function}: {type(error).__name__}: {str(error)[:150]}")
    return found


if __name__ == "__main__":
    if problems := unclear():
        print("\n".join(problems))
        raise SystemExit(1)
    TABLE.write_text(table(), encoding="utf-8", newline="\n")
