"""The networks of the course: architectures, trained weights, how they were trained."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.zoo.loading import ModelInfo, WeightsUnavailable, load_model
    from vizhelpers.zoo.photos import load_photos
    from vizhelpers.zoo.state_dicts import load_weights
    from vizhelpers.zoo.your_model import load_classes, load_your_model

__getattr__, __dir__ = lazy_imports(__name__, __file__)
