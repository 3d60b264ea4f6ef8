"""Maximally activating patches: where in many images does a channel respond most strongly?

Which pixels a unit sees is in `receptive_fields`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vizhelpers._utils.checks import check_model, check_one_for_each, to_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.features.receptive_fields import ReceptiveField, receptive_field
from vizhelpers.hooks import capture
from vizhelpers.state import preserve_state

_GREY = 0.5


@dataclass(frozen=True, eq=False)
class TopPatches:
    """For each channel of a layer, where in which images it responds most strongly.

    Attributes:
        layer: The layer's name.
        field: What one unit of it sees.
        values: float `[C, k]`, the strongest responses, the highest first. At 0 or below the
            channel is silent (after a ReLU) or against it (before one).
        images: int64 `[C, k]`, in which image; each occurs at most once for a channel.
        positions: int64 `[C, k, 2]`, row and column in the layer's map.
        boxes: int64 `[C, k, 4]`, what the unit sees of the image: top, left, bottom, right in
            pixels, cut at the image's edge.
    """

    layer: str
    field: ReceptiveField
    values: Tensor
    images: Tensor
    positions: Tensor
    boxes: Tensor

    def __repr__(self) -> str:
        channels, count = self.values.shape
        return f"TopPatches({self.layer}: {channels} channels, {count} patches each)"

    def crops(self, pictures: Tensor, channel: int) -> Tensor:
        """Cut out what one channel's strongest units see, for `show_mosaic`.

        Args:
            pictures: `[N, 3, H, W]` in [0, 1], the images before they were normalised.
            channel: Which channel.

        Returns:
            `[k, 3, h, w]`, all of one size: that of the field, or of the image where the field
            is larger. Outside the image they are grey.

        Raises:
            ValueError: There is no such channel, or these are not pictures of the same images.
        """
        if not 0 <= channel < len(self.values):
            raise ValueError(
                f"{self.layer!r} has channels 0 to {len(self.values) - 1}, there is no {channel}."
            )
        shape = self.field.image_shape
        if pictures.shape[2:] != shape or len(pictures) <= self.images.max():
            raise ValueError(
                f"pictures must be the {shape[0]}×{shape[1]} images that the patches were found "
                f"in, at least {int(self.images.max()) + 1} of them; got {list(pictures.shape)}."
            )
        height, width = map(min, self.field.size, shape)
        units = self.positions[channel].tolist()
        crops = pictures.new_full((len(units), pictures.shape[1], height, width), _GREY)
        for crop, image, unit, box in zip(
            crops, self.images[channel], units, self.boxes[channel].tolist(), strict=True
        ):
            top, left, bottom, right = box
            # Where the crop begins: with the field, or with the image if the field is larger.
            first_row, first_column, *_ = self.field.box(*unit, clip=False)
            y = top - first_row if height < shape[0] else top
            x = left - first_column if width < shape[1] else left
            inside = crop[:, y : y + bottom - top, x : x + right - left]
            inside.copy_(pictures[image, :, top:bottom, left:right])
        return crops


@clear_errors
def top_patches(
    model: nn.Module,
    layer: str | nn.Module,
    images: Tensor,
    *,
    count: int = 9,
    batch_size: int = 10,
) -> TopPatches:
    """Find the image patches to which each channel of a layer responds most strongly.

    Of every image only the strongest place counts, so that the patches come from `count`
    different images, as in Zeiler and Fergus, "Visualizing and Understanding Convolutional
    Networks" (ECCV 2014, arXiv:1311.2901). Of equal responses the earlier image counts, and
    within it the upper, then the left place. The model runs in eval mode, the images pass in
    batches, and of the maps nothing but the maxima is kept.

    Args:
        model: A network that takes one batch of images.
        layer: Name of a layer that returns maps `[N, C, H, W]` (or `[N, H, W, C]`) or vectors
            `[N, C]`, or the layer itself. Where it is called several times, the first call counts.
        images: `[N, 3, H, W]` as the network takes them, that is, already normalised.
        count: How many patches for each channel.
        batch_size: How many images at a time; few are quicker on a CPU, many on a GPU.

    Raises:
        TypeError: The model is no module, or the images are no tensor.
        ValueError: There are fewer images than patches asked for; the layer returns neither
            maps nor vectors, or numbers that are not finite; it has no receptive field.
    """
    check_model(model)
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor [N, 3, H, W], got {type(images).__name__}.")
    if images.ndim != 4 or not 1 <= count <= len(images) or batch_size < 1:
        raise ValueError(
            f"for count={count} patches from different images, images must be a tensor "
            f"[{max(count, 1)} or more, 3, H, W]; got {list(images.shape)}. Count and batch_size "
            "must be 1 or more."
        )
    field = receptive_field(model, layer, images.shape)
    batches = list(enumerate(torch.split(images, batch_size)))
    best: list[Tensor] = []
    with preserve_state(model):
        model.eval()
        for index, batch in with_progress(batches, field.layer):
            captured = capture(model, to_model(model, batch), layer, stop_early=True)
            maps = captured[field.layer][0].cpu()
            check_one_for_each(maps, batch, field.layer)
            found = _strongest(maps, field, index * batch_size)
            joined = [torch.cat(pair) for pair in zip(best, found, strict=True)] if best else found
            # Stable: of equal values, those of earlier images stay in front.
            order = joined[0].sort(dim=0, descending=True, stable=True).indices[:count]
            best = [numbers.gather(0, order) for numbers in joined]
    values, found_in, places = (numbers.T.contiguous() for numbers in best)
    columns = field.map_shape[1]
    positions = torch.stack([places // columns, places % columns], dim=2)
    boxes = torch.tensor([[field.box(*unit) for unit in row] for row in positions.tolist()])
    return TopPatches(field.layer, field, values, found_in, positions, boxes)


def _strongest(maps: Tensor, field: ReceptiveField, first: int) -> list[Tensor]:
    """The highest value of each channel in each image, the image's index, the flat position."""
    if maps.ndim not in (2, 4):
        raise ValueError(
            f"{field.layer!r} returns {list(maps.shape)}; patches need maps [N, C, H, W] or "
            "vectors [N, C]."
        )
    maps = maps.movedim(-1, 1) if field.channels_last else maps
    flat = maps.flatten(2) if maps.ndim == 4 else maps[:, :, None]
    values = flat.amax(2)
    if not values.isfinite().all():
        raise ValueError(f"{field.layer!r} returns numbers that are not finite (NaN or infinity).")
    # argmax may take any of several equal places.
    places = torch.arange(flat.shape[2]).where(flat == values[:, :, None], flat.shape[2]).amin(2)
    return [values, torch.arange(first, first + len(maps))[:, None].expand_as(values), places]
