"""Interactive ipywidgets for notebooks: layer picker, linked unit view, activation picker."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.widgets.activation_picker import ascent_picker
    from vizhelpers.widgets.explorer import explore
    from vizhelpers.widgets.kernel_slider import kernel_slider
    from vizhelpers.widgets.layer_picker import layer_picker
    from vizhelpers.widgets.paint_over import paint_over
    from vizhelpers.widgets.unit_view import linked_view

__getattr__, __dir__ = lazy_imports(__name__, __file__)
