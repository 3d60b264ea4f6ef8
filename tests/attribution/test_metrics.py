"""Scores: against hand calculations, scikit-learn and SciPy; curves: against a weighing model."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import auc, jaccard_score
from support.models import ALL
from torch import Tensor, nn

from vizhelpers.attribution.baselines import baseline_maps
from vizhelpers.attribution.deletion import Curves, deletion_insertion
from vizhelpers.attribution.metrics import interval, score_maps

# Its mask: the two pixels on the left.
MASK = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])


def rows(*values: list[list[float]]) -> Tensor:
    return torch.tensor(values)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# --- score_maps -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "pointing", "energy", "iou"),
    [
        ([[4.0, 1.0], [3.0, 0.0]], 1, 7 / 8, 1),
        ([[1.0, 4.0], [0.0, 3.0]], 0, 1 / 8, 0),
        ([[4.0, 3.0], [1.0, 0.0]], 1, 5 / 8, 1 / 3),
        # Both tied peaks are taken; one of them lies on the object.
        ([[2.0, 2.0], [0.0, 0.0]], 1 / 2, 1 / 2, 1 / 3),
        # One peak, then one of three tied pixels, of which one is on the object.
        ([[2.0, 1.0], [1.0, 1.0]], 1, 3 / 5, (4 / 3) / (4 - 4 / 3)),
        ([[1.0, 1.0], [1.0, 1.0]], 1 / 2, 1 / 2, 1 / 3),
        ([[0.0, 0.0], [0.0, 0.0]], 0, 0, 0),
    ],
)
def test_scores_by_hand(
    values: list[list[float]], pointing: float, energy: float, iou: float
) -> None:
    scores = score_maps(rows(values), MASK)
    assert [scores.pointing.item(), scores.energy.item(), scores.iou.item()] == pytest.approx(
        [pointing, energy, iou]
    )
    assert scores.empty == (sum(map(sum, values)) == 0)


def test_scores_of_random_maps_agree_with_numpy_and_scikit_learn() -> None:
    maps, masks = random(20, 9, 7), random(20, 9, 7, seed=1)
    scores = score_maps(maps, masks)
    for index, (values, mask) in enumerate(zip(maps.numpy(), masks.numpy() > 0.5, strict=True)):
        chosen = values >= np.sort(values.ravel())[-mask.sum()]
        assert scores.iou[index] == pytest.approx(jaccard_score(mask.ravel(), chosen.ravel()))
        assert scores.energy[index] == pytest.approx(values[mask].sum() / values.sum(), rel=1e-5)
        assert scores.pointing[index] == mask[np.unravel_index(values.argmax(), values.shape)]


def test_ties_count_as_a_random_choice_would_on_average() -> None:
    coarse = (random(1, 6, 6) * 3).floor()
    mask = random(1, 6, 6, seed=1) > 0.6
    # A nudge too small to change the order of unequal values decides between equal ones.
    nudges = random(4000, 6, 6, seed=2) * 1e-3
    many = score_maps(coarse + nudges, mask.expand(4000, 6, 6))
    fair = score_maps(coarse, mask)
    assert many.pointing.mean() == pytest.approx(fair.pointing.item(), abs=0.03)
    found = 2 * many.iou / (1 + many.iou)  # the share of the object that was found
    assert found.mean() == pytest.approx((2 * fair.iou / (1 + fair.iou)).item(), abs=0.01)


def test_mirroring_and_scale_change_no_score() -> None:
    maps, masks = (random(8, 6, 6) * 4).floor(), random(8, 6, 6, seed=1)
    scores, changed = score_maps(maps, masks), score_maps(8 * maps.flip(1, 2), masks.flip(1, 2))
    for name in ("pointing", "energy", "iou"):
        torch.testing.assert_close(getattr(changed, name), getattr(scores, name))


def test_the_mask_is_its_own_best_map() -> None:
    masks = (random(5, 8, 8) > 0.5).float()
    assert score_maps(masks, masks).means() == {"pointing": 1, "energy": 1, "iou": 1}


def test_arrays_and_bools_will_do() -> None:
    expected = score_maps(MASK, MASK)
    assert score_maps(MASK.numpy(), MASK.numpy() > 0.5).means() == expected.means()
    backwards = MASK.numpy()[:, ::-1, ::-1]  # negative strides
    assert score_maps(backwards, backwards).means() == expected.means()


def test_soft_edges_are_cut_at_one_half() -> None:
    soft = torch.tensor([[[0.51, 0.5], [1.0, 0.49]]])
    maps = random(1, 2, 2)
    assert score_maps(maps, soft).means() == score_maps(maps, MASK).means()


def test_text_gives_means_and_intervals() -> None:
    maps, masks = random(30, 6, 6), random(30, 6, 6, seed=1)
    maps[:2] = 0
    scores = score_maps(maps, masks)
    low, high = scores.intervals()["energy"]
    assert f"energy {scores.means()['energy']:.2f} [{low:.2f}, {high:.2f}]  IoU " in str(scores)
    assert str(scores).endswith("  (30 maps, 2 empty)")
    assert repr(scores) == str(scores)
    assert str(score_maps(MASK, MASK)) == (
        "pointing 1.00  energy 1.00  IoU 1.00  (1 maps, 0 empty)"
    )


@pytest.mark.parametrize(
    ("maps", "masks", "error", "words"),
    [
        (torch.ones(2, 4, 4), torch.ones(2, 8, 8), ValueError, r"F\.interpolate\(.*\(8, 8\)"),
        (torch.ones(2, 4, 4), torch.ones(3, 4, 4), ValueError, r"must be \[3, 4, 4\]"),
        (torch.ones(4, 4), torch.ones(4, 4), ValueError, r"\[N, H, W\], got \[4, 4\]"),
        (torch.ones(0, 4, 4), torch.ones(0, 4, 4), ValueError, r"got \[0, 4, 4\]"),
        (-torch.ones(1, 4, 4), torch.ones(1, 4, 4), ValueError, r"clamp\(min=0\)"),
        (torch.full((1, 4, 4), math.nan), torch.ones(1, 4, 4), ValueError, "finite"),
        (torch.ones(1, 4, 4), 255 * torch.ones(1, 4, 4), ValueError, "largest value is 255"),
        (torch.ones(2, 4, 4), torch.eye(2)[:, :1, None].expand(2, 4, 4), ValueError, r"masks\[1\]"),
        ([[[1.0]]], torch.ones(1, 1, 1), TypeError, "got list"),
    ],
)
def test_wrong_maps_and_masks_are_refused(
    maps: Tensor, masks: Tensor, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        score_maps(maps, masks)


# --- interval -------------------------------------------------------------------------------


def test_interval_is_that_of_repeated_drawing() -> None:
    values = random(60).numpy() ** 3
    generator = np.random.default_rng(1)
    means = [generator.choice(values, len(values)).mean() for _ in range(20_000)]
    assert interval(values) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.006)


def test_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    samples = random(300, 50)
    hits = [low <= 0.5 <= high for low, high in (interval(s, 0.9) for s in samples)]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.06)


def test_interval_has_its_own_random_numbers() -> None:
    values = random(40)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert interval(values) == interval(values)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state


def test_a_higher_level_is_wider() -> None:
    (low, high), (lower, higher) = interval(random(40), 0.5), interval(random(40), 0.99)
    assert lower < low < random(40).mean() < high < higher


def test_difference_on_the_same_images_is_surer_than_two_intervals() -> None:
    hard = random(100)
    better = hard + 0.01 + 0.01 * random(100, seed=1)
    assert interval(hard)[1] > interval(better)[0]
    assert interval(better - hard)[0] > 0


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (torch.ones(1), {}, "two values or more, got 1"),
        (torch.ones(2, 2), {}, r"\[N\], got \[2, 2\]"),
        (torch.tensor([1.0, math.nan]), {}, "NaN"),
        (torch.ones(3), {"level": 95}, "between 0 and 1"),
    ],
)
def test_impossible_intervals_are_refused(
    values: Tensor, options: dict[str, float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        interval(values, **options)


# --- baseline_maps --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["centre", "edges", "random", "whole"])
def test_baselines_are_maps_with_a_peak_of_one(kind: str) -> None:
    maps = baseline_maps(random(3, 3, 20, 24), kind)
    assert maps.shape == (3, 20, 24)
    assert maps.dtype == torch.float32
    assert maps.min() >= 0
    assert maps.amax((1, 2)).tolist() == pytest.approx([1, 1, 1])


def test_centre_is_a_blob_in_the_middle() -> None:
    blob = baseline_maps(torch.zeros(1, 3, 21, 21), "centre")[0]
    assert blob.argmax() == 10 * 21 + 10
    torch.testing.assert_close(blob, blob.T)
    # One standard deviation, a fifth of the side (20 steps), from the middle.
    assert blob[10, 14] == pytest.approx(math.exp(-1 / 2))


def test_edges_are_where_the_brightness_changes() -> None:
    picture = torch.zeros(2, 3, 32, 32)
    picture[0, :, :, 16:] = 1
    step, flat = baseline_maps(picture, "edges")
    assert step[5].argmax() in (15, 16)
    assert step[:, :6].max() == step[:, -6:].max() == 0
    assert flat.abs().max() == 0
    torch.testing.assert_close(step, step.flip(1))


def test_edges_measure_the_slope() -> None:
    ramp = torch.linspace(0, 1, 32)
    both = torch.stack([ramp.expand(3, 32, 32), ramp[:, None].expand(3, 32, 32)])
    across, down = baseline_maps(both, "edges")
    torch.testing.assert_close(across, down.T)
    assert across[:, 10:-10].min() == pytest.approx(1, abs=1e-4)


def test_random_is_seeded_and_different_for_each_image() -> None:
    pictures, state = random(4, 3, 16, 16), torch.get_rng_state()
    maps = baseline_maps(pictures, "random")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(maps[:2], baseline_maps(pictures[:2], "random"))
    assert not torch.equal(maps, baseline_maps(pictures, "random", seed=1))
    assert not torch.equal(maps[0], maps[1])


def test_whole_scores_the_area() -> None:
    masks = random(5, 8, 8)
    scores = score_maps(baseline_maps(random(5, 3, 8, 8), "whole"), masks)
    areas = (masks > 0.5).float().mean((1, 2))
    torch.testing.assert_close(scores.pointing, areas)
    torch.testing.assert_close(scores.energy, areas)


def test_wrong_baselines_are_refused() -> None:
    with pytest.raises(ValueError, match="centre, edges, random, whole; got 'center'"):
        baseline_maps(random(1, 3, 8, 8), "center")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="denormalize"):
        baseline_maps(random(1, 3, 8, 8) * 4 - 2, "edges")
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        baseline_maps(random(3, 8, 8), "edges")


# --- deletion_insertion ---------------------------------------------------------------------


class Weighing(nn.Module):
    """Its probability of class 1 is the weighted sum of the red pixels, exactly."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        share = (x[:, 0] * self.weights).sum((1, 2)).clamp(1e-9, 1 - 1e-9)
        return torch.stack([(1 - share).log(), share.log()], dim=1)


WEIGHTS = torch.tensor([[0.4, 0.1], [0.3, 0.2]])


def test_curves_by_hand() -> None:
    images = torch.ones(1, 3, 2, 2)
    curves = deletion_insertion(Weighing(WEIGHTS), images, WEIGHTS[None], 1, fill=0.0, steps=4)
    assert curves.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curves.deletion[0].tolist() == pytest.approx([1, 0.6, 0.3, 0.1, 0], abs=1e-6)
    assert curves.insertion[0].tolist() == pytest.approx([0, 0.4, 0.7, 0.9, 1], abs=1e-6)
    deletion, insertion = curves.areas
    assert deletion.tolist() == pytest.approx([0.375])
    assert insertion.tolist() == pytest.approx([0.625])


def test_the_best_order_has_the_best_areas() -> None:
    model, images = Weighing(WEIGHTS), torch.ones(3, 3, 2, 2)
    maps = torch.stack([WEIGHTS, torch.ones(2, 2), 1 - WEIGHTS])
    deletion, insertion = deletion_insertion(model, images, maps, 1, fill=0.0, steps=4).areas
    assert deletion[0] < deletion[1] < deletion[2]
    assert insertion[0] > insertion[1] > insertion[2]


def test_areas_agree_with_scikit_learn() -> None:
    shares = torch.linspace(0, 1, 6)
    curves = Curves(shares, random(3, 6), random(3, 6, seed=1))
    for area, curve in zip(curves.areas, (curves.deletion, curves.insertion), strict=True):
        assert area.tolist() == pytest.approx([auc(shares, row) for row in curve])
    assert str(curves).startswith(f"deletion {curves.areas[0].mean():.2f} [")
    assert str(curves).endswith("(3 images, 5 steps)")


def test_each_image_has_its_own_fill_and_target() -> None:
    images, fill = torch.ones(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    fill[1, 0] = 0.5
    model, maps = Weighing(WEIGHTS), WEIGHTS.expand(2, 2, 2)
    targets = torch.tensor([0, 1])
    curves = deletion_insertion(model, images, maps, targets, fill=fill, steps=2)
    assert curves.deletion[0].tolist() == pytest.approx([0, 0.7, 1], abs=1e-6)
    assert curves.deletion[1].tolist() == pytest.approx([1, 0.65, 0.5], abs=1e-6)
    assert curves.insertion[1].tolist() == pytest.approx([0.5, 0.85, 1], abs=1e-6)


def test_equal_pixels_go_in_no_direction() -> None:
    # Were ties removed from the top down, half a step would take all of the upper half.
    top = torch.zeros(32, 32)
    top[:16] = 1 / 512
    images, maps = torch.ones(1, 3, 32, 32), torch.ones(1, 32, 32)
    curves = deletion_insertion(Weighing(top), images, maps, 1, fill=0.0, steps=2)
    assert curves.deletion[0, 1] == pytest.approx(0.5, abs=0.1)
    again = deletion_insertion(Weighing(top), images, maps, 1, fill=0.0, steps=2)
    assert torch.equal(curves.deletion, again.deletion)


def test_batches_make_no_difference() -> None:
    model, images = Weighing(torch.full((4, 4), 1 / 16)), random(120, 3, 4, 4)
    maps = random(120, 4, 4, seed=1)
    all_at_once = deletion_insertion(model, images, maps, 1, fill=0.0, steps=3)
    late = deletion_insertion(model, images[90:], maps[90:], 1, fill=0.0, steps=3)
    torch.testing.assert_close(all_at_once.deletion[90:], late.deletion)
    torch.testing.assert_close(all_at_once.insertion[90:], late.insertion)


@pytest.mark.parametrize("name", ["inplace_relu", "batch_norm", "frozen_backbone"])
def test_the_ends_are_the_images_own_probabilities(name: str) -> None:
    model, (images,) = ALL[name].build()
    pixels, maps = images.clone(), images.abs().mean(1)
    curves = deletion_insertion(model, images, maps, 0, fill=0.0, steps=2, activation="softmax")
    assert torch.equal(images, pixels)
    expected = F.softmax(model.eval()(images), dim=1)[:, 0]
    torch.testing.assert_close(curves.deletion[:, 0], expected.detach())
    torch.testing.assert_close(curves.insertion[:, -1], expected.detach())


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("end", "activation", "used"),
    [
        (nn.Identity(), None, "softmax"),
        (nn.Identity(), "sigmoid", "sigmoid"),
        (nn.Softmax(1), None, "none"),
        (nn.LogSoftmax(1), None, "softmax"),
        (nn.Sigmoid(), "none", "none"),
        (nn.Softmax(1), "softmax", "softmax"),
    ],
)
def test_the_activation_that_is_used(
    end: nn.Module, activation: Any, used: str, kind: torch.dtype
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), end)
    with torch.no_grad():
        model[1].weight[0], model[1].bias[0] = 5.0, -4.0
    images, maps = random(2, 3, 2, 2), random(2, 2, 2)
    curves = deletion_insertion(
        model.to(kind), images, maps, 0, fill=0.0, steps=1, activation=activation
    )
    apply = {"softmax": lambda s: s.softmax(1), "sigmoid": torch.sigmoid, "none": lambda s: s}[used]
    expected = apply(model(images.to(kind)).float())[:, 0]
    torch.testing.assert_close(curves.deletion[:, 0], expected)
    assert curves.activation == used
    assert (f"activation {used}" in str(curves)) == (used != "softmax")


@pytest.mark.parametrize(
    "end", [nn.Linear(12, 1), nn.Sequential(nn.Linear(12, 4), nn.Sigmoid())], ids=["one", "several"]
)
def test_scores_that_may_be_logits_or_probabilities_are_asked_back(end: nn.Module) -> None:
    model, images, maps = nn.Sequential(nn.Flatten(), end), random(2, 3, 2, 2), random(2, 2, 2)
    with pytest.raises(ValueError, match=r"cannot be told: [14] for each image, from .*sigmoid"):
        deletion_insertion(model, images, maps, 0, fill=0.0)


class Dictionary(Weighing):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": super().forward(x)}


def test_scores_inside_a_dictionary_can_be_picked() -> None:
    model, images, maps = Dictionary(WEIGHTS), torch.ones(1, 3, 2, 2), WEIGHTS[None]
    with pytest.raises(TypeError, match=r"returns dict, .*out\['logits'\]"):
        deletion_insertion(model, images, maps, 1, fill=0.0)
    curves = deletion_insertion(
        model, images, maps, 1, fill=0.0, steps=1, output=lambda answer: answer["logits"]
    )
    assert curves.deletion[0].tolist() == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"targets": 2}, ValueError, "no class 2: the model has classes 0 to 1"),
        ({"targets": -1}, ValueError, "no class -1"),
        ({"targets": torch.tensor([0, 1])}, ValueError, "2 targets for 1 images"),
        ({"targets": torch.tensor([0.5])}, TypeError, "targets are classes"),
        ({"activation": "relu"}, ValueError, "got 'relu'"),
        ({"targets": None}, TypeError, "got None"),
        ({"fill": torch.zeros(3, 2, 2)}, ValueError, r"\[1, 3, 2, 2\], got \[3, 2, 2\]"),
        ({"maps": torch.ones(1, 4, 4)}, ValueError, r"\(2, 2\), mode='bilinear'"),
        ({"maps": -torch.ones(1, 2, 2)}, ValueError, "clamp"),
        ({"images": torch.ones(3, 2, 2)}, ValueError, r"image\[None\]"),
        ({"model": print}, TypeError, "Module"),
    ],
)
def test_wrong_arguments_are_refused(
    changes: dict[str, object], error: type[Exception], words: str
) -> None:
    arguments = {
        "model": Weighing(WEIGHTS),
        "images": torch.ones(1, 3, 2, 2),
        "maps": WEIGHTS[None],
        "targets": 1,
        "fill": 0.0,
    }
    with pytest.raises(error, match=words):
        deletion_insertion(**{**arguments, **changes})
