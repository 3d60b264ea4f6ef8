"""The explorer's saved page: complete, equal to the explorer, safe, and nothing left changed."""

import base64
import io
import re
from collections import OrderedDict
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from support.portrait import portrait
from torch import nn

from vizhelpers.figures import WORTH_IT
from vizhelpers.widgets.explorer import explore
from vizhelpers.widgets.explorer.html_page import some_layers
from vizhelpers.zoo import load_model, load_your_model

EVIL = "<img src=x onerror=alert(1)>"  # a name that must never become part of the page
LAYERS = [EVIL, "conv"]
OF_LAYER = "layer", "kernels", "ascent", "weights"  # the same for every picture


class Articles(HTMLParser):
    """Reads what each pane on the page says and shows."""

    def __init__(self, page):
        super().__init__()
        self.articles, self.images, self.tags, self.place = {}, {}, [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag == "article":
            self.key = values["data-layer"], values["data-pane"], values["data-picture"]
            self.articles[self.key], self.images[self.key] = {}, []
        elif tag == "img" and self.articles and self.place != "answer":
            self.images[self.key].append(values["src"])
        self.place = values.get("class") or tag

    def handle_data(self, data):
        if self.articles:
            said = self.articles[self.key]
            said[self.place] = said.get(self.place, "") + data


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    """A small network, two pictures, and names that are HTML."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for name in ("<b>first.png", "second.png"):
        smooth = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        smooth.resize((32, 32), Image.Resampling.BICUBIC).save(folder / name)
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(
            [
                (EVIL, nn.Conv2d(3, 6, 3, padding=1)),
                ("relu", nn.ReLU()),
                ("conv", nn.Conv2d(6, 8, 3, stride=2)),
                ("pool", nn.AdaptiveAvgPool2d(1)),
                ("flat", nn.Flatten()),
                ("fc", nn.Linear(8, 4)),
            ]
        )
    ).train()
    names = ["<i>cat", "</script>", "dog", "cow"]
    return explore(model, folder, size=32, classes=names, layer="conv", pane="cam", target=1)


@pytest.fixture(scope="module")
def saved(explorer, tmp_path_factory):
    """The page, and whether anything was changed by saving it."""
    before = portrait(explorer.model), torch.get_rng_state(), explorer.layer, explorer.pane
    state = explorer.picture, explorer.text, explorer.choices
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert explorer.save_html(path, layers=LAYERS) == path
    after = portrait(explorer.model), torch.get_rng_state(), explorer.layer, explorer.pane
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]
    assert state == (explorer.picture, explorer.text, explorer.choices)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)


def test_every_pane_shows_what_the_explorer_shows(explorer, saved):
    page = Articles(saved)
    wanted = {
        ("*", "saliency", "0"),
        ("*", "saliency", "1"),
        *((layer, pane, "*") for layer in LAYERS for pane in OF_LAYER),
        *((layer, pane, str(k)) for layer in LAYERS for pane in ("maps", "cam") for k in (0, 1)),
    }
    assert page.articles.keys() == wanted
    for (layer, pane, picture), said in page.articles.items():
        choices = {"target": 1} if pane == "cam" else {}
        here, index = ("conv", 0) if "*" in layer else (layer, 0)
        index = index if picture == "*" else int(picture)
        content = explorer.pane_content(here, pane, index, **choices)
        assert said["p"].strip() == content.text
        assert content.code in said["code"]
        shown = page.images[layer, pane, picture]
        for source, png in zip(shown, [*content.beside, content.png], strict=True):
            kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", source).groups()
            stored = base64.b64decode(data)
            if kind == "png":
                assert stored == png
            else:
                assert len(stored) < WORTH_IT * len(png)
                assert np.abs(pixels(stored) - pixels(png)).mean() < 3


def test_names_of_files_layers_and_classes_never_become_html(saved):
    page = Articles(saved)
    assert not [
        values for tag, values in page.tags if "onerror" in values or values.get("src") == "x"
    ]
    assert not [tag for tag, _ in page.tags if tag == "i"]
    assert saved.count("</script>") == 3, "the page's own three scripts"
    assert "<b>first" not in saved
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", saved), "nothing is fetched"
    assert "http" not in re.sub(r"base64,[^\"]*", "", saved).replace("http://www.w3.org", "")


def test_what_does_not_apply_and_what_fails_is_said_in_its_place(explorer, tmp_path, monkeypatch):
    make = type(explorer).pane_content

    def fails(self, layer, pane, image, **choices):
        if pane == "weights":
            raise RuntimeError("<boom>")
        return make(self, layer, pane, image, **choices)

    monkeypatch.setattr(type(explorer), "pane_content", fails)
    path = explorer.save_html(
        tmp_path / "r.html", layers=["fc"], images=[1], panes=["weights", "maps"]
    )
    page = Articles(path.read_text(encoding="utf-8"))
    assert page.articles["fc", "maps", "1"]["vh-refusal"].strip() == (
        explorer.pane_content("fc", "maps", 1).refusal
    )
    assert page.articles["fc", "weights", "*"]["vh-refusal"].strip() == (
        "It could not be drawn: RuntimeError: <boom>"
    )


def test_wrong_places_and_names_are_refused_before_anything_is_drawn(explorer, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder.*report\.html"):
        explorer.save_html(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        explorer.save_html(tmp_path / "no" / "r.html")
    for wrong, words in (
        ({"layers": ["convv"]}, "'conv'"),
        ({"images": [2]}, "0 to 1"),
        ({"panes": ["map"]}, "maps"),
    ):
        with pytest.raises((ValueError, LookupError), match=words):
            explorer.save_html(tmp_path / "r.html", **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: load_model("resnet18"), ["conv1", "layer1", "layer2", "layer3", "layer4"]),
        (lambda: load_model("alexnet"), [f"features.{k}" for k in (0, 3, 6, 8, 10)]),
        (lambda: load_your_model("timm:test_vit"), None),
    ],
)
def test_layers_are_chosen_over_the_depth(model, expected):
    model = model()
    explorer = explore(model, torch.rand(3, *[model.info.input_size] * 2), pane="layer")
    found = some_layers(explorer)
    assert found == expected or (expected is None and len(found) >= 3)
