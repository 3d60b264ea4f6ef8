"""Attribution: class activation maps, saliency maps, and how good such a heatmap is."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.attribution import cam, saliency
    from vizhelpers.attribution.baselines import baseline_maps
    from vizhelpers.attribution.cam import choose_target_layer, class_maps
    from vizhelpers.attribution.deletion import deletion_insertion
    from vizhelpers.attribution.guided import guided_gradient
    from vizhelpers.attribution.metrics import interval, score_maps
    from vizhelpers.attribution.photo_grids import grid_pointing, photo_grid
    from vizhelpers.attribution.saliency import saliency_maps
    from vizhelpers.attribution.sanity_checks import randomize_from_top, rank_correlation

__getattr__, __dir__ = lazy_imports(__name__, __file__)
