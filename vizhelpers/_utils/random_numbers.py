"""Random numbers of a seed, drawn so that nobody else's change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Draw PyTorch's random numbers from a seed, and leave the global generators as they were."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the GPUs as well.
        torch.default_generator.manual_seed(seed)
        yield
