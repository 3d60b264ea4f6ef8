"""Which parts of drawn objects a unit responds to, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vizhelpers.features.patches import TopPatches
from vizhelpers.scenes import CLASSES, PARTS


@dataclass(frozen=True)
class PartShare:
    """On how many of a channel's top patches one part of one object is in the middle.

    Attributes:
        channel: Which channel of the layer.
        part: Such as "wheel of a car", or "background".
        hits: On so many patches.
        count: Of so many.
        base_rate: How much of all pixels the part covers, from 0 to 1.
        chance: How probable as many hits are for patches at random places.
    """

    channel: int
    part: str
    hits: int
    count: int
    base_rate: float
    chance: float

    def __str__(self) -> str:
        return (
            f"channel {self.channel}: {self.part} {self.hits} of {self.count}, "
            f"{self.base_rate:.2%} of all pixels, by chance {self.chance:.1g}"
        )


@dataclass(frozen=True, eq=False)
class PartShares:
    """What is in the middle of every channel's top patches; from `part_shares`.

    Attributes:
        names: The parts that occur in the scenes, such as "wheel of a car"; first "background".
        hits: int64 `[C, parts]`, on how many patches of a channel a part is in the middle.
        counts: int64 `[C]`, of how many patches: those with a response above zero.
        base_rates: float64 `[parts]`, how much of all pixels each part covers.
        shown: bool `[C, k, parts]`, which part is in the middle of which patch.
    """

    names: tuple[str, ...]
    hits: Tensor
    counts: Tensor
    base_rates: Tensor
    shown: Tensor

    def ranked(self) -> list[PartShare]:
        """For every channel its most surprising part, the most surprising channel first.

        Who looks at many channels and parts finds something rare by chance alone. So `chance`
        is multiplied by the number of channels and of parts (Bonferroni): it is the highest
        probability with which any of them has as many hits at random places.
        """
        chances = (self._chances() * self.hits.numel()).clamp(max=1)
        best = (
            self._share(channel, int(row.argmin()), chances) for channel, row in enumerate(chances)
        )
        return sorted(best, key=lambda share: share.chance)

    def patches_with(self, channel: int, part: str) -> Tensor:
        """Which of a channel's top patches have a part in the middle: bool `[k]`, to frame them.

        Raises:
            ValueError: There is no such channel, or no such part in these scenes.
        """
        self._check(channel, part)
        return self.shown[channel, :, self.names.index(part)]

    def share(self, channel: int, part: str) -> PartShare:
        """Check one claim that was made before, from other images: nothing is corrected for.

        Raises:
            ValueError: There is no such channel, or no such part in these scenes.
        """
        self._check(channel, part)
        return self._share(channel, self.names.index(part), self._chances())

    def _check(self, channel: int, part: str) -> None:
        if not 0 <= channel < len(self.hits) or part not in self.names:
            raise ValueError(
                f"there are channels 0 to {len(self.hits) - 1} and these parts: "
                f"{', '.join(self.names)}. Not channel {channel!r} and {part!r}."
            )

    def _chances(self) -> Tensor:
        """Of every channel and part, the probability of so many hits or more: [C, parts]."""
        from scipy.stats import binom  # type: ignore[import-untyped]

        return torch.from_numpy(
            binom.sf(self.hits.numpy() - 1, self.counts[:, None].numpy(), self.base_rates.numpy())
        )

    def _share(self, channel: int, part: int, chances: Tensor) -> PartShare:
        return PartShare(
            channel,
            self.names[part],
            hits=int(self.hits[channel, part]),
            count=int(self.counts[channel]),
            base_rate=float(self.base_rates[part]),
            chance=float(chances[channel, part]),
        )


def part_shares(patches: TopPatches, parts: Tensor, labels: Tensor) -> PartShares:
    """Count which part of which object is in the middle of each channel's top patches.

    The middle is the centre pixel of what the unit sees, which counts most for its response
    (Luo et al., "Understanding the Effective Receptive Field", 2016, arXiv:1701.04128).
    Compared with the share of pixels that the part covers, this tells whether a channel
    responds to the part. It is found on these scenes: a claim about the network should be
    checked on others, by `part_shares(…).share(channel, part)`. And it rules out chance only:
    a channel for dark dots on white finds eyes, too.

    Args:
        patches: From `top_patches`.
        parts: uint8 `[N, H, W]`, index in `PARTS`, of the same scenes in the same order.
        labels: int64 `[N]`, index in `CLASSES`.

    Raises:
        ValueError: Parts or labels do not fit the images of the patches, or the layer's units
            have no place in the image because each sees all of it.
    """
    field = patches.field
    if parts.shape != (len(labels), *field.image_shape) or len(labels) <= patches.images.max():
        raise ValueError(
            f"parts [N, {field.image_shape[0]}, {field.image_shape[1]}] and labels [N] must be "
            "those of the images in which the patches were found; got "
            f"{list(parts.shape)} and {list(labels.shape)}."
        )
    if field.stride is None or 0 in field.stride:
        raise ValueError(f"{field} So they have no middle; choose a layer with maps.")
    groups = (labels[:, None, None] * len(PARTS) + parts).where(parts > 0, 0)
    pixels = groups.flatten().bincount()
    ids = pixels.nonzero()[:, 0]
    rows, columns = _middles(patches).unbind(2)
    responds = patches.values > 0
    shown = (groups[patches.images, rows, columns][:, :, None] == ids) & responds[:, :, None]
    return PartShares(
        names=tuple(_name(group) for group in ids.tolist()),
        hits=shown.sum(1),
        counts=responds.sum(1),
        base_rates=pixels[ids].double() / groups.numel(),
        shown=shown,
    )


def _middles(patches: TopPatches) -> Tensor:
    """Row and column of the pixel in the middle of what each unit sees: [C, k, 2]."""
    field = patches.field
    middle = torch.tensor(field.start) + torch.tensor(field.size) // 2
    pixels = middle + patches.positions * torch.tensor(field.stride)
    return pixels.clamp(min=torch.tensor([0, 0]), max=torch.tensor(field.image_shape) - 1)


def _name(group: int) -> str:
    if group == 0:
        return "background"
    label, part = divmod(group, len(PARTS))
    article = "an" if CLASSES[label][0] in "aeiou" else "a"
    return f"{PARTS[part]} of {article} {CLASSES[label]}"
