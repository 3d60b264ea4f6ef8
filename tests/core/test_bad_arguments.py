"""Any wrong argument of any public function: the right thing, or a clear refusal; nothing changed.

A refusal is a TypeError or ValueError (or one of their kinds) that this package raises itself, so
that its words say what was given and what is expected. `pytest --hypothesis-profile=many` tries
thousands; the test run, a few hundred, the same ones each time.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import Plain
from support.portrait import portrait, random_numbers
from torch import nn

import vizhelpers as vh
from vizhelpers._utils.paths import ROOT

settings.register_profile("few", max_examples=12, derandomize=True, deadline=None)
settings.register_profile("many", max_examples=1000, deadline=None)
settings.load_profile("few")

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
MAPS = IMAGES[:, 0]
MODEL = Plain().eval()
FIELD = vh.features.receptive_field(MODEL, "features.3", (1, 3, 16, 16))

# Each function with arguments that are right.
FUNCTIONS: dict[Callable[..., Any], dict[str, Any]] = {
    vh.list_layers: {"model": MODEL, "kind": nn.Conv2d},
    vh.get_layer: {"model": MODEL, "layer": "features.0"},
    vh.capture: {"model": MODEL, "inputs": IMAGES, "layers": ["features.0"], "gradients": True},
    vh.normalize: {"images": IMAGES, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    vh.denormalize: {"images": IMAGES, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    vh.show_mosaic: {
        "tiles": MAPS,
        "image": IMAGES[0],
        "columns": 2,
        "scale": "shared",
        "center_zero": True,
        "cmap": "viridis",
        "vmin": None,
        "vmax": 1.0,
        "title": "t",
        "labels": True,
        "colorbar": True,
        "max_tiles": 2,
    },
    vh.overlay: {
        "image": IMAGES[0],
        "heat": MAPS[0],
        "mask": MAPS[0],
        "labels": ["a"],
        "parts": ["photo", "overlay"],
        "columns": 2,
        "title": "t",
        "scale": "shared",
        "vmax": 1.0,
        "colorbar": True,
    },
    vh.show_scores: {
        "scores": {"a": 0.5, "b": (0.5, 0.4, 0.6), "c": MAPS[0, 0]},
        "reference": {"chance": 0.1},
        "percent": True,
        "title": "t",
        "xlabel": "x",
    },
    vh.plotting.describe: {"values": MAPS, "name": "n"},
    vh.summarize: {
        "model": MODEL,
        "input_size": (1, 3, 16, 16),
        "depth": 3,
        "columns": ["num_params"],
        "mode": "eval",
    },
    vh.inspection.layer_budget: {"model": MODEL, "input_size": (1, 3, 16, 16)},
    vh.inspection.weight_stats: {"source": MODEL},
    vh.inspection.show_kernels: {"weight": MODEL.features[0].weight, "channel": 0, "title": "t"},
    vh.features.receptive_field: {
        "model": MODEL,
        "layer": "features.3",
        "input_shape": (1, 3, 16, 16),
    },
    vh.features.top_patches: {
        "model": MODEL,
        "layer": "features.3",
        "images": IMAGES,
        "count": 1,
        "batch_size": 2,
    },
    vh.features.show_unit: {
        "image": IMAGES[0],
        "maps": IMAGES[0],
        "channel": 0,
        "position": (0, 0),
        "field": None,
        "title": "t",
    },
    vh.features.channel_means: {
        "model": MODEL,
        "layer": "features.3",
        "images": IMAGES,
        "objective": "channel",
        "batch_size": 2,
    },
    vh.maximize_activation: {
        "model": MODEL,
        "layer": "features.3",
        "channels": [0],
        "steps": 1,
        "shape": (3, 16, 16),
        "start": None,
        "objective": "channel",
        "jitter": 1,
        "blur": 0.5,
        "decay": 0.1,
        "lr": 0.05,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "seed": 0,
    },
    vh.class_maps: {
        "model": MODEL,
        "images": IMAGES,
        "targets": [0, 1],
        "method": "GradCAM",
        "layer": "features.3",
    },
    vh.saliency_maps: {
        "model": MODEL,
        "images": IMAGES,
        "targets": 1,
        "method": "Gradient",
        "steps": 2,
        "samples": 2,
        "noise": 0.1,
        "window": 8,
        "stride": 8,
        "baseline": 0.0,
        "seed": 0,
    },
    vh.attribution.score_maps: {"maps": MAPS, "masks": MAPS},
    vh.attribution.baseline_maps: {"images": IMAGES, "kind": "centre", "seed": 0},
    vh.attribution.interval: {"values": MAPS[0, 0], "level": 0.95},
    vh.attribution.rank_correlation: {"maps_a": MAPS, "maps_b": MAPS},
    vh.attribution.deletion_insertion: {
        "model": MODEL,
        "images": IMAGES,
        "maps": MAPS,
        "targets": 1,
        "fill": 0.0,
        "steps": 2,
    },
    vh.load_model: {"name": "alexnet", "twin": "fair", "weights": "course", "seed": 0},
    vh.draw_scene: {"obj": "cat", "background": "sea", "seed": 0, "size": 64},
    vh.load_scenes: {"limit": 2},
    vh.load_image: {"source": ROOT / "data" / "images" / "grid" / "cat_on_sea_0.png", "size": 8},
}

ODD: list[Any] = [
    *(None, True, -1, 0, 3, 1.5, float("nan"), float("-inf"), "", "nope", "$\\bad{$", b"x"),
    *([], {}, (), [None], ["a", 1], {"a": 1}, object(), int, len, nn.ReLU(), Path("nowhere.pth")),
    *(np.float64("nan"), np.zeros((0, 3)), np.ones((4, 4))[::-1, ::-1], np.array(["a", "b"])),
    *(np.ones((2, 3, 16, 16), np.complex64), np.ones((2, 16, 16), dtype=object)),
    *(torch.tensor(5), torch.zeros(0, 3, 4, 4), torch.ones(2, 3, 16, 16, dtype=torch.int64)),
    *(torch.full((2, 3, 16, 16), float("nan")), torch.ones(1).expand(2, 3, 16, 16)),
    *(torch.ones(2, 3, 16, 16, dtype=torch.bfloat16), torch.ones(2, 3, 16, 16, device="meta")),
    *(torch.ones(2, 16, 16, 3).permute(0, 3, 1, 2), torch.ones(2, 3, 16, 16).bool()),
    *(torch.ones(2, 16, 16), torch.ones(3, 16, 16), torch.ones(2, 3, 16, 16).to_sparse()),
    *(torch.rand(2, 3, 16, 16, requires_grad=True), torch.ones(2, 3, 16, 16, dtype=torch.cfloat)),
]


def is_refused_in_our_words(error: Exception) -> bool:
    """Whether this package raised it: its own line is the last of the traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(ROOT / "vizhelpers") and "raise" in (last.line or "")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_wrong_argument_is_refused_or_served(function: Any, data: st.DataObject) -> None:
    right = FUNCTIONS[function]
    # What a model says about an input that it was handed as it is belongs to the model.
    names = [name for name in right if name != "inputs"]
    name = data.draw(st.sampled_from(names), label="argument")
    odd = data.draw(st.sampled_from(ODD), label="value")
    before = portrait(MODEL), random_numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(**{**right, name: odd})
        except (TypeError, ValueError, OSError) as error:
            if not is_refused_in_our_words(error):
                raise AssertionError(f"{function.__name__}({name}={odd!r})") from error
    assert (portrait(MODEL), random_numbers()) == before


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_right_arguments_are_right(function: Any) -> None:
    function(**FUNCTIONS[function])
