"""Drawn scenes: pictures whose truth is known, because we drew it.

Ten objects can stand on any of ten backgrounds; every scene comes with a mask of the object and
the parts it is made of. Inside: `canvas` draws shapes, `objects` and `backgrounds` use it,
`compose` puts a scene together, `render` and `dataset` make many, `sheet` shows them all, and
`shipped` reads and writes the scenes that the lessons print numbers about.

Only `dataset` and `shipped` need PyTorch. Names are loaded when they are first used, so that
processes that only draw do not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .canvas import PARTS
    from .compose import BACKGROUNDS, CLASSES, PairScene, Scene, draw_scene, draw_two
    from .dataset import SceneDataset, SceneItem
    from .render import Recipe, SceneArrays, render_arrays
    from .sheet import contact_sheet
    from .shipped import GRID_SEED, PairBatch, SceneBatch, load_pairs, load_scenes

_MODULE_OF = {
    "PARTS": "canvas",
    "BACKGROUNDS": "compose",
    "CLASSES": "compose",
    "PairScene": "compose",
    "Scene": "compose",
    "draw_scene": "compose",
    "draw_two": "compose",
    "SceneDataset": "dataset",
    "SceneItem": "dataset",
    "Recipe": "render",
    "SceneArrays": "render",
    "render_arrays": "render",
    "contact_sheet": "sheet",
    "GRID_SEED": "shipped",
    "PairBatch": "shipped",
    "SceneBatch": "shipped",
    "load_pairs": "shipped",
    "load_scenes": "shipped",
}

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "GRID_SEED",
    "PARTS",
    "PairBatch",
    "PairScene",
    "Recipe",
    "Scene",
    "SceneArrays",
    "SceneBatch",
    "SceneDataset",
    "SceneItem",
    "contact_sheet",
    "draw_scene",
    "draw_two",
    "load_pairs",
    "load_scenes",
    "render_arrays",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
