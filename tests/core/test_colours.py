"""The course's colours, as people with each of the three colour-vision deficiencies see them."""

import numpy as np
import pytest
from colorspacious import cspace_convert
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from vizhelpers.exercises import cards
from vizhelpers.figures import COLOURS, HEAT_MAP, PLAIN_MAP, SIGNED_MAP

# Two colours 1 apart in CAM02-UCS can just be told when they touch.
CLEARLY_APART = 10

deficiency = pytest.mark.parametrize("kind", ["protanomaly", "deuteranomaly", "tritanomaly"])


def seen(colours: np.ndarray, kind: str) -> np.ndarray:
    """Change sRGB `[N, 3]` into what is seen (Machado et al. 2009), in CAM02-UCS."""
    space = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
    shown = np.clip(cspace_convert(colours, space, "sRGB1"), 0, 1)
    return cspace_convert(shown, "sRGB1", "CAM02-UCS")


def ramp(name: str) -> np.ndarray:
    return colormaps[name](np.linspace(0, 1, 65))[:, :3]


def distances(colours: np.ndarray) -> np.ndarray:
    return np.linalg.norm(colours[:, None] - colours[None], axis=-1)


@deficiency
def test_series_of_a_chart_are_told_apart(kind: str) -> None:
    apart = distances(seen(np.array([to_rgb(name) for name in COLOURS]), kind))
    assert apart[~np.eye(len(COLOURS), dtype=bool)].min() > CLEARLY_APART


@deficiency
@pytest.mark.parametrize("name", [PLAIN_MAP, HEAT_MAP, "Blues_r", "gray"])
def test_more_is_always_lighter(name: str, kind: str) -> None:
    """So a map can also be read, and printed, without any colour."""
    assert np.diff(seen(ramp(name), kind)[:, 0]).min() > 0


@deficiency
def test_above_and_below_zero_differ_and_both_darken_away_from_it(kind: str) -> None:
    colours = seen(ramp(SIGNED_MAP), kind)
    below, above = colours[:32][::-1], colours[33:]
    visible = slice(8, None)  # nearer to zero both are nearly white, as they should be
    assert np.linalg.norm(below - above, axis=1)[visible].min() > CLEARLY_APART
    for half in (below, above):
        assert np.diff(np.linalg.norm(half - colours[32], axis=1)).min() > 0


@deficiency
def test_the_kinds_of_cards_are_told_apart(kind: str) -> None:
    """By their words and symbols, too; but right and wrong should be seen from afar."""
    rgb = np.array([cards.COLOURS[name].split(",") for name in ("right", "wrong")], dtype=float)
    assert distances(seen(rgb / 255, kind))[0, 1] > CLEARLY_APART
