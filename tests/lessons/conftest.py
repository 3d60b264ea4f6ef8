"""What tests of several lessons look at, read once for each file of tests."""

import pytest
from torch import nn

import vizhelpers as vh


@pytest.fixture(scope="module")
def scenes() -> vh.scenes.SceneBatch:
    """All shipped scenes."""
    return vh.load_scenes()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """The network that most lessons look at; no test changes it."""
    return vh.load_model("resnet18")
