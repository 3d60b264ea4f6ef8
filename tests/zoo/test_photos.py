"""The photos: shipped pixels against the packages' own files, names, and what is said of them."""

from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from vizhelpers._utils.paths import DATA
from vizhelpers.zoo import load_photos, photos

ORIGINALS = {
    "cat": data.chelsea,
    "espresso": data.coffee,
    "rocket": data.rocket,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "palace": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}


def test_all_of_them():
    batch = load_photos()
    assert batch.names == tuple(ORIGINALS)
    assert batch.images.shape == (6, 3, 224, 224)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() < batch.images.max() <= 1
    assert len(batch.sources) == len(batch.licences) == len(batch.labels) == 6


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_pixels_are_a_square_of_what_the_package_offers(name):
    left, top, right, bottom = photos._PHOTOS[name].box
    assert right - left == bottom - top  # not squashed
    # Cut by NumPy, not by Pillow: a box that stands out would be filled with black there.
    square = np.ascontiguousarray(ORIGINALS[name]()[top:bottom, left:right])
    assert square.shape == (bottom - top, right - left, 3)
    resized = Image.fromarray(square).resize((224, 224), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255
    # Another version of the JPEG library may round a pixel differently.
    assert (load_photos(name).images[0] - expected).abs().max() < 3 / 255


def test_chosen_ones_in_the_order_asked_for():
    all_of_them, two = load_photos(), load_photos("palace", "cat")
    assert two.names == ("palace", "cat")
    assert torch.equal(two.images, all_of_them.images[[4, 0]])
    assert two.labels.tolist() == all_of_them.labels[[4, 0]].tolist()
    with pytest.raises(ValueError, match="Did you mean 'espresso'"):
        load_photos("expresso")


def test_what_is_shipped_may_be_and_is_written_the_same_again(tmp_path):
    photos.write_photos(tmp_path)
    shipped = {path.name: path for path in photos.PHOTOS.iterdir()}
    assert shipped.keys() == {path.name for path in tmp_path.iterdir()}
    credit = (DATA / "README.md").read_text(encoding="utf-8")
    batch = load_photos()
    for name, source, licence in zip(batch.names, batch.sources, batch.licences, strict=True):
        assert (f"{name}.png" in shipped) == (licence in ("CC0 1.0", "public domain", "CC BY 2.0"))
        assert source.split(",")[0] in credit
        assert licence in credit
    for name, path in shipped.items():
        with Image.open(path) as stored, Image.open(tmp_path / name) as again:
            difference = np.abs(np.asarray(stored, np.int16) - np.asarray(again, np.int16))
        assert difference.max() < 3
    assert sum(path.stat().st_size for path in shipped.values()) < 1_500_000


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(photos, "distribution", missing)
    assert load_photos("cat").names == ("cat",)  # shipped: needs no package
    with pytest.raises(FileNotFoundError, match="pip install scikit-image"):
        load_photos("motorcycle")
