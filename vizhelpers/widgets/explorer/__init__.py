"""Explorer: look into any model, layer by layer, with every tool of the course in one widget."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.widgets.explorer.explorer import Explorer, explore

__getattr__, __dir__ = lazy_imports(__name__, __file__)
