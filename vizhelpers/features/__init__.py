"""Feature visualization: receptive fields, strongest patches, activation maximization."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.features.activation_maximization import channel_means, maximize_activation
    from vizhelpers.features.patches import top_patches
    from vizhelpers.features.receptive_fields import receptive_field
    from vizhelpers.features.unit_plot import show_unit

__getattr__, __dir__ = lazy_imports(__name__, __file__)
