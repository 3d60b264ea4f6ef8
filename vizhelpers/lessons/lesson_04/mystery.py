"""The two unnamed networks of lesson 04: which one cheats?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from torch import nn


def mystery_networks() -> dict[str, nn.Module]:
    """Two ResNet18 called A and B: one knows the objects, the other their backgrounds.

    Which is which is not to be read off this code at a glance. Look at their maps instead.
    """
    from vizhelpers.zoo.loading import load_model

    twins = sorted(("fair", "shortcut"), key=lambda name: crc32(name.encode()))
    networks: dict[str, Any] = {}
    for letter, twin in zip("AB", twins, strict=True):
        networks[letter] = load_model("resnet18", twin=twin)
        networks[letter].info = replace(networks[letter].info, weights="not told")
    return networks
