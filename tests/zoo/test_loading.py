"""The course's networks and everything that `load_model` can be asked for."""

import argparse
import functools
import hashlib
import http.server
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import ResNet18_Weights, SqueezeNet1_1_Weights

from vizhelpers._utils.paths import WEIGHTS
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD, normalize
from vizhelpers.scenes import CLASSES
from vizhelpers.zoo.architectures import ARCHITECTURES, fold_batch_norm
from vizhelpers.zoo.loading import ModelInfo, WeightsUnavailable, load_model

COURSE = ["alexnet", "vgg11", "resnet18"]
TRAINED = [path.stem for path in sorted(WEIGHTS.glob("*.safetensors"))]


def parts(model):
    """Name and type of every submodule."""
    return [(name, type(module)) for name, module in model.named_modules() if name]


def same_tensors(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty torch cache of its own, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("VIZHELPERS_OFFLINE", "1")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


class Evil:
    """A pickle that writes a file when it is opened."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return (Path.touch, (self.proof,))


# The architectures


@pytest.mark.parametrize("name", COURSE)
def test_layers_are_those_of_torchvision_in_other_widths(name):
    ours = ARCHITECTURES[name]()
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    assert parts(ours) == parts(theirs)
    pairs = zip(ours.modules(), theirs.modules(), strict=True)
    differing = {"padding", "stride"} if name == "resnet18" else set()  # layer4 keeps its size
    for layer, reference in pairs:
        for option in {"kernel_size", "stride", "padding", "inplace"} - differing:
            assert getattr(layer, option, None) == getattr(reference, option, None)


def test_resnet_ends_in_a_map_of_8_by_8():
    model = ARCHITECTURES["resnet18"]()
    shapes = []
    model.layer4.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape)))
    assert model.eval()(torch.zeros(2, 3, 128, 128)).shape == (2, 10)
    assert shapes == [(2, 128, 8, 8)]


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_folding_batch_norm_changes_names_and_no_output(name):
    torch.manual_seed(0)
    model = ARCHITECTURES[name](batch_norm=True)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    for norm in norms:  # as if trained: nothing is 0 or 1
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            tensor.uniform_(0.5, 2)
    images = torch.randn(1, 3, 128, 128)
    before = model.eval()(images)
    folded = fold_batch_norm(model)
    assert parts(folded) == parts(torchvision.models.get_model(name))
    assert (folded(images) - before).abs().max() <= 1e-5 * before.abs().max()


# weights="course"


@pytest.mark.parametrize("trained", TRAINED)
def test_course_network_holds_its_file_in_float32_and_eval_mode(trained):
    name, twin = trained.split("-")
    model = load_model(name, twin=twin)
    stored = {
        k: v.float() if v.is_floating_point() else v
        for k, v in load_file(WEIGHTS / f"{trained}.safetensors").items()
    }
    assert same_tensors(dict(model.state_dict()), stored)
    assert not any(module.training for module in model.modules())
    tensors = [*model.parameters(), *model.buffers()]
    assert {t.dtype for t in tensors} <= {torch.float32, torch.int64}
    assert {t.device.type for t in tensors} == {"cpu"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.info.weights == f"course, {twin}"


def test_default_is_the_fair_twin():
    assert same_tensors(
        load_model("alexnet").state_dict(), load_model("alexnet", twin="fair").state_dict()
    )
    assert not same_tensors(
        load_model("alexnet").state_dict(), load_model("alexnet", twin="shortcut").state_dict()
    )


def test_network_goes_to_the_device_asked_for():
    assert next(load_model("alexnet", device="meta").parameters()).device.type == "meta"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"name": "resnet81"}, ["resnet81", "Did you mean 'resnet18'", "alexnet, vgg11, resnet18"]),
        ({"name": "ResNet18"}, ["Did you mean 'resnet18'"]),
        ({"name": "resnet50"}, ["resnet50", "weights='imagenet'", "weights=None"]),
        ({"name": "resnet18", "twin": "shortcuts"}, ["Did you mean 'shortcut'", "fair, mixed"]),
        ({"name": "alexnet", "twin": "mixed"}, ["no 'mixed' twin of alexnet", "fair, shortcut"]),
        ({"name": "resnet1b", "weights": None}, ["resnet1b", "Did you mean"]),
        ({"name": "resnet1b", "weights": "imagenet"}, ["resnet1b", "'resnet18'"]),
        ({"name": "resnet18", "weights": None, "twin": "mixed"}, ["twin='mixed'", "'course'"]),
        ({"name": "resnet18", "device": "gpu"}, ["device", "gpu"]),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(call, words):
    with pytest.raises(ValueError) as caught:
        load_model(call.pop("name"), **call)
    for word in words:
        assert word in str(caught.value)


def test_wrong_kinds_are_type_errors():
    with pytest.raises(TypeError, match="name must be a string"):
        load_model(nn.Identity())
    with pytest.raises(TypeError, match="weights must be"):
        load_model("resnet18", weights=True)
    with pytest.raises(TypeError, match=r"seed must be an integer, got 1\.5"):
        load_model("resnet18", weights=None, seed=1.5)


def test_missing_course_weights_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr("vizhelpers.zoo.loading.WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="python -m vizhelpers train"):
        load_model("vgg11")


# weights=None


def test_untrained_networks_follow_the_seed():
    first, again, other = (load_model("resnet18", weights=None, seed=s) for s in (1, 1, 2))
    assert same_tensors(first.state_dict(), again.state_dict())
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
    assert type(first) is ARCHITECTURES["resnet18"]
    assert first.info.classes == tuple(CLASSES)
    assert first.info.weights == "untrained"


def test_other_architectures_are_torchvisions_full_size_ones():
    model = load_model("squeezenet1_1", weights=None)
    assert type(model) is torchvision.models.SqueezeNet
    assert model.info.input_size == 224
    assert len(model.info.classes) == 1000
    assert same_tensors(model.state_dict(), load_model("squeezenet1_1", weights=None).state_dict())


@pytest.mark.parametrize("weights", ["course", None, "path", "imagenet"])
def test_loading_leaves_the_random_generator_alone(weights, cache):
    name = "squeezenet1_1" if weights == "imagenet" else "resnet18"
    if weights == "path":
        weights = WEIGHTS / "resnet18-fair.safetensors"
    elif weights == "imagenet":
        put_in_cache(cache, SqueezeNet1_1_Weights.DEFAULT, load_model(name, weights=None))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(name, weights=weights)
    assert torch.equal(torch.rand(3), expected)


# info


def test_info_describes_the_course_networks():
    info = load_model("resnet18").info
    assert isinstance(info, ModelInfo)
    assert (info.name, info.input_size) == ("resnet18", 128)
    assert info.classes == tuple(CLASSES)
    assert (info.mean, info.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert "airplane" not in repr(info)  # 1000 names would drown the rest
    with pytest.raises(AttributeError):
        info.name = "other"


def test_transform_only_normalises_an_image_of_the_right_size():
    transform = load_model("alexnet").info.transform
    pixels = torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)
    expected = normalize(pixels.float() / 255)
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    for image in (pixels, pixels.float() / 255, picture):
        assert transform(image).dtype == torch.float32
        assert torch.allclose(transform(image), expected, atol=1e-6)
    assert torch.allclose(transform(pixels[None].expand(2, -1, -1, -1))[1], expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_transform_brings_every_picture_to_the_input_size(mode):
    transform = load_model("alexnet").info.transform
    assert transform(Image.new(mode, (300, 200), 1)).shape == (3, 128, 128)


# weights=path


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "regnet_y_400mf"])
def test_a_saved_state_dict_comes_back(name, suffix, tmp_path):
    model = load_model(name, weights=None, seed=3)
    path = tmp_path / f"mine{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(model.state_dict(), path)
    for weights in (path, str(path)):
        loaded = load_model(name, weights=weights)
        assert type(loaded) is type(model)
        assert same_tensors(loaded.state_dict(), model.state_dict())
        assert loaded.info.weights == path.name


def test_a_file_may_also_fit_the_full_size_network_of_that_name(tmp_path):
    full = torchvision.models.resnet18()
    torch.save(full.state_dict(), tmp_path / "full.pth")
    loaded = load_model("resnet18", weights=tmp_path / "full.pth")
    assert type(loaded) is torchvision.models.ResNet
    assert same_tensors(loaded.state_dict(), full.state_dict())
    assert loaded.info.input_size == 224


def test_what_does_not_fit_is_said_of_the_network_that_fits_best(tmp_path):
    state = ARCHITECTURES["resnet18"](num_classes=3).state_dict()
    torch.save(state, tmp_path / "three.pth")
    with pytest.raises(
        ValueError,
        match=r"three\.pth does not fit NarrowResNet18:\n.*fc\.weight \[3, 128\] for \[10, 128\]",
    ):
        load_model("resnet18", weights=tmp_path / "three.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(
        ValueError, match=r"Missing: conv1.*more\n.*Not in the model: a\n"
    ) as caught:
        load_model("resnet18", weights=tmp_path / "a.safetensors")
    assert max(map(len, str(caught.value).splitlines()[1:])) <= 200


def cut_short(path):
    torch.save(ARCHITECTURES["alexnet"]().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-5000])


def cut_safetensors(path):
    save_file(ARCHITECTURES["alexnet"]().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-5000])


def deflated(path):
    """Zeros in a zip file that compresses them, as torch.save never does."""
    torch.save({"w": torch.zeros(2_000_000)}, path)
    with zipfile.ZipFile(path) as stored:
        files = {entry.filename: stored.read(entry) for entry in stored.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)


def old_format(path):
    torch.save({"w": Evil(path)}, path, _use_new_zipfile_serialization=False)


WEIGHT = {"w": torch.zeros(3)}
# How a file is written, and what is said of it.
BAD = {
    "empty": (lambda path: path.touch(), "is empty"),
    "noise": (lambda path: path.write_bytes(b"\x93" * 4000), r"no \.safetensors or \.pth file"),
    "page": (lambda path: path.write_bytes(b"\n <!DOCTYPE html><html>Sign in"), "is a web page"),
    "cut": (cut_short, "damaged, cut short"),
    "cut .safetensors": (cut_safetensors, "damaged, cut short"),
    "deflated": (deflated, "bytes, of which 8,000,"),
    "expanded": (
        lambda path: torch.save({"w": torch.zeros(1).expand(10**9)}, path),
        "bytes, of which 4,000,000,000",
    ),
    "model": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        r"whole model.*model\.state_dict\(\)",
    ),
    "namespace": (
        lambda path: torch.save(WEIGHT | {"args": argparse.Namespace()}, path),
        r"\(argparse\.Namespace\).*model\.state_dict\(\)",
    ),
    "NumPy": (lambda path: torch.save(WEIGHT | {"loss": np.float64(1)}, path), "multiarray.scalar"),
    "old": (old_format, "damaged"),
    "list": (lambda path: torch.save([1, 2], path), "holds no state dict but a list"),
    "tensor": (lambda path: torch.save(WEIGHT["w"], path), "holds no state dict but a Tensor"),
    "nothing": (lambda path: torch.save({"epoch": 3, "net": {}}, path), "no tensors.*epoch, net"),
    "extra": (lambda path: torch.save(WEIGHT | {"n": 3}, path), "'n', which is no tensor"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_called_what_they_are(kind, tmp_path):
    write, words = BAD[kind]
    both = [".pth", ".safetensors"] if kind in ("empty", "noise", "page") else [".pth"]
    for suffix in [".safetensors"] if kind == "cut .safetensors" else both:
        path = tmp_path / f"weights{suffix}"
        write(path)
        with pytest.raises(ValueError, match=words):
            load_model("alexnet", weights=path)


def test_a_pickle_is_never_executed(tmp_path):
    proof = tmp_path / "executed"
    torch.save({"features.0.weight": Evil(proof)}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"holds more than numbers \(.*pathlib"):
        load_model("alexnet", weights=tmp_path / "evil.pth")
    assert not proof.exists()


@pytest.mark.parametrize("key", ["state_dict", "model", "net", None])
def test_checkpoints_and_home_folders(key, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = load_model("alexnet", weights=None, seed=3)
    state = model.state_dict()
    content = state if key is None else {key: state, "loss": torch.tensor(0.5), "epoch": 3}
    torch.save(content, tmp_path / "c.pth")
    assert same_tensors(load_model("alexnet", weights="~/c.pth").state_dict(), state)


def test_paths_that_are_no_weights_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file .*imagenett"):
        load_model("alexnet", weights="imagenett")
    with pytest.raises(FileNotFoundError):
        load_model("alexnet", weights=tmp_path)


# weights="imagenet"


def put_in_cache(folder, weights, model):
    path = folder / weights.url.rsplit("/", 1)[-1]
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet18", ResNet18_Weights.DEFAULT), ("squeezenet1_1", SqueezeNet1_1_Weights.DEFAULT)],
)
def test_cached_imagenet_weights_load_offline(name, weights, cache):
    stored = torchvision.models.get_model(name)
    put_in_cache(cache, weights, stored)
    model = load_model(name, weights="imagenet")
    assert type(model) is type(stored)
    assert same_tensors(model.state_dict(), stored.state_dict())
    assert not model.training
    assert model.info.classes == tuple(weights.meta["categories"])
    assert model.info.weights == "imagenet, IMAGENET1K_V1"
    image = torch.rand(3, 300, 260)
    assert torch.equal(model.info.transform(image), weights.transforms()(image))


@pytest.mark.parametrize("way", ["offline", "unreachable"])
def test_unavailable_weights_say_what_where_and_what_else(way, cache, monkeypatch):
    if way == "unreachable":
        monkeypatch.delenv("VIZHELPERS_OFFLINE")

        def nobody(*_args, **_options):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr(Path, "home", lambda: cache.parent.parent)
    with pytest.raises(WeightsUnavailable) as caught:
        load_model("resnet18", weights="imagenet")
    message = str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    for words in (
        "ImageNet weights of resnet18",
        "45 MB from https://download.pytorch.org/models/resnet18-f37072fd.pth",
        str(Path("~/hub/checkpoints/resnet18-f37072fd.pth")),
        "load_model('resnet18') needs no download",
        "VIZHELPERS_OFFLINE" if way == "offline" else "Name or service not known",
    ):
        assert words in message
    assert caught.value.headline == (
        "The ImageNet weights of resnet18 (45 MB) are not here; "
        "load_model('resnet18') needs no download."
    )
    assert list(cache.iterdir()) == []


def test_where_the_course_has_no_such_network_the_alternative_is_untrained(cache):
    with pytest.raises(WeightsUnavailable, match="weights=None") as caught:
        load_model("resnet152", weights="imagenet")
    assert "resnet152" in caught.value.headline
    assert "untrained" in caught.value.headline


@pytest.mark.parametrize("harm", ["cut", "page", "other", "evil"])
def test_a_bad_file_in_the_cache_is_named_and_never_executed(harm, cache):
    model = load_model("squeezenet1_1", weights=None)
    path = put_in_cache(cache, SqueezeNet1_1_Weights.DEFAULT, model)
    proof = cache / "executed"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:100_000])
    elif harm == "page":
        path.write_bytes(b"<html>Sign in</html>")
    elif harm == "other":
        torch.save({"weight": torch.zeros(1)}, path)
    else:
        torch.save({"weight": Evil(proof)}, path)
    with pytest.raises(ValueError, match="Delete that file") as caught:
        load_model("squeezenet1_1", weights="imagenet")
    assert path.name in str(caught.value)
    assert not proof.exists()


@pytest.fixture
def server(tmp_path_factory, monkeypatch, cache):
    """A web server on this machine that torchvision takes for its own."""
    folder = tmp_path_factory.mktemp("server")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    web = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    )
    threading.Thread(target=web.serve_forever, daemon=True).start()
    monkeypatch.delenv("VIZHELPERS_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def offer(content, digest):
        name = f"squeezenet1_1-{digest[:8]}.pth"
        (folder / name).write_bytes(content)
        url = f"http://127.0.0.1:{web.server_port}/{name}"
        monkeypatch.setattr(SqueezeNet1_1_Weights.DEFAULT.value, "url", url)
        return cache / name

    yield offer
    web.shutdown()
    web.server_close()


def test_weights_are_downloaded_once_and_then_cached(server, tmp_path, monkeypatch, capsys):
    stored = load_model("squeezenet1_1", weights=None, seed=9)
    torch.save(stored.state_dict(), tmp_path / "x.pth")
    content = (tmp_path / "x.pth").read_bytes()
    path = server(content, hashlib.sha256(content).hexdigest())
    model = load_model("squeezenet1_1", weights="imagenet")
    assert same_tensors(model.state_dict(), stored.state_dict())
    assert path.read_bytes() == content
    printed = capsys.readouterr()
    assert printed.out == ""  # else a notebook would keep the path
    assert "%" in printed.err  # the progress bar
    monkeypatch.setenv("VIZHELPERS_OFFLINE", "1")
    load_model("squeezenet1_1", weights="imagenet")


def test_a_download_with_the_wrong_content_is_not_kept(server):
    path = server(b"<html>Sign in to this network</html>", "0" * 64)
    with pytest.raises(WeightsUnavailable, match="invalid hash"):
        load_model("squeezenet1_1", weights="imagenet")
    assert list(path.parent.iterdir()) == []


def test_a_page_not_found_is_reported(server):
    server(b"", "1" * 64)
    SqueezeNet1_1_Weights.DEFAULT.value.url += ".gone.pth"
    with pytest.raises(WeightsUnavailable, match="404"):
        load_model("squeezenet1_1", weights="imagenet")
