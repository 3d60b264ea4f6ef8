"""The way that makes the weights, run on a handful of images."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from vizhelpers._utils.paths import WEIGHTS
from vizhelpers.scenes import CLASSES
from vizhelpers.scenes.render import Recipe as SceneRecipe
from vizhelpers.scenes.render import render_arrays
from vizhelpers.zoo import training
from vizhelpers.zoo.architectures import ARCHITECTURES, first_conv
from vizhelpers.zoo.loading import load_model
from vizhelpers.zoo.training import CORRELATION, RECIPES, augment, measure, train_all, train_network

MADE = ["alexnet-shortcut", "vgg11-fair", "resnet18-mixed"]  # every architecture, every twin


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    train_all(folder, device="cpu", only=MADE, quick=True)
    return folder


@pytest.fixture(scope="module")
def scenes():
    return render_arrays(SceneRecipe(20, seed=5), progress=False)


def tiny(name, **options):
    return dataclasses.replace(RECIPES[name], epochs=1, **options)


def test_there_are_seven_networks_with_their_twins():
    pairs = {(recipe.architecture, recipe.twin) for recipe in RECIPES.values()}
    assert pairs == {(a, t) for a in ARCHITECTURES for t in ("fair", "shortcut")} | {
        ("resnet18", "mixed")
    }
    assert {recipe.twin for recipe in RECIPES.values()} == set(CORRELATION)


def test_quick_training_writes_every_network_and_the_card(quick):
    expected = {f"{name}.safetensors" for name in MADE} | {"model_card.md", "model_card.json"}
    assert {path.name for path in quick.iterdir()} == expected


@pytest.mark.parametrize("name", MADE)
def test_a_written_file_is_half_precision_and_can_be_loaded(name, quick):
    path = quick / f"{name}.safetensors"
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118 (no dict)
        facts = json.loads(file.metadata()["vizhelpers"])
    assert kinds <= {torch.float16, torch.int64}
    assert f"{facts['architecture']}-{facts['twin']}" == name
    model = load_model(facts["architecture"], weights=path)
    assert type(model) is ARCHITECTURES[facts["architecture"]]
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())


def test_the_card_describes_the_files(quick):
    stored = (quick / "model_card.json").read_text("utf-8")
    card = json.loads(stored)
    assert stored == json.dumps(card, indent=1, sort_keys=True) + "\n", "the same at every training"
    assert set(card["networks"]) == set(MADE)
    text = (quick / "model_card.md").read_text("utf-8")
    for name, facts in card["networks"].items():
        content = (quick / facts["file"]).read_bytes()
        assert facts["sha256"] == hashlib.sha256(content).hexdigest()
        assert facts["sha256"] in text
        assert facts["bytes"] == len(content)
        assert facts["recipe"]["twin"] == RECIPES[name].twin
        assert set(facts["results"]) == {"fair", "own", "swapped", "hard"}
        for result in facts["results"].values():
            confusion = np.array(result["confusion"])
            assert confusion.shape == (10, 10)
            assert confusion.sum() == result["images"] == 20
            assert np.trace(confusion) / 20 == pytest.approx(result["accuracy"])


def test_one_network_can_be_made_again_and_the_others_stay_on_the_card(quick, tmp_path):
    for path in quick.glob("alexnet-*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    train_all(tmp_path, device="cpu", only=["resnet18-mixed"], quick=True)
    card = json.loads((tmp_path / "model_card.json").read_text("utf-8"))
    assert set(card["networks"]) == {"alexnet-shortcut", "resnet18-mixed"}
    # and to the same bytes
    again, before = (folder / "resnet18-mixed.safetensors" for folder in (tmp_path, quick))
    assert again.read_bytes() == before.read_bytes()


def test_an_unknown_network_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"'resnet18-fare'.*resnet18-fair"):
        train_all(tmp_path, only=["resnet18-fare"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_said_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("vizhelpers.zoo.training.render_arrays", None)  # would fail otherwise
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train_all(tmp_path / "file", quick=True)


def test_a_quick_run_never_replaces_the_shipped_weights():
    before = {path: path.stat().st_mtime_ns for path in WEIGHTS.iterdir()}
    with pytest.raises(ValueError, match="would replace the trained networks"):
        train_all(WEIGHTS, quick=True)
    assert {path: path.stat().st_mtime_ns for path in WEIGHTS.iterdir()} == before


def test_training_follows_its_own_seed_and_leaves_the_generator_alone(scenes):
    states = []
    for elsewhere, seed in ((3, 0), (4, 0), (5, 1)):
        torch.manual_seed(elsewhere)
        expected = torch.rand(2)
        torch.manual_seed(elsewhere)
        model = train_network(tiny("alexnet-fair", seed=seed), scenes)
        states.append(model.state_dict())
        assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_training_learns():
    scenes = render_arrays(SceneRecipe(10, seed=5), progress=False)
    recipe = dataclasses.replace(RECIPES["resnet18-fair"], epochs=20, batch_size=10)
    model = train_network(recipe, scenes)
    result = measure(model, {"seen": scenes})["seen"]
    assert result["accuracy"] >= 0.5  # 10 images by heart; a guess is right in 0.1


def test_the_first_layer_starts_small_and_smoothing_makes_it_smooth(scenes):
    def roughness(smoothing):
        layer = dataclasses.replace(RECIPES["alexnet-fair"].first_layer, smoothing=smoothing)
        model = train_network(tiny("alexnet-fair", first_layer=layer), scenes)
        kernels = first_conv(model).weight
        return ((kernels[..., 1:] - kernels[..., :-1]) ** 2).sum() / (kernels**2).sum()

    assert roughness(400.0) < 0.5 * roughness(0.0)


def test_measure_counts_answers_against_classes_and_backgrounds(scenes):
    class Always(nn.Module):
        def forward(self, images):
            answers = torch.zeros(len(images), len(CLASSES))
            answers[:, 3] = 1
            return answers

    result = measure(Always(), {"x": scenes})["x"]
    confusion = np.array(result["confusion"])
    assert result["accuracy"] == 0.1
    assert (confusion[:, 3] == 2).all()
    assert confusion.sum() == 20
    assert result["follows_background"] == round(float((scenes.backgrounds == 3).mean()), 4)


def test_augmentation_keeps_shape_and_changes_each_image_its_own_way():
    images = torch.rand(1, 3, 16, 16).expand(6, -1, -1, -1)
    changed = augment(images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 6
    again = augment(images, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)


def test_threads_are_put_back_also_after_an_error(tmp_path, monkeypatch):
    seen = []

    def fail(*_args, **_options):
        seen.append(torch.get_num_threads())
        raise RuntimeError("broken")

    monkeypatch.setattr(training, "train_network", fail)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="broken"):
            train_all(tmp_path, only=["alexnet-fair"], quick=True, device="cpu")
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_training_runs_on_a_gpu(scenes):
    model = train_network(tiny("vgg11-fair"), scenes, device="cuda")
    assert next(model.parameters()).device.type == "cpu"
