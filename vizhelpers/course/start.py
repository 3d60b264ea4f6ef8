"""The first cell of every lesson: fix the seeds, use one thread, print the versions."""

import os
import random
from importlib.metadata import version

import numpy as np
import torch

SEED = 0


def start_lesson(*packages: str) -> None:
    """Start a lesson: fix the seeds of Python, NumPy and PyTorch, use one thread, print versions.

    One thread is not slow here: the networks are small, and with two threads on a busy machine a
    forward pass can take twenty times as long. It also makes sums come out the same everywhere.

    Args:
        packages: Further packages whose versions the lesson depends on, such as ``"torchinfo"``.

    Example:
        >>> start_lesson()
        torch ... · seed 0 · 1 thread · ...
    """
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    # Without this, "2.15.0+cpu" here and "2.15.0+cu132" there would count as a difference.
    versions = [f"{name} {version(name).split('+')[0]}" for name in ("torch", *packages)]
    offline = os.environ.get("VIZHELPERS_OFFLINE") == "1"
    network = "offline" if offline else "network used only where a cell says so"
    print(" · ".join([*versions, f"seed {SEED}", "1 thread", network]))
