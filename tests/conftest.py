"""For all tests: one thread for each worker, since two on a busy machine wait for each other.

And nothing is written into the record of what whoever runs them has answered.
"""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too
os.environ["VIZHELPERS_PROGRESS"] = "off"

import pytest
import torch

torch.set_num_threads(1)

# Long files first: at the end, no worker waits for the other one's. Those of tests/browser follow
# each other, so that they can share a JupyterLab.
LONG = ("tests/browser", "notebooks", "tests/course")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, which workers take in this order."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONG])


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the run: PyTorch, and all tests."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let Python's end find all of it again."""
    gc.unfreeze()
