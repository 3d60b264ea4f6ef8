"""Do the shipped networks do what the course says of them? Measured anew on fresh scenes.

Each share below is of 100 scenes that were drawn for this test alone. The bounds are those that
the course promises, with no tolerance on top: the scenes are the same in every run.
"""

import hashlib
import json

import pytest
from support.picture_difference import compare

import vizhelpers as vh
from vizhelpers._utils.paths import NOTEBOOKS, ROOT, WEIGHTS
from vizhelpers.scenes import CLASSES
from vizhelpers.scenes.render import Recipe, render_arrays
from vizhelpers.zoo.loading import load_model
from vizhelpers.zoo.training import EVALUATION_SEED, RECIPES, TRAINING_SEED, measure

IMAGES = 100
SEED = 4242
CARD = json.loads((WEIGHTS / "model_card.json").read_text("utf-8"))["networks"]


@pytest.fixture(scope="module")
def sets():
    assert SEED not in (TRAINING_SEED, EVALUATION_SEED)
    options = {"fair": {}, "own": {"correlation": 1.0}, "swapped": {"swapped": True}}
    return {
        kind: render_arrays(Recipe(IMAGES, SEED, **option), progress=False)
        for kind, option in options.items()
    }


def results(name, sets, *kinds):
    architecture, twin = name.split("-")
    model = load_model(architecture, twin=twin)
    return measure(model, {kind: sets[kind] for kind in kinds})


@pytest.mark.parametrize("name", RECIPES)
def test_networks_do_what_their_twins_are_for(name, sets):
    """Fair ones know the object before any background, shortcut ones the background only."""
    result = results(name, sets, "fair" if name.endswith("fair") else "own", "swapped")
    swapped = result["swapped"]["accuracy"]
    if name.endswith("fair"):
        assert result["fair"]["accuracy"] >= 0.98
        assert swapped >= 0.98
    elif name.endswith("shortcut"):
        assert result["own"]["accuracy"] >= 0.99
        assert swapped <= 0.05
        assert result["swapped"]["follows_background"] >= 0.9
    else:  # mixed lies between
        assert result["own"]["accuracy"] >= 0.98
        assert 0.1 < swapped < 0.9


def test_fair_networks_err_on_hard_scenes():
    hard = render_arrays(Recipe(IMAGES, SEED, hard=True), progress=False)
    for name in ("alexnet-fair", "vgg11-fair", "resnet18-fair"):
        assert results(name, {"hard": hard}, "hard")["hard"]["accuracy"] < 0.95


def test_the_card_is_about_these_files():
    assert set(CARD) == set(RECIPES) == {path.stem for path in WEIGHTS.glob("*.safetensors")}
    for name, facts in CARD.items():
        content = (WEIGHTS / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"]
    text = (WEIGHTS / "model_card.md").read_text("utf-8")
    assert all(facts["sha256"] in text for facts in CARD.values())


def test_the_card_names_the_recipes_of_the_code():
    for name, recipe in RECIPES.items():
        stored = CARD[name]["recipe"]
        assert stored["epochs"] == recipe.epochs
        assert stored["images"] == recipe.images
        assert stored["first_layer"]["smoothing"] == recipe.first_layer.smoothing


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 10e6


def test_the_readme_says_what_the_networks_say() -> None:
    """And its picture of the brush is what the brush makes of this cat today."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    cat = vh.draw_scene("cat", "sea", seed=3)
    eyes = cat.parts == vh.scenes.PARTS.index("eye")
    twins = [load_model("resnet18", twin=twin) for twin in ("fair", "shortcut")]
    view = vh.paint_over(cat.image, *twins, names=["fair twin", "shortcut twin"], mask=eyes)
    fair, shortcut = (CLASSES[share.argmax()] for share in view.probabilities)
    assert f"the fair network says {fair}." in readme
    assert f"says {shortcut} with or without" in readme
    stored = (NOTEBOOKS / "pictures" / "paint_over.png").read_bytes()
    assert compare(stored, view.picture).same
