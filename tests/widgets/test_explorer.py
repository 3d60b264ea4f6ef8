"""The explorer without a browser: what a page sends is set as the page sets it.

Every pane's line of code is run, and its picture compared pixel by pixel.
"""

import asyncio
import copy
import io
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.models import ALL
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

import vizhelpers as vh
from vizhelpers.figures import to_png
from vizhelpers.widgets.explorer import Explorer, explore
from vizhelpers.widgets.explorer import explorer as module
from vizhelpers.widgets.explorer.panes import PANES
from vizhelpers.widgets.explorer.pictures import side_of

IMAGES = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
NAMES = ("red", "green", "blue", "grey")


def net(channels: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = nn.Sequential(
            *(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
            *(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
            *(nn.Flatten(), nn.Linear(8, 4)),
        )
    return layers.eval()


@pytest.fixture(name="model")
def trained_model() -> nn.Sequential:
    return net()


@pytest.fixture(name="explorer")
def made_explorer(model: nn.Sequential) -> Explorer:
    return explore(model, IMAGES, classes=NAMES)


def by_code(explorer: Explorer, /, **names: Any) -> bytes:
    """What the lines of code make, in a notebook where things have these names."""
    *lines, last = explorer.code.split("\n")
    there = {"__name__": "notebook", "vh": vh, "model": explorer.model, "images": IMAGES, **names}
    exec("\n".join(lines), there)
    return to_png(eval(last, there))


# What can be chosen in each pane, so that the code has to say it.
CHOICES: dict[str, dict[str, Any]] = {
    "kernels": {"channel": 5},
    "maps": {"channel": 3, "position": (1, 2)},
    "cam": {"target": 2, "method": "HiResCAM"},
    "saliency": {"target": 1, "method": "SmoothGrad"},
    "ascent": {"channel": 2, "steps": 5},
}


@pytest.mark.parametrize("pane", PANES)
def test_code_makes_the_picture(explorer: Explorer, pane: str) -> None:
    some_grads(explorer.model)
    before, numbers = portrait(explorer.model), random_numbers()
    explorer.pick(layer="3", pane=pane, image=1)
    as_found = explorer.picture
    explorer.pick(**CHOICES.get(pane, {}))
    assert (portrait(explorer.model), random_numbers()) == (before, numbers)
    assert explorer.last_error is None and not explorer.refusal
    assert by_code(explorer) == explorer.picture
    assert (explorer.picture != as_found) == (pane in CHOICES)
    assert explorer.pane_content("3", pane, 1, **CHOICES.get(pane, {})).png == explorer.picture
    assert explorer.text in explorer.status.value.replace("&#x27;", "'")


AWKWARD: dict[str, Callable[[], tuple[nn.Module, Tensor, str, str]]] = {
    "tokens": lambda: (
        VisionTransformer(24, 8, 1, 2, 16, 16, num_classes=4).eval(),
        IMAGES,
        "encoder.ln",
        "tokens instead of places: 3×3 patches are put back where they were, 1 other token left",
    ),
    "channels last": lambda: (
        SwinTransformer([4, 4], 8, [1, 1], [1, 1], [3, 3], num_classes=4).eval(),
        IMAGES,
        "features.1",
        "its channels come last",
    ),
    "dictionary": lambda: (*awkward("dict_output"), "features.3", "out['logits'] is taken"),
    "tuple": lambda: (*awkward("tuple_output"), "features.3", "out[0] is taken"),
    "in place": lambda: (*awkward("inplace_relu"), "features.0", ""),
    "one channel": lambda: (*awkward("one_channel"), "features.3", "pictures become grey"),
    "in training": lambda: (*awkward("residual"), "layer1", "in training mode"),
    "segmentation": lambda: (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval(),
        IMAGES,
        "1",
        "the score of a class is the mean over all places",
    ),
    "frozen": lambda: (net().requires_grad_(False), IMAGES, "2", ""),
    "one number": lambda: (
        nn.Sequential(net(), nn.Linear(4, 1), nn.Flatten(0)).eval(),
        IMAGES,
        "0.2",
        "one number for each picture, which is taken as its score",
    ),
}


def awkward(name: str) -> tuple[nn.Module, Tensor]:
    network, (images,) = ALL[name].build()
    return network, images


@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_models(case: str) -> None:
    model, images, layer, words = AWKWARD[case]()
    before, numbers = portrait(model), random_numbers()
    explorer = explore(model, images, layer=layer)
    for pane in ("maps", "cam", "ascent"):
        explorer.pick(pane=pane, **({"steps": 2} if pane == "ascent" else {}))
        assert explorer.last_error is None and explorer.picture, explorer.text
        said = explorer.text if pane == "maps" else ""
        assert pane != "maps" or words in " ".join([said, *explorer.notes])
        assert (portrait(model), random_numbers()) == (before, numbers)
        if pane != "ascent":
            assert by_code(explorer, model=copy.deepcopy(model), images=images) == explorer.picture


def test_a_layer_under_two_names_or_called_twice_says_so() -> None:
    model, images = ALL["shared_conv"].build()
    explorer = explore(model, *images)
    notes = {row.name: row.note for row in explorer.rows if row.note}
    assert notes == {"first": "called 2 times", "second": "the same layer as first"}


def test_tree_adds_up(explorer: Explorer) -> None:
    whole, *rows = explorer.rows
    assert explorer.layers == ("", *map(str, range(8)))
    assert whole.parameters == sum(p.numel() for p in explorer.model.parameters())
    assert whole.parameters == sum(row.parameters for row in rows)
    budget = vh.inspection.layer_budget(explorer.model, (1, 3, 24, 24))
    assert whole.mult_adds == budget.mult_adds == sum(row.mult_adds for row in rows)
    assert [row.shape for row in rows][:4] == ["6×22×22"] * 3 + ["8×10×10"]


@pytest.mark.parametrize(
    ("layer", "pane", "words"),
    [
        ("2", "kernels", "ReLU layers have no kernels. Choose “0”"),
        ("", "kernels", "being made of other layers. Choose “0”"),
        ("1", "kernels", "its weights are [6]"),
        ("7", "maps", "it returns 4 numbers for the whole picture"),
        ("5", "maps", "it returns 8 numbers with one place each"),
        ("7", "cam", "it returns 4 numbers"),
        ("", "cam", "choose a layer in it"),
        ("6", "weights", "Flatten layers have no weights"),
    ],
)
def test_what_does_not_apply_says_why(
    explorer: Explorer, layer: str, pane: str, words: str
) -> None:
    explorer.tree.chosen = layer
    explorer.tabs.chosen = pane
    assert words in explorer.refusal == explorer.why_not(layer, pane)
    assert words[1:] in explorer.text and "vh-refusal" in explorer.status.value
    assert (explorer.picture, explorer.pictures, explorer.code) == (b"", (), "")
    assert words in explorer.tabs.refused[pane] and words in explorer.tree.refused[layer]
    assert words in explorer.pane_content(layer, pane).refusal


class OneNumber(nn.Module):
    """Two layers that no pane's usual shapes fit, and an answer without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.volume, self.rows = nn.Conv3d(3, 4, 1), nn.LSTM(24, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        volume = self.volume(images[..., None])
        return self.rows(volume.mean((1, 4)))[0].mean()


class Detector(OneNumber):
    """Returns what torchvision's detectors return, of one box."""

    def forward(self, images: Tensor) -> Any:
        return [{"boxes": super().forward(images).expand(1, 4), "scores": torch.ones(1)}]


def test_shapes_that_no_pane_knows_are_said() -> None:
    explorer = explore(OneNumber().eval(), IMAGES)
    for layer, pane, words in (
        ("volume", "maps", "it returns [1, 4, 24, 24, 1], neither maps"),
        ("rows", "maps", "it returns 3 tensors: which one is meant cannot be told"),
        ("", "cam", "the network returns a single number, no scores"),
    ):
        assert words in explorer.why_not(layer, pane)
    detector = explore(Detector().eval(), IMAGES)
    assert "a list without scores [1, K]. It holds {\"[0]['boxes']\": [1, 4]" in detector.answer


def test_grey_pictures_without_a_convolution() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 4)).eval()
    explorer = explore(model, IMAGES[:, :1], pane="saliency")
    assert by_code(explorer, images=IMAGES[:, :1]) == explorer.picture
    with torch.no_grad():
        model[1].weight.mul_(torch.nan)
    explorer.refresh()
    assert "not finite" in explorer.answer


def test_no_class_scores() -> None:
    explorer = explore(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2)).eval(), IMAGES)
    for pane in ("cam", "saliency"):
        explorer.pick(pane=pane)
        assert "returns [1, 4, 484], no scores [1, K]" in explorer.refusal
    assert "No class scores" in explorer.answer


def test_pictures_of_all_kinds(tmp_path: Path, model: nn.Sequential) -> None:
    for name, size in (("b2.png", (40, 30)), ("b10.jpg", (24, 24))):
        Image.new("RGB", size, "teal").save(tmp_path / name)
    pictures = [tmp_path / "b2.png", IMAGES[0], Image.new("L", (30, 30)), IMAGES[1].mul(255).byte()]
    explorer = explore(model, pictures, size=24)
    assert explorer.names[0] == "b2.png" and len(explorer.images) == 4
    for index in range(4):
        explorer.pick(image=index)
        assert by_code(explorer, images=pictures) == explorer.picture
    assert explore(model, tmp_path, size=24).names == ("b2.png", "b10.jpg")
    assert explore(model, str(tmp_path / "b2.png"), size=24).code.startswith(
        'image = vh.load_image("'
    )


def test_what_the_transform_does_is_measured(model: nn.Sequential) -> None:
    def middle(image: Tensor) -> Tensor:
        """Cuts and normalises, as torchvision's own transforms do."""
        return (image[:, 2:-2, 2:-2] - 0.25) / 0.5

    explorer = explore(model, IMAGES, transform=middle)
    assert torch.allclose(explorer.seen(0), IMAGES[0, :, 2:-2, 2:-2], atol=1e-6)
    assert by_code(explorer, transform=middle) == explorer.picture
    explorer.pick(pane="ascent", steps=1)
    assert "mean=(0.25, 0.25, 0.25), std=(0.5, 0.5, 0.5)" in explorer.code


def test_size_of_files_is_what_the_model_wants() -> None:
    model = nn.Conv2d(3, 1, 1)
    assert side_of(model, "photo.jpg") == 224
    assert side_of(model, IMAGES) == 24
    assert side_of(model, [IMAGES[0, :, :, :20], "photo.jpg"]) == 224
    model.pretrained_cfg = {"input_size": (3, 96, 96)}  # type: ignore[assignment]  # as in timm
    assert side_of(model, "photo.jpg") == 96


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (IMAGES * 3 - 1, ValueError, "vh.denormalize(images)"),
        (IMAGES[:, :2], ValueError, "a picture is [3, H, W]"),
        (torch.rand(1, 5, 24, 24), ValueError, "For a network of 5 channels"),
        (IMAGES.movedim(1, -1), ValueError, "channels come last"),
        ([], ValueError, "there are no pictures"),
        (7, TypeError, "a path or a folder; images is int"),
        ("nowhere.jpg", FileNotFoundError, "nowhere.jpg"),
        (IMAGES[:, :, :2, :2], ValueError, "cannot take a picture of [1, 3, 2, 2]"),
    ],
)
def test_wrong_pictures(
    model: nn.Sequential, images: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        explore(model, images)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Bilinear(24, 24, 4), "one that takes more, put into a module that adds it"),
        (nn.Embedding(9, 2), "It expects integers from 0 to 8"),
        (net(5), "put a layer before it that makes them of three"),
    ],
)
def test_networks_that_take_no_pictures(model: nn.Module, words: str) -> None:
    before, numbers = portrait(model), random_numbers()
    with pytest.raises(ValueError, match=re.escape(words)):
        explore(model, IMAGES)
    assert (portrait(model), random_numbers()) == (before, numbers)
    with pytest.raises(ValueError, match="run the model once"):
        explore(nn.Sequential(nn.LazyConv2d(4, 3), model), IMAGES)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"layer": "33"}, ValueError, "no layer '33'"),
        ({"pane": "map"}, ValueError, "Did you mean 'maps'"),
        ({"image": 2}, ValueError, "pictures 0 to 1, not 2"),
        ({"pane": "cam", "channel": 1}, TypeError, "it has target, method"),
        ({"pane": "layer", "channel": 1}, TypeError, "nothing to choose"),
    ],
)
def test_wrong_picks_change_nothing(
    explorer: Explorer, asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    before = explorer.layer, explorer.pane, explorer.index, explorer.picture, explorer.choices
    with pytest.raises(error) as caught:
        explorer.pick(**asked)
    assert words in str(caught.value)
    after = explorer.layer, explorer.pane, explorer.index, explorer.picture, explorer.choices
    assert after == before


def test_what_fails_is_said_and_the_picture_stays(explorer: Explorer) -> None:
    explorer.pick(layer="3", pane="cam")
    before = explorer.picture
    explorer.pick(target=99)
    assert "there is no class 99: the model has classes 0 to 3" in explorer.text
    assert "vh-problem" in explorer.status.value
    assert explorer.picture == before and isinstance(explorer.last_error, ValueError)
    explorer.pick(target=1)
    assert explorer.last_error is None


def png_file(name: str, size: tuple[int, int] = (24, 24)) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(file, "png")
    return {"name": name, "content": memoryview(file.getvalue())}


def test_upload(explorer: Explorer) -> None:
    before = explorer.picture
    for bad in (b"", b"no picture", png_file("x")["content"][:60].tobytes()):
        explorer._take({"name": "<bad>.png", "content": memoryview(bad)})
        assert "<bad>.png could not be added" in explorer.text
        assert "&lt;bad&gt;" in explorer.status.value
        assert (explorer.picture, len(explorer.names)) == (before, 2)
    explorer._take(png_file("good.png", (50, 40)))
    assert explorer.names[2] == "good.png" and explorer.index == 2
    assert explorer.thumbnails.chosen == "2" and len(explorer.thumbnails.items) == 3
    assert explorer.seen(2).shape == (3, 24, 24)
    assert by_code(explorer, explorer=explorer) == explorer.picture != before


# -- beside the cells: an event loop runs, as in a notebook -----------------------------------


def in_notebook(action: Callable[[Explorer], Any], **options: Any) -> Explorer:
    """Make an explorer where an event loop runs, and do something with it there."""

    async def cell() -> Explorer:
        explorer = explore(net(), IMAGES, classes=NAMES, **options)
        await action(explorer)
        return explorer

    return asyncio.run(cell())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come")


def is_idle(explorer: Explorer) -> bool:
    return explorer._beside is not None and explorer._beside.work is None


def test_long_work_runs_beside_the_cells_with_the_same_result(explorer: Explorer) -> None:
    async def go(other: Explorer) -> None:
        before, numbers = portrait(other.model), random_numbers()
        other.tabs.chosen = "saliency"
        other.saliency.value = "SmoothGrad"
        assert not is_idle(other) and other.halt.layout.display is None
        await until(lambda: is_idle(other))
        assert other.halt.layout.display == "none"
        assert (portrait(other.model), random_numbers()) == (before, numbers)

    other = in_notebook(go, layer="3")
    explorer.pick(layer="3", pane="saliency", method="SmoothGrad")
    assert other.picture == explorer.picture and other.code == explorer.code


def test_receptive_field_comes_later(explorer: Explorer) -> None:
    async def go(other: Explorer) -> None:
        other.tree.chosen = "3"
        assert "sees pixel rows" not in other.text and "field" not in other.code
        await until(lambda: "sees pixel rows" in other.text)

    other = in_notebook(go)
    explorer.pick(layer="3")
    assert other.pictures == explorer.pictures and other.code == explorer.code


def test_ascent_runs_longer_stops_and_goes_on(explorer: Explorer) -> None:
    async def go(other: Explorer) -> None:
        other.tabs.chosen = "ascent"
        await until(lambda: is_idle(other))
        assert other.choices["steps"] == 32
        other.longer.click()
        await until(lambda: other.progress.value > 32)
        other.halt.click()
        await until(lambda: is_idle(other))
        steps = other.choices["steps"]
        assert 32 < steps < 192 and f"steps={steps}" in other.code
        assert other.picture == other.pane_content("0", "ascent", steps=steps).png

    other = in_notebook(go)
    explorer.pick(pane="ascent", **other.choices)
    assert explorer.picture == other.picture


def test_another_pick_or_a_cell_ends_long_work() -> None:
    async def go(other: Explorer) -> None:
        other.tabs.chosen = "saliency"
        other.saliency.value = "Occlusion"
        other.tabs.chosen = "layer"
        assert is_idle(other) and other.shown == "layer of 3"
        numbers = random_numbers()
        other.tabs.chosen = "saliency"
        assert not is_idle(other)
        other._on_cell(SimpleNamespace(cell_id="another"))
        assert is_idle(other) and "a cell was run" in other.text
        assert random_numbers() == numbers
        other.close()

    in_notebook(go, layer="3")


def test_names_are_those_of_the_notebook(
    monkeypatch: pytest.MonkeyPatch, model: nn.Sequential
) -> None:
    album = SimpleNamespace(images=IMAGES[:1].clone())
    names = {"mine": model, "photos": IMAGES, "_5": model, "album": album}
    monkeypatch.setattr(module, "get_ipython", lambda: SimpleNamespace(user_ns=names))
    explorer = explore(model, IMAGES)
    assert "image = photos[0]" in explorer.code and "(mine, batch" in explorer.code
    assert "image = album.images[0]" in explore(model, album.images).code


def test_refresh_sees_trained_weights(explorer: Explorer) -> None:
    before = explorer.picture
    with torch.no_grad():
        explorer.model[0].weight.mul_(-1)
    explorer.refresh()
    assert explorer.picture != before and by_code(explorer) == explorer.picture
