"""Scenes: the truth that is shipped with them is true, and the pixels stay where they are."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vizhelpers import scenes
from vizhelpers._utils.paths import IMAGES
from vizhelpers.scenes import (
    BACKGROUNDS,
    CLASSES,
    PARTS,
    Recipe,
    SceneDataset,
    contact_sheet,
    draw_scene,
    draw_two,
    files,
    load_pairs,
    load_scenes,
    registry,
    render_arrays,
)
from vizhelpers.scenes.canvas import Canvas
from vizhelpers.scenes.compose import compose_scene, compose_two
from vizhelpers.scenes.contact_sheets import write_contact_sheet
from vizhelpers.scenes.rng import Dice, Stream

RED = (255, 0, 0)
MAKE_AGAIN = "`python -m vizhelpers data` makes the shipped files again"
PIXELS_MOVED = (
    "The drawn pixels are no longer those the networks were trained on. If a new Pillow or NumPy "
    "did it, keep the pinned one, or accept the change as a whole: `python -m vizhelpers data`, "
    "`python -m vizhelpers train`, `python -m vizhelpers refresh`, and new sums in this test."
)


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Pixels within `reach` of the mask, in both directions."""
    padded = np.pad(mask, reach)
    height, width = mask.shape
    steps = range(2 * reach + 1)
    return np.any([padded[y : y + height, x : x + width] for y in steps for x in steps], axis=0)


def area(mask: np.ndarray) -> float:
    return float(mask.astype(np.float64).sum()) / 255


# ------------------------------------------------------------------------ as tensors


def test_a_scene_as_tensors_is_what_was_composed():
    scene, drawn = draw_scene("cat", "sea", seed=3), compose_scene("cat", "sea", seed=3)
    assert scene.image.dtype == scene.mask.dtype == torch.float32
    np.testing.assert_array_equal((scene.image * 255).byte().permute(1, 2, 0), drawn.image)
    np.testing.assert_array_equal((scene.mask * 255).byte(), drawn.mask)
    np.testing.assert_array_equal(scene.parts, drawn.parts)
    assert repr(scene) == "Scene(cat on sea, 128×128)"


def test_shipped_scenes_by_name():
    scene = load_scenes()["cat_on_space_0"]
    index = load_scenes().names.index("cat_on_space_0")
    drawn = draw_scene("cat", "space", seed=files.GRID_SEED + index)
    assert (scene.object, scene.background) == ("cat", "space")
    assert torch.equal(scene.image, drawn.image)
    assert torch.equal(scene.mask, drawn.mask)
    pairs = load_pairs(limit=3)
    assert torch.equal(pairs[pairs.names[2]].mask_b, pairs.masks_b[2])
    with pytest.raises(KeyError, match=r"^there is no scene 'cat_on_spice_0' here. Did you mean"):
        load_scenes(limit=80)["cat_on_spice_0"]


def test_shipped_scenes_by_number_and_one_after_the_other():
    scenes, pairs = load_scenes(limit=3), load_pairs(limit=2)
    assert torch.equal(scenes[-1].image, scenes.images[2])
    assert [scene.object for scene in scenes] == [name.split("_on_")[0] for name in scenes.names]
    assert len(list(pairs)) == 2
    with pytest.raises(IndexError, match=r"^there is no scene 3 here, only 0 to 2\.$"):
        scenes[3]


# ---------------------------------------------------------------------------- labels


def test_the_labels_are_the_published_ones():
    assert CLASSES == (
        "airplane", "sailboat", "car", "fish", "house",
        "cactus", "cat", "rocket", "mushroom", "penguin",
    )  # fmt: skip
    assert BACKGROUNDS == (
        "sky", "sea", "road", "reef", "meadow",
        "desert", "room", "space", "forest", "snow",
    )  # fmt: skip
    assert PARTS[:2] == ("none", "body")
    assert len(set(PARTS)) == len(PARTS)


def test_an_object_is_added_by_one_function(monkeypatch):
    monkeypatch.setitem(registry.OBJECT_ARTISTS, "ball", None)  # so that it is removed again

    @registry.scene_object(label=None)
    def ball(canvas, dice, colors):
        canvas.ellipse(0, 0, 0.9, 0.9, colors.main, "wheel")

    scene = compose_scene("ball", "sea", seed=1)
    assert set(np.unique(scene.parts)) == {0, PARTS.index("wheel")}


def test_a_label_cannot_be_given_twice():
    with pytest.raises(ValueError, match="'cat'"):
        registry.scene_object(label=6)(lambda canvas, dice, colors: None)
    assert "<lambda>" not in registry.OBJECT_ARTISTS


# ---------------------------------------------------------------------------- canvas


def test_the_canvas_covers_what_it_draws():
    canvas = Canvas(32)
    canvas.rectangle(0.25, 0.25, 0.75, 0.75, RED, "door")
    color, coverage, parts = canvas.drawing()
    assert coverage[16, 16] == 1
    assert coverage[2, 2] == 0
    assert coverage.sum() == pytest.approx(16 * 16, rel=0.06)
    assert set(np.unique(parts)) == {0, PARTS.index("door")}
    np.testing.assert_allclose(color[..., 0], coverage * 255, atol=1)


def test_a_line_has_its_width_and_round_ends():
    canvas = Canvas(100)
    canvas.line([(0.2, 0.5), (0.8, 0.5)], 0.1, RED)
    coverage = canvas.drawing().coverage
    assert coverage[:, 50].sum() == pytest.approx(10, abs=0.5)
    assert coverage.sum() == pytest.approx(60 * 10 + np.pi * 25, rel=0.05)


def test_a_placed_canvas_turns_and_flips():
    canvas = Canvas(64)
    canvas.place(32, 32, 20, rotation=np.pi / 2, flip=True)
    canvas.rectangle(0, -0.2, 1, 0.2, RED)
    rows, columns = np.nonzero(canvas.drawing().coverage > 0.5)
    assert rows.max() <= 33  # +x was flipped to -x and then turned to -y: upwards
    assert rows.min() == pytest.approx(12, abs=1)
    assert abs(columns.mean() - 31.5) < 1


@pytest.mark.parametrize("kind", ["columns", "rows", "dots"])
def test_a_pattern_colours_only_what_was_drawn(kind):
    canvas = Canvas(64)
    canvas.rectangle(0.3, 0.3, 0.7, 0.7, RED)
    before = canvas.drawing()
    everywhere = [(0, 0), (1, 0), (1, 1), (0, 1)]
    canvas.pattern(Dice(1), everywhere, kind, (0, 255, 0), 6)
    after = canvas.drawing()
    assert after.color[..., 1].max() == 255
    assert not after.color[..., 1][before.coverage == 0].any()
    np.testing.assert_array_equal(after.parts, before.parts)


# ---------------------------------------------------------------------------- truth


@pytest.mark.parametrize("background", [*BACKGROUNDS, "plain", "gratings"])
@pytest.mark.parametrize("obj", CLASSES)
def test_every_class_draws_on_every_background(obj, background):
    scene = compose_scene(obj, background, seed=11)
    assert scene.image.shape == (128, 128, 3)
    assert scene.mask.shape == scene.parts.shape == (128, 128)
    assert scene.image.dtype == scene.mask.dtype == scene.parts.dtype == np.uint8
    assert 300 < area(scene.mask) < 7000
    assert scene.mask[scene.parts > 0].min() > 0
    assert scene.parts.max() < len(PARTS)
    assert len(np.unique(scene.parts)) >= 3


@pytest.mark.parametrize("obj", CLASSES)
def test_pixels_change_where_the_mask_says_and_nowhere_else(obj):
    """Against the same scene without the object; its shadow reaches 8 pixels at most."""
    for seed, background in enumerate(BACKGROUNDS):
        scene = compose_scene(obj, background, seed=seed)
        empty = compose_scene(None, background, seed=seed)
        changed = (scene.image != empty.image).any(axis=2)
        far = ~dilated(scene.mask > 0, 8)
        assert not changed[far].any()
        assert changed[scene.mask == 255].mean() > 0.95
        assert empty.mask.max() == 0


def test_parts_fill_the_mask():
    for seed in range(20):
        scene = compose_scene(CLASSES[seed % 10], "plain", seed=seed)
        inside, outside = scene.mask == 255, scene.mask == 0
        assert (scene.parts[inside] > 0).all()
        assert (scene.parts[outside] == 0).all()


def test_parts_are_where_they_belong():
    car = compose_scene("car", "road", seed=1, position=(0.5, 0.5), scale=0.7)
    rows = {
        part: np.nonzero(car.parts == PARTS.index(part))[0].mean() for part in ("wheel", "roof")
    }
    assert rows["roof"] < rows["wheel"] - 10


@pytest.mark.parametrize("seed", range(5))
def test_one_seed_is_one_object_on_any_background(seed):
    first, *others = [compose_scene("cat", name, seed=seed) for name in (*BACKGROUNDS, "plain")]
    inside = first.mask == 255
    for other in others:
        np.testing.assert_array_equal(other.mask, first.mask)
        np.testing.assert_array_equal(other.parts, first.parts)
        np.testing.assert_array_equal(other.image[inside], first.image[inside])
        assert (other.image[~inside] != first.image[~inside]).mean() > 0.5


def test_one_seed_is_one_background_under_any_object():
    cat, car = compose_scene("cat", "sea", seed=3), compose_scene("car", "sea", seed=3)
    free = ~dilated((cat.mask > 0) | (car.mask > 0), 8)
    np.testing.assert_array_equal(cat.image[free], car.image[free])


def test_seeds_repeat_and_differ():
    first, again, other = (compose_scene("fish", "reef", seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).mean() > 0.5
    assert (first.mask != other.mask).any()


def test_position_and_scale_are_obeyed():
    scene = compose_scene("mushroom", "sky", seed=2, position=(0.25, 0.75), scale=0.3)
    rows, columns = np.nonzero(scene.mask)
    assert abs(columns.mean() - 32) < 6
    assert abs(rows.mean() - 96) < 8
    assert 25 < rows.max() - rows.min() < 50


@pytest.mark.parametrize("size", [32, 96, 224])
def test_other_sizes_draw_the_same_scene(size):
    small, usual = (compose_scene("house", "meadow", seed=4, size=n) for n in (size, 128))
    assert small.image.shape == (size, size, 3)
    resized = Image.fromarray(usual.mask).resize((size, size), Image.Resampling.BOX)
    both = (small.mask > 127) & (np.asarray(resized) > 127)
    assert both.sum() > 0.9 * (small.mask > 127).sum()


def test_colour_carries_no_label():
    """The hue of an object's pixels is spread as widely as chance spreads it, in every class."""
    for obj in CLASSES:
        hues = []
        for seed in range(12):
            scene = compose_scene(obj, "plain", seed=seed)
            mean = scene.image[scene.mask == 255].astype(float).mean(axis=0)
            hues.append(int(mean.argmax()))
        assert len(set(hues)) == 3, obj


# ---------------------------------------------------------------------------- pairs, hard mode


def test_two_objects_are_both_visible():
    for seed in range(40):
        names = CLASSES[seed % 10], CLASSES[(3 * seed + 1) % 10]
        pair = compose_two(*names, BACKGROUNDS[seed % 10], seed=seed)
        assert min(area(pair.mask_a), area(pair.mask_b)) > 200
        overlap = pair.mask_a.astype(int) + pair.mask_b
        assert overlap.max() <= 256  # one count of rounding


def test_the_second_object_hides_little_of_the_first():
    for seed in range(40):
        behind = compose_two("house", "mushroom", "plain", seed=seed)
        alone = compose_two("house", "airplane", "plain", seed=seed)
        assert area(behind.mask_a) > 0.7 * area(alone.mask_a)


def test_pairs_put_either_object_left():
    def middle(mask):
        return np.nonzero(mask)[1].mean()

    pairs = [compose_two("cat", "car", "room", seed=seed) for seed in range(20)]
    left_first = [middle(pair.mask_a) < middle(pair.mask_b) for pair in pairs]
    assert 4 < sum(left_first) < 16


def test_two_of_a_kind_do_not_look_alike():
    pair = compose_two("cat", "cat", "plain", seed=1)
    colors = [
        pair.image[mask == 255].astype(float).mean(axis=0) for mask in (pair.mask_a, pair.mask_b)
    ]
    assert np.abs(colors[0] - colors[1]).max() > 20


def test_pair_masks_are_where_the_picture_changed():
    pair = compose_two("rocket", "penguin", "desert", seed=8)
    empty = compose_scene(None, "desert", seed=8)
    changed = (pair.image != empty.image).any(axis=2)
    masked = (pair.mask_a > 0) | (pair.mask_b > 0)
    assert not changed[~dilated(masked, 8)].any()
    assert changed[pair.mask_a == 255].mean() > 0.95
    assert changed[pair.mask_b == 255].mean() > 0.95


def test_hard_scenes_show_less_of_the_object():
    shares = []
    for seed in range(60):
        obj = CLASSES[seed % 10]
        easy, hard = (compose_scene(obj, "plain", seed=seed, hard=h) for h in (False, True))
        shares.append(area(hard.mask) / area(easy.mask))
        assert area(hard.mask) > 30, (obj, seed)
    assert max(shares) < 0.9
    assert np.mean(shares) < 0.6


KINDS = ("small", "cut", "hidden")
HARD_KINDS = {seed: Dice(seed, Stream.HARD).choice(KINDS) for seed in range(48)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_hard_scene_is_what_its_name_says(kind):
    seeds = [seed for seed, drawn in HARD_KINDS.items() if drawn == kind]
    assert len(seeds) >= 10
    for seed in seeds:
        easy, hard = (compose_scene("car", "plain", seed=seed, hard=h) for h in (False, True))
        border = np.concatenate([hard.mask[[0, -1]], hard.mask[:, [0, -1]].T]).max()
        share = area(hard.mask) / area(easy.mask)
        if kind == "small":
            assert border == 0
            assert max(np.ptp(axis) for axis in np.nonzero(hard.mask)) < 70
        elif kind == "cut":
            assert border == 255
            assert 0.55 < share < 0.85
        else:
            assert 0.4 < share < 0.75
            assert (hard.mask <= easy.mask).all()
            # What is left of the object is as it was, or darker: a shadow falls on it.
            left = hard.mask == 255
            assert (hard.image[left] <= easy.image[left]).all()
            # What hides the object is no part of it.
            assert (hard.mask[hard.parts > 0] > 0).all()
            assert (hard.parts[hard.mask == 0] == 0).all()


# ---------------------------------------------------------------------------- data sets


def test_labels_are_balanced_and_backgrounds_uniform_without_correlation():
    recipe = Recipe(4000, seed=3)
    labels = [recipe.label(i) for i in range(4000)]
    pairs = np.zeros((10, 10), dtype=int)
    for i, label in enumerate(labels):
        pairs[label, recipe.background(i)] += 1
    assert (pairs.sum(axis=1) == 400).all()
    # Binomial(400, 0.1): 40 expected, standard deviation 6.
    assert pairs.min() > 40 - 5 * 6
    assert pairs.max() < 40 + 5 * 6


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_correlation_is_the_share_of_own_backgrounds(correlation):
    recipe = Recipe(3000, seed=1, correlation=correlation)
    own = np.mean([recipe.label(i) == recipe.background(i) for i in range(3000)])
    expected = correlation + (1 - correlation) / 10
    deviation = np.sqrt(expected * (1 - expected) / 3000)
    assert abs(own - expected) <= 4 * deviation


def test_swapped_never_shows_the_own_background():
    recipe = Recipe(3000, seed=1, swapped=True)
    shifts = [(recipe.background(i) - recipe.label(i)) % 10 for i in range(3000)]
    counts = np.bincount(shifts, minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 333 - 5 * 18


def test_an_item_is_its_scene_as_tensors():
    data = SceneDataset(30, seed=2, swapped=True)
    item = data[13]
    scene = data.recipe.scene(13)
    assert item.image.dtype == item.mask.dtype == torch.float32
    assert item.parts.dtype == torch.uint8
    assert item.image.shape == (3, 128, 128)
    assert 0 <= item.image.min() < item.image.max() <= 1
    assert (item.label, item.background) == (data.recipe.label(13), data.recipe.background(13))
    np.testing.assert_array_equal((item.image * 255).round().byte().permute(1, 2, 0), scene.image)
    np.testing.assert_array_equal((item.mask * 255).round().byte(), scene.mask)
    np.testing.assert_array_equal(item.parts, scene.parts)


def test_items_depend_only_on_seed_index_and_options():
    short, long = SceneDataset(12, seed=4), SceneDataset(500, seed=4)
    assert torch.equal(short[7].image, long[7].image)
    assert torch.equal(short[-1].image, short[11].image)
    assert not torch.equal(short[7].image, SceneDataset(12, seed=5)[7].image)
    own = SceneDataset(12, seed=4, correlation=1.0)[7]
    assert own.background == own.label
    assert torch.equal(own.mask, short[7].mask)
    assert SceneDataset(12, seed=4, hard=True)[7].mask.sum() < short[7].mask.sum()
    assert SceneDataset(12, size=64)[0].image.shape == (3, 64, 64)


def test_workers_give_the_same_items():
    data = SceneDataset(8, seed=6)
    alone = list(DataLoader(data, batch_size=4))
    helped = list(DataLoader(data, batch_size=4, num_workers=1))
    assert len(alone) == len(helped) == 2
    for one, two in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert one.image.shape == (4, 3, 128, 128)


def test_arrays_are_the_items_with_any_number_of_processes():
    recipe = Recipe(6, seed=6, correlation=0.5)
    arrays = render_arrays(recipe)
    data = SceneDataset(6, seed=6, correlation=0.5)
    for i, item in enumerate(data[i] for i in range(6)):
        np.testing.assert_array_equal((item.image * 255).round().byte(), arrays.images[i])
        np.testing.assert_array_equal((item.mask * 255).round().byte(), arrays.masks[i])
        np.testing.assert_array_equal(item.parts, arrays.parts[i])
        assert (item.label, item.background) == (arrays.labels[i], arrays.backgrounds[i])
    shared = render_arrays(recipe, workers=2, progress=False)
    for one, two in zip(arrays, shared, strict=True):
        np.testing.assert_array_equal(one, two)


def test_no_global_random_state_is_touched():
    np.random.seed(1)
    torch.manual_seed(1)
    before = pickle.dumps(np.random.get_state()), torch.get_rng_state()
    SceneDataset(3)[1]
    compose_two("cat", "car", "sea", seed=1)
    assert pickle.dumps(np.random.get_state()) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_drawing_does_not_load_torch():
    code = (
        "import sys, vizhelpers.scenes.contact_sheets, vizhelpers.scenes.render;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_scene("dog", "sea", seed=1), "no object called 'dog'.*airplane, sailboat"),
        (lambda: draw_scene("pengin", "sea", seed=1), "Did you mean 'penguin'"),
        (lambda: draw_scene("cat", "forrest", seed=1), "no background called.*'forest'"),
        (lambda: draw_two("cat", "carr", "sea", seed=1), "'car'"),
        (lambda: draw_scene("cat", "sea", seed=-1), "seed must be 0 or more"),
        (lambda: draw_scene("cat", "sea", seed=1, size=8), "32 to 1024"),
        (lambda: draw_scene("cat", "sea", seed=1, scale=0), "share of the picture's side"),
        (lambda: SceneDataset(0), "n must be"),
        (lambda: SceneDataset(5, seed=-1), "seed must be 0 or more"),
        (lambda: SceneDataset(5, correlation=1.5), "probability from 0 to 1"),
        (lambda: SceneDataset(5, correlation=0.5, swapped=True), "cannot be combined"),
        (lambda: contact_sheet(backgrounds=["see"]), "Did you mean 'sea'"),
        (lambda: load_scenes("gird"), "'gird'.*'grid' and 'hard'"),
        (lambda: load_scenes("pairs"), r"load_pairs\(\)"),
        (lambda: load_scenes(limit=0), "limit must be 1 or more"),
    ],
)
def test_wrong_values_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wrong_kind_of_seed_is_explained():
    with pytest.raises(TypeError, match="integer, found float"):
        compose_scene("cat", "sea", seed=1.5)


def test_a_data_set_ends():
    data = SceneDataset(3)
    with pytest.raises(IndexError, match="holds 3"):
        data[3]
    assert len(list(data)) == 3


def test_an_unknown_name_of_the_package_is_refused():
    with pytest.raises(AttributeError, match="no_such_thing"):
        scenes.no_such_thing  # noqa: B018
    assert "draw_scene" in dir(scenes)


# ---------------------------------------------------------------------------- pictures to look at


def test_the_contact_sheet_holds_every_scene(tmp_path):
    path = write_contact_sheet(tmp_path / "new" / "sheet.png", seed=0)
    sheet = np.asarray(Image.open(path))
    cat_on_space = compose_scene("cat", "space", seed=CLASSES.index("cat")).image
    row, column = BACKGROUNDS.index("space"), CLASSES.index("cat")
    bottom, right = sheet.shape[0] - 131 * (10 - row), sheet.shape[1] - 131 * (10 - column)
    np.testing.assert_array_equal(sheet[bottom : bottom + 128, right : right + 128], cat_on_space)
    assert (sheet[:22] < 100).any()  # class names
    assert (sheet[:, :40] < 100).any()  # background names


# ---------------------------------------------------------------------------- shipped files


@pytest.mark.parametrize(("name", "count"), [("grid", 200), ("hard", 40)])
def test_shipped_scenes_are_read_with_their_truth(name, count):
    batch = load_scenes(name)
    assert batch.images.shape == (count, 3, 128, 128)
    assert batch.masks.shape == batch.parts.shape == (count, 128, 128)
    assert batch.images.dtype == batch.masks.dtype == torch.float32
    assert batch.labels.dtype == batch.backgrounds.dtype == torch.int64
    assert batch.parts.dtype == torch.uint8
    assert 0 <= batch.images.min() < batch.images.max() <= 1
    assert (batch.labels.bincount() == count // 10).all()
    assert len(set(batch.names)) == count
    for i in (0, 17, count - 1):
        obj, _, background, _ = batch.names[i].split("_")
        assert (CLASSES[batch.labels[i]], BACKGROUNDS[batch.backgrounds[i]]) == (obj, background)
    with Image.open(IMAGES / name / f"{batch.names[17]}.png") as image:
        np.testing.assert_array_equal((batch.images[17] * 255).byte().permute(1, 2, 0), image)


def test_the_grid_holds_every_cell_twice_and_starts_with_own_backgrounds():
    batch = load_scenes()
    cells = torch.bincount(batch.labels * 10 + batch.backgrounds)
    assert (cells == 2).all()
    assert len(cells) == 100
    few = load_scenes(limit=10)
    assert few.names == batch.names[:10]
    assert torch.equal(few.labels, few.backgrounds)


def test_shipped_pairs_are_read():
    batch = load_pairs()
    assert batch.images.shape == (30, 3, 128, 128)
    assert (batch.labels_a != batch.labels_b).all()
    assert (batch.masks_a + batch.masks_b).max() <= 1.01
    first, _, second, _, background, _ = batch.names[4].split("_")
    assert CLASSES[batch.labels_a[4]] == first
    assert CLASSES[batch.labels_b[4]] == second
    assert BACKGROUNDS[batch.backgrounds[4]] == background
    assert len(load_pairs(limit=3).names) == 3


def test_shipped_files_are_what_the_code_draws(tmp_path, monkeypatch):
    every = files._shipped()
    kept = sorted(path.relative_to(IMAGES) for path in IMAGES.rglob("*.png"))
    assert {path.as_posix().split(".")[0] for path in kept} == set(every), MAKE_AGAIN
    few = dict(list(every.items())[::11])  # all classes, backgrounds and sets; 2 s instead of 19
    monkeypatch.setattr(files, "_shipped", lambda: few)
    files.write_shipped(tmp_path)
    drawn = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert drawn == [path for path in kept if path.as_posix().split(".")[0] in few], MAKE_AGAIN
    for path in drawn:
        with Image.open(tmp_path / path) as new, Image.open(IMAGES / path) as old:
            assert new.mode == old.mode
            np.testing.assert_array_equal(new, old, err_msg=f"{path}: {PIXELS_MOVED}")


def test_missing_and_damaged_files_are_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "IMAGES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"airplane_on_sky_0.*python -m vizhelpers data"):
        load_scenes("grid", limit=1)
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "airplane_on_sky_0.png").write_bytes(b"\x89PNG damaged")
    with pytest.raises(OSError, match=r"damaged.*python -m vizhelpers data"):
        load_scenes("grid", limit=1)


# ---------------------------------------------------------------------------- pixels stay


SUMS = {
    "sky": "4ece9555ebdcd96d",
    "sea": "59723886bf644cc9",
    "road": "87812caa154c1c8c",
    "reef": "61f47a27d0209b84",
    "meadow": "17fe3828abdae50a",
    "desert": "a95eec5dde775cf6",
    "room": "41791df5756198f9",
    "space": "828d08c146783887",
    "forest": "6e7bb1a0f99deb1b",
    "snow": "436643edad7d0ce5",
    "plain": "acfb7b270cae4076",
    "gratings": "11d2bacdca6aa563",
}


@pytest.mark.parametrize("index", range(12))
def test_pixels_have_not_moved(index):
    background = (*BACKGROUNDS, "plain", "gratings")[index]
    obj = CLASSES[index % 10]
    drawn = [compose_scene(obj, background, seed=index, hard=hard) for hard in (False, True)]
    pair = compose_two(obj, CLASSES[(index + 3) % 10], background, seed=index)
    digest = hashlib.sha256()
    for scene in drawn:
        for pixels in (scene.image, scene.mask, scene.parts):
            digest.update(pixels.tobytes())
    for pixels in (pair.image, pair.mask_a, pair.mask_b):
        digest.update(pixels.tobytes())
    assert digest.hexdigest()[:16] == SUMS[background], PIXELS_MOVED
