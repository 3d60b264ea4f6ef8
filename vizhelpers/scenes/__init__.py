"""Drawn scenes: pictures whose truth is known, because we drew it.

Ten objects can stand on any of ten backgrounds; every scene comes with a mask of the object and
the parts it is made of. Inside: `canvas` draws shapes, `objects` and `backgrounds` use it,
`compose` puts a scene together, `render` and `dataset` make many, `contact_sheets` shows them all,
`tensors` hands out one at a time, and `files` reads and writes the scenes that the lessons print
numbers about.

Only `tensors`, `dataset` and `files` need PyTorch. Names are loaded when they are first used, so
that processes that only draw do not wait for it.
"""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.scenes.canvas import PARTS
    from vizhelpers.scenes.compose import BACKGROUNDS, CLASSES
    from vizhelpers.scenes.contact_sheets import contact_sheet
    from vizhelpers.scenes.dataset import SceneDataset, SceneItem
    from vizhelpers.scenes.files import GRID_SEED, PairBatch, SceneBatch, load_pairs, load_scenes
    from vizhelpers.scenes.render import Recipe, SceneArrays, render_arrays
    from vizhelpers.scenes.tensors import PairScene, Scene, draw_scene, draw_two

__getattr__, __dir__ = lazy_imports(__name__, __file__)
