"""TensorBoard: start the server, log images that look right, read event files back."""

from typing import TYPE_CHECKING

from vizhelpers._utils.lazy import lazy_imports

if TYPE_CHECKING:
    from vizhelpers.tensorboard.events import (
        read_histograms,
        read_images,
        read_scalars,
        read_texts,
    )
    from vizhelpers.tensorboard.images import log_images
    from vizhelpers.tensorboard.server import start_tensorboard

__getattr__, __dir__ = lazy_imports(__name__, __file__)
