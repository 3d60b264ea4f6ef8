"""Models brought by a short text, and state dicts that do not fit: what is said, and the cure."""

import re
import sys

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from vizhelpers.zoo import load_weights, load_your_model
from vizhelpers.zoo.your_model import describe_weights

NET = """
from torch import nn
from blocks import conv

class Net(nn.Module):
    def __init__(self, classes, width=8):
        super().__init__()
        self.body = nn.Sequential(conv(3, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

def smaller():
    return Net(4, width=2)

def broken():
    return Net(1 / 0)

ready = smaller()
number = 3
"""
FILES = {
    "net.py": NET,
    "blocks.py": "from torch import nn\n\ndef conv(a, b):\n    return nn.Conv2d(a, b, 3)\n",
    "package/__init__.py": "",
    "package/parts.py": "from torch import nn\nHead = nn.Linear\n",
    "package/net.py": "from .parts import Head\n",
    "imports.py": "from torch import nn\nimport no_such_package\n",
    "typo.py": "from torch import nn\nclass Net(:\n",
    "program.py": "import sys\nsys.exit(2)\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Some Python files, and caches of packages that hold nothing; no import stays behind."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def fits(model, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("net.py:Net(5, width=4)", "Net", 3 * 4 * 9 + 4 + 4 * 5 + 5),
        ("./net.py:smaller", "Net", 3 * 2 * 9 + 2 + 2 * 4 + 4),
        ("net.py:ready", "Net", 3 * 2 * 9 + 2 + 2 * 4 + 4),
        ("package/net.py:Head(2, 3)", "Linear", 9),
        ("course:resnet18(twin='shortcut')", "NarrowResNet18", None),
        ("torchvision:squeezenet1_1(num_classes=7)", "SqueezeNet", None),
        ("timm:test_resnet(in_chans=1)", "ResNet", None),
    ],
)
def test_a_text_names_a_model(text, kind, parameters):
    path, state = list(sys.path), torch.get_rng_state()
    model = load_your_model(text)
    assert type(model).__name__ == kind
    assert not any(module.training for module in model.modules())
    assert parameters in (None, sum(p.numel() for p in model.parameters()))
    assert sys.path == path
    assert torch.equal(torch.get_rng_state(), state)
    assert fits(model, load_your_model(text).state_dict()), "the same seed, the same weights"


def test_a_file_finds_its_own_neighbour_first(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for place, width in ((folder, 5), (elsewhere, 6)):
        (place / "my_width.py").write_text(f"WIDTH = {width}")
    monkeypatch.syspath_prepend(elsewhere)
    text = "import torch\nfrom my_width import WIDTH\nready = torch.nn.Linear(2, WIDTH)"
    (folder / "near.py").write_text(text)
    assert load_your_model("near.py:ready").out_features == 5


def test_a_changed_file_is_read_again(folder):
    load_your_model("net.py:smaller")
    (folder / "net.py").write_text(NET.replace("width=2", "width=30"))
    assert load_your_model("net.py:smaller").head.in_features == 30


def test_untrained_is_said_and_segmentation_fetches_no_backbone(monkeypatch):
    def no_network(*_, **__):
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    model = load_your_model("torchvision:lraspp_mobilenet_v3_large(num_classes=3)")
    assert model.info.weights == "untrained"
    assert model.info.classes == ()
    assert load_your_model("timm:test_resnet").info.input_size == 160
    assert load_your_model("torchvision:squeezenet1_1").info.classes[285] == "Egyptian cat"


def test_where_the_weights_are_from_is_said_also_of_a_class_that_was_loaded_from_a_file(folder):
    assert "untrained" in describe_weights(load_your_model("timm:test_resnet"))
    torch.save(load_your_model("net.py:smaller").state_dict(), "net.pth")
    model = load_your_model("net.py:smaller", weights="net.pth")
    assert describe_weights(model, "net.pth") == "Its weights: net.pth."
    assert "random, unless that code loads some" in describe_weights(model)


def test_weights_in_a_packages_cache_are_used(folder):
    model = torchvision.models.squeezenet1_1()
    cache = folder / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(model.state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    loaded = load_your_model("torchvision:squeezenet1_1")
    assert fits(loaded, model.state_dict())
    assert loaded.info.weights == "imagenet, IMAGENET1K_V1"

    model = timm.create_model("test_resnet")
    name = timm.get_pretrained_cfg("test_resnet").hf_hub_id.replace("/", "--")
    snapshot = folder / "hub" / f"models--{name}" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("1")
    save_file(model.state_dict(), snapshot / "model.safetensors")
    loaded = load_your_model("timm:test_resnet")
    assert fits(loaded, model.state_dict())
    assert "timm's cache" in loaded.info.weights


def test_a_file_of_weights_fills_the_model(folder):
    model = load_your_model("net.py:Net(5)", seed=1)
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, "a.pth")
    loaded = load_your_model("net.py:Net(5)", weights="a.pth", prefix="module.")
    assert fits(loaded, model.state_dict())
    squeezenet = load_your_model("torchvision:squeezenet1_1(num_classes=7)", seed=1)
    save_file(squeezenet.state_dict(), "s.safetensors")
    text = "torchvision:squeezenet1_1(num_classes=7)"
    loaded = load_your_model(text, weights=folder / "s.safetensors")
    assert fits(loaded, squeezenet.state_dict())
    assert loaded.info.weights == "s.safetensors"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resnet18", "Did you mean 'torchvision:resnet18'"),
        ("tv:resnet18", r"names no model\. Write torchvision:resnet18, timm:"),
        ("net.py", r"such as net\.py:Net$"),
        ("torchvision:resnet81", "no architecture 'resnet81'. Did you mean 'resnet18'"),
        ("timm:resnett26d", "Did you mean 'resnet26d'"),
        ("course:alexnett", "Did you mean 'alexnet'"),
        ("torchvision:squeezenet1_1(3)", r"too many positional.*squeezenet1_1\(num_classes=10\)"),
        ("torchvision:squeezenet1_1(klasses=3)", "unexpected keyword argument 'klasses'"),
        ("net.py:Net(width=__import__('os').getcwd())", r"arguments .* cannot be read"),
        ("net.py:Net", r"missing a required argument: 'classes'.*like this: Net\(classes=…\)"),
        ("net.py:Nett", "Did you mean 'Net'"),
        ("net.py:number", r"no class or function 'number'.*Net, smaller, broken"),
        ("net.py:broken", "broken could not be built: ZeroDivisionError"),
        ("blocks.py:conv", r"like this: conv\(a=…, b=…\)"),
        ("imports.py:Net", r"imports\.py cannot be run: .*no_such_package.* \(line 2\)"),
        ("typo.py:Net", r"SyntaxError: .* \(line 2\)"),
        ("program.py:Net", "ended itself.*__main__"),
    ],
)
def test_what_cannot_be_loaded_says_why(text, words):
    path = list(sys.path)
    with pytest.raises(ValueError, match=words):
        load_your_model(text)
    assert sys.path == path


def test_files_that_are_not_there():
    with pytest.raises(FileNotFoundError, match=r"no nett\.py\. Did you mean 'net\.py'"):
        load_your_model("nett.py:Net")
    with pytest.raises(FileNotFoundError, match=r"no file a\.pth"):
        load_your_model("net.py:ready", weights="a.pth")
    with pytest.raises(ValueError, match="give weights="):
        load_your_model("net.py:ready", prefix="module.")


# -- state dicts that do not fit ----------------------------------------------------------------


def network(classes=4):
    return nn.ModuleDict(
        {"conv": nn.Conv2d(3, 8, 3), "norm": nn.BatchNorm2d(8), "fc": nn.Linear(8, classes)}
    )


def with_prefix(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def renamed(old, new):
    return {name.replace(old, new): tensor for name, tensor in STATE.items()}


STATE = network().state_dict()
OTHER_CLASSES = network(10).state_dict()
WRONG = {
    "module.": (
        with_prefix("module.", STATE),
        r"All 9 names begin with 'module\.' \(torch.*prefix='module\.'[^\n]*$",
    ),
    "model. and more": (
        {"loss.weight": torch.zeros(3), **with_prefix("model.", STATE)},
        r"9 of 10 names begin with 'model\.'.*leaves out loss\.weight",
    ),
    "other classes": (OTHER_CLASSES, r"fc\.weight \[10, 8\] for \[4, 8\].*num_classes=10"),
    "both": (
        with_prefix("net.", OTHER_CLASSES),
        r"prefix='net\.'.*After that.*fc\.weight \[10, 8\] for \[4, 8\].*num_classes=10",
    ),
    "too few": (
        {name: tensor for name, tensor in STATE.items() if "fc" not in name},
        r"Missing: fc\.weight, fc\.bias$",
    ),
    "too many": (STATE | {"ema.decay": torch.zeros(1)}, r"Not in the model: ema\.decay$"),
    "misspelt": (
        dict(reversed(renamed("norm", "bn").items())),
        r"Not in the model: bn\.\w+ \(is it norm\.\w+\?\)",
    ),
    "renamed": (renamed("conv", "c"), r"only the names differ.*dict\(zip"),
    "another": (
        torchvision.models.squeezenet1_1().state_dict(),
        "Only 0 of 9 fit.*another architecture",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_dict_that_does_not_fit_says_why_and_changes_nothing(case):
    state, words = WRONG[case]
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=re.compile(words, re.DOTALL)):
        load_weights(model, state)
    assert fits(model, before)


def test_the_cures_cure():
    model = network()
    assert fits(load_weights(model, WRONG["module."][0], prefix="module."), STATE)
    assert fits(load_weights(network(), WRONG["model. and more"][0], prefix="model."), STATE)
    renamed = dict(zip(model.state_dict(), WRONG["renamed"][0].values(), strict=True))
    assert fits(load_weights(network(), renamed), STATE)
    part = nn.ModuleDict({"backbone": network(), "head": nn.Linear(2, 3)})
    with pytest.raises(ValueError, match=r"load_weights\(model\.backbone, …\)"):
        load_weights(part, STATE)
    assert fits(load_weights(part.backbone, STATE), STATE)
    old = {name: tensor for name, tensor in STATE.items() if "num_batches" not in name}
    load_weights(network(), old)  # files of before PyTorch 0.4.1, which PyTorch itself accepts


def test_a_prefix_that_is_not_there_names_the_first_names():
    with pytest.raises(ValueError, match=r"begins with 'modul\.'\. The first are: conv\.weight"):
        load_weights(network(), STATE, prefix="modul.")
