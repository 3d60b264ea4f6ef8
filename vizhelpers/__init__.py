"""Helpers of the course: from an image to a picture of what a network makes of it.

The rooms follow the way of a picture: ``scenes`` and ``images`` make tensors, ``models`` loads
networks, ``layers`` names their parts, ``state`` and ``summary`` look without touching,
``kernels`` measures weights, ``capture`` reads what layers produce, ``cams`` and ``saliency``
explain an answer, ``scores`` and ``sanity`` test the explanation, ``ascent`` asks what a unit wants
to see, ``flash`` mends FlashTorch, ``runs`` and ``board`` follow training, ``pictures`` draws,
``picker``, ``linked`` and ``ascent_view`` let you choose, ``exercises`` answers back.

Every name below is loaded when it is first used, so that ``import vizhelpers`` costs nothing.
"""

# ruff: noqa: F401  (what is imported for type checkers is exported through _ROOM_OF)

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vizhelpers.ascent import channel_means, maximize_activation
    from vizhelpers.ascent_view import ascent_picker
    from vizhelpers.board import start_tensorboard
    from vizhelpers.budget import layer_budget, show_budget
    from vizhelpers.cams import choose_target_layer, class_maps
    from vizhelpers.capturing import capture
    from vizhelpers.exercises import check, hint, progress, quiz
    from vizhelpers.graph import draw_graph, module_graph
    from vizhelpers.images import denormalize, load_image, normalize
    from vizhelpers.kernels import show_kernels, show_weight_stats, weight_stats
    from vizhelpers.layers import get_layer, list_layers
    from vizhelpers.lesson import start_lesson
    from vizhelpers.linked import linked_view, show_unit
    from vizhelpers.models import WeightsUnavailable, load_model
    from vizhelpers.picker import layer_picker
    from vizhelpers.pictures import describe, mosaic, new_figure, overlay, show_mosaic, to_png
    from vizhelpers.receptive import receptive_field
    from vizhelpers.responses import part_shares, top_patches
    from vizhelpers.runs import log_images, read_images, read_scalars
    from vizhelpers.saliency import saliency_maps
    from vizhelpers.sanity import randomize_from_top, rank_correlation
    from vizhelpers.scenes import (
        BACKGROUNDS,
        CLASSES,
        PARTS,
        SceneDataset,
        contact_sheet,
        draw_scene,
        draw_two,
        load_pairs,
        load_scenes,
    )
    from vizhelpers.scores import baseline_maps, deletion_insertion, interval, score_maps
    from vizhelpers.state import preserve_state
    from vizhelpers.summary import summarize

# In the order in which a learner meets them.
_ROOM_OF = {
    "start_lesson": "lesson",
    "CLASSES": "scenes",
    "BACKGROUNDS": "scenes",
    "PARTS": "scenes",
    "SceneDataset": "scenes",
    "draw_scene": "scenes",
    "draw_two": "scenes",
    "load_scenes": "scenes",
    "load_pairs": "scenes",
    "contact_sheet": "scenes",
    "load_image": "images",
    "normalize": "images",
    "denormalize": "images",
    "load_model": "models",
    "WeightsUnavailable": "models",
    "list_layers": "layers",
    "get_layer": "layers",
    "preserve_state": "state",
    "summarize": "summary",
    "layer_budget": "budget",
    "show_budget": "budget",
    "module_graph": "graph",
    "draw_graph": "graph",
    "weight_stats": "kernels",
    "show_weight_stats": "kernels",
    "show_kernels": "kernels",
    "receptive_field": "receptive",
    "top_patches": "responses",
    "part_shares": "responses",
    "capture": "capturing",
    "choose_target_layer": "cams",
    "class_maps": "cams",
    "score_maps": "scores",
    "baseline_maps": "scores",
    "deletion_insertion": "scores",
    "interval": "scores",
    "randomize_from_top": "sanity",
    "rank_correlation": "sanity",
    "saliency_maps": "saliency",
    "maximize_activation": "ascent",
    "channel_means": "ascent",
    "mosaic": "pictures",
    "show_mosaic": "pictures",
    "overlay": "pictures",
    "describe": "pictures",
    "new_figure": "pictures",
    "to_png": "pictures",
    "layer_picker": "picker",
    "ascent_picker": "ascent_view",
    "show_unit": "linked",
    "linked_view": "linked",
    "start_tensorboard": "board",
    "read_scalars": "runs",
    "read_images": "runs",
    "log_images": "runs",
    "check": "exercises",
    "hint": "exercises",
    "quiz": "exercises",
    "progress": "exercises",
}

__all__ = tuple(_ROOM_OF)


def __getattr__(name: str) -> Any:
    """Load the room that holds ``name`` the first time it is asked for (PEP 562)."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'vizhelpers' has no attribute {name!r}")
    value = getattr(import_module(f"vizhelpers.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
