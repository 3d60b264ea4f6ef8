"""See what a PyTorch network is doing: the helpers of the course.

``import vizhelpers as vh`` gives the names that most learners use. Everything else is reached by
its topic: ``vh.features.receptive_field``, ``vh.attribution.score_maps``, ``vh.scenes.draw_two``.
Every name is loaded when it is first used, so that ``import vizhelpers`` costs nothing.
"""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    # The topics.
    from vizhelpers import (
        attribution,
        charts,
        exercises,
        features,
        figures,
        hooks,
        images,
        inspection,
        layers,
        lessons,
        plotting,
        scenes,
        state,
        tensorboard,
        widgets,
        zoo,
    )

    # What most learners use, in the order in which they meet it.
    from vizhelpers.attribution.cam import class_maps
    from vizhelpers.attribution.saliency import saliency_maps
    from vizhelpers.charts import show_scores
    from vizhelpers.course.start import start_lesson
    from vizhelpers.exercises import check, hint, predict, progress, quiz
    from vizhelpers.features.activation_maximization import maximize_activation
    from vizhelpers.figures import new_figure
    from vizhelpers.hooks import capture
    from vizhelpers.images import denormalize, load_image, normalize
    from vizhelpers.inspection.summary import summarize
    from vizhelpers.layers import get_layer, list_layers
    from vizhelpers.plotting import overlay, show_mosaic
    from vizhelpers.scenes import CLASSES, draw_scene, load_scenes
    from vizhelpers.state import preserve_state
    from vizhelpers.tensorboard.server import start_tensorboard
    from vizhelpers.widgets.explorer import explore
    from vizhelpers.widgets.kernel_slider import kernel_slider
    from vizhelpers.widgets.layer_picker import layer_picker
    from vizhelpers.widgets.paint_over import paint_over
    from vizhelpers.zoo.loading import load_model

__getattr__, __dir__ = lazy_imports(__name__, __file__)
