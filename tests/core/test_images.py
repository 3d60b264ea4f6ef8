"""Reading photos of every kind, and normalising, against values written down by hand."""

import re
import struct
import warnings
import zlib
from zlib import compress, crc32

import numpy as np
import pytest
import torch
from PIL import Image

from vizhelpers.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    denormalize,
    list_pictures,
    load_image,
    normalize,
)

# 2 rows, 3 columns: every pixel different, so that no flip or channel swap goes unseen
RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [255, 255, 255], [0, 0, 0]]],
    dtype=np.uint8,
)


def pixels(tensor):
    """[3, H, W] in [0, 1] as an [H, W, 3] array of 0 to 255."""
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    return (tensor * 255).numpy().transpose(1, 2, 0)


def grey(*rows):
    """What a grey picture must come out as: three equal channels."""
    return np.repeat(np.array(rows, dtype=float)[:, :, None], 3, axis=2)


def saved(tmp_path, image, name="picture.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


# -- every kind of file -----------------------------------------------------------------------


def test_rgb_comes_back_pixel_for_pixel(tmp_path):
    image = load_image(saved(tmp_path, Image.fromarray(RGB)))
    assert image.shape == (3, 2, 3)
    np.testing.assert_allclose(pixels(image), RGB, atol=1e-4)
    assert (float(image.min()), float(image.max())) == (0.0, 1.0)


def test_path_str_and_pillow_image_agree(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    expected = load_image(path)
    assert torch.equal(load_image(str(path)), expected)
    assert torch.equal(load_image(Image.fromarray(RGB)), expected)


def test_home_folder_is_understood(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):  # the second one is Windows'
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    saved(tmp_path, Image.fromarray(RGB))
    assert load_image("~/picture.png").shape == (3, 2, 3)


def test_grey_becomes_three_equal_channels(tmp_path):
    values = np.array([[0, 100, 255]], dtype=np.uint8)
    image = load_image(saved(tmp_path, Image.fromarray(values)))
    np.testing.assert_allclose(pixels(image), grey([0, 100, 255]), atol=1e-4)


def test_transparent_parts_become_white(tmp_path):
    rgba = np.array([[[200, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    image = load_image(saved(tmp_path, Image.fromarray(rgba)))
    np.testing.assert_allclose(
        pixels(image), [[[200, 0, 0], [255, 255, 255], [127, 127, 127]]], atol=1
    )


def test_grey_with_alpha(tmp_path):
    la = np.array([[[80, 255], [80, 0]]], dtype=np.uint8)
    image = load_image(saved(tmp_path, Image.fromarray(la)))
    np.testing.assert_allclose(pixels(image), grey([80, 255]), atol=1e-4)


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    plain = load_image(saved(tmp_path, image))
    np.testing.assert_allclose(pixels(plain), [[[255, 0, 0], [0, 0, 255]]], atol=1e-4)
    holey = load_image(saved(tmp_path, image, "holey.png", transparency=1))
    np.testing.assert_allclose(pixels(holey), [[[255, 0, 0], [255, 255, 255]]], atol=1e-4)


def test_one_bit(tmp_path):
    image = Image.fromarray(np.array([[True, False]]))
    assert image.mode == "1"
    np.testing.assert_allclose(pixels(load_image(saved(tmp_path, image))), grey([255, 0]))


@pytest.mark.parametrize(("name", "tolerance"), [("c.tiff", 1), ("c.jpg", 6)])
def test_cmyk(tmp_path, name, tolerance):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, full magenta and yellow
    loaded = load_image(saved(tmp_path, image, name))
    np.testing.assert_allclose(pixels(loaded)[8, 8], [255, 0, 0], atol=tolerance)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, name):
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    image = load_image(saved(tmp_path, Image.fromarray(values), name))
    expected = np.array([0, 256 / 65535, 32768 / 65535, 1])
    for channel in image:
        np.testing.assert_allclose(channel[0].numpy(), expected, atol=1e-7)


def test_sixteen_bit_values_in_a_32_bit_image():
    image = load_image(Image.fromarray(np.array([[0, 13107, 65535]], dtype=np.int32)))
    np.testing.assert_allclose(image[0, 0].numpy(), [0, 0.2, 1], atol=1e-7)


def test_float_image_in_0_1_is_taken_as_it_is(tmp_path):
    values = np.array([[0.0, 0.123456, 1.0]], dtype=np.float32)
    image = load_image(saved(tmp_path, Image.fromarray(values), "float.tiff"))
    np.testing.assert_array_equal(image[1], values)


@pytest.mark.parametrize("values", [np.array([[0, 1.0e6]], np.float32), np.array([[-1]], np.int32)])
def test_32_bit_values_without_a_known_white_are_refused(values):
    with pytest.raises(ValueError, match="scale it yourself"):
        load_image(Image.fromarray(values))


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(pixels(load_image(path))[0, 0], [255, 0, 0], atol=1)


# EXIF 2.3, tag 274: where row 0 and column 0 of the stored picture lie in the upright one.
H, W = RGB.shape[:2]
STORED = {
    1: RGB,
    2: [[RGB[r, W - 1 - c] for c in range(W)] for r in range(H)],  # top, right
    3: [[RGB[H - 1 - r, W - 1 - c] for c in range(W)] for r in range(H)],  # bottom, right
    4: [[RGB[H - 1 - r, c] for c in range(W)] for r in range(H)],  # bottom, left
    5: [[RGB[c, r] for c in range(H)] for r in range(W)],  # left, top
    6: [[RGB[c, W - 1 - r] for c in range(H)] for r in range(W)],  # right, top
    7: [[RGB[H - 1 - c, W - 1 - r] for c in range(H)] for r in range(W)],  # right, bottom
    8: [[RGB[H - 1 - c, r] for c in range(H)] for r in range(W)],  # left, bottom
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.array(STORED[orientation], dtype=np.uint8))
    path = saved(tmp_path, stored, exif=exif)
    np.testing.assert_allclose(pixels(load_image(path)), RGB, atol=1e-4)
    with Image.open(path) as opened:
        np.testing.assert_allclose(pixels(load_image(opened)), RGB, atol=1e-4)


# -- size -------------------------------------------------------------------------------------


def test_size_takes_the_centred_square_without_squashing():
    picture = np.zeros((20, 60, 3), dtype=np.uint8)
    picture[:, 20:40] = 255  # the middle square is white, the sides are black
    for array in (picture, picture.transpose(1, 0, 2)):
        image = load_image(Image.fromarray(array), size=10)
        assert image.shape == (3, 10, 10)
        np.testing.assert_allclose(image[:, 1:-1, 1:-1].numpy(), 1, atol=1e-3)


def test_size_is_antialiased():
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    image = load_image(Image.fromarray(stripes), size=8)
    np.testing.assert_allclose(image[:, :, 1:-1].numpy(), 0.5, atol=0.02)


def test_size_enlarges_deep_grey_too():
    ramp = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(np.uint16)
    image = load_image(Image.fromarray(ramp), size=32)
    assert image.shape == (3, 32, 32)
    assert len(image.unique()) > 256
    assert float(image.max()) <= 1


def test_a_thin_picture_is_fine():
    strip = Image.fromarray(np.arange(200, dtype=np.uint8)[None])
    assert load_image(strip).shape == (3, 1, 200)
    assert load_image(strip, size=16).shape == (3, 16, 16)


@pytest.mark.parametrize("size", [0, -1, 10**6])
def test_impossible_size(size):
    with pytest.raises(ValueError, match="size must be 1 to"):
        load_image(Image.new("RGB", (4, 4)), size=size)


@pytest.mark.parametrize("size", [2.5, "128", True, (8, 8)])
def test_size_of_a_wrong_kind(size):
    with pytest.raises(TypeError, match="integer"):
        load_image(Image.new("RGB", (4, 4)), size=size)


def test_a_given_image_stays_as_it_is():
    image = Image.fromarray(RGB)
    load_image(image, size=2)
    np.testing.assert_array_equal(np.asarray(image), RGB)


# -- what can be wrong with a file ------------------------------------------------------------


def test_missing_file_names_the_nearest(tmp_path):
    for name in ("kitten.png", "puppy.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"nearest names there: kitten\.png"):
        load_image(tmp_path / "Kiten.png")


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        load_image(tmp_path / "no" / "picture.png")


def test_folder_names_what_is_in_it(tmp_path):
    (tmp_path / "kitten.png").write_bytes(b"x")
    with pytest.raises(IsADirectoryError, match=r"is a folder.*kitten\.png"):
        load_image(tmp_path)


def test_web_address_says_download_first():
    with pytest.raises(ValueError, match=r"Download it first.*urlretrieve"):
        load_image("https://example.org/cat.jpg")


def test_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"is empty \(0 bytes\)"):
        load_image(tmp_path / "empty.png")


@pytest.mark.parametrize("content", [b"hello, not a picture", b"\0\0\0\x18ftypheic" + b"\0" * 40])
def test_unknown_format_says_what_to_do(tmp_path, content):
    (tmp_path / "odd.heic").write_bytes(content)
    with pytest.raises(ValueError, match=r"HEIC.*as PNG or JPEG"):
        load_image(tmp_path / "odd.heic")


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.gif", "p.bmp", "p.webp", "p.tiff"])
def test_cut_off_file(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_image(path)


def test_damaged_png(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken or cut off"):
        load_image(path)


def png_header(width, height):
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + b"\x08\x02\0\0\0")
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_100, 10_000, 100_000])
def test_decompression_bomb_is_refused_without_a_warning(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="too large: "):
            load_image(path)


def test_image_without_pixels():
    with pytest.raises(ValueError, match="no pixels"):
        load_image(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("source", [None, 3, b"bytes", np.zeros((2, 2, 3)), torch.zeros(3, 2, 2)])
def test_wrong_kind_of_source(source):
    with pytest.raises(TypeError, match="takes a path"):
        load_image(source)


# -- several pictures -------------------------------------------------------------------------


def test_folders_give_their_pictures_in_the_order_of_their_numbers(tmp_path):
    for name in ("10.JPG", "2.png", "b.gif", ".hidden.png", "notes.txt", "sub/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list_pictures(tmp_path / "sub" / "1.png", tmp_path)
    assert [path.name for path in found] == ["1.png", "2.png", "10.JPG", "b.gif"]


def test_a_folder_without_pictures_says_what_it_holds(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture in .*that folder holds no files"):
        list_pictures(tmp_path)
    (tmp_path / "cat.heic").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"there are: cat\.heic\. Formats .*PNG, JPEG"):
        list_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nearest names there: cat\.heic"):
        list_pictures(tmp_path / "cat.png")


# -- normalize and denormalize ----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 5, 7), (2, 4, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_normalize_is_torchvisions(shape, dtype):
    from torchvision.transforms import v2

    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = images.clone()
    ours = normalize(images)
    assert ours.dtype == dtype
    assert torch.equal(images, before)
    torch.testing.assert_close(ours, v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)(images))


def test_normalize_by_hand():
    image = torch.tensor([0.485, 1.0, 0.0]).view(3, 1, 1)
    expected = torch.tensor([0.0, (1 - 0.456) / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(normalize(image).flatten(), expected)


def test_denormalize_undoes_normalize():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(denormalize(normalize(images)), images)
    one = images[:, :1]
    torch.testing.assert_close(denormalize(normalize(one, [0.5], [0.2]), [0.5], [0.2]), one)


def test_gradients_flow_through_both():
    image = torch.full((3, 2, 2), 0.5, requires_grad=True)
    normalize(image).sum().backward()
    torch.testing.assert_close(image.grad[:, 0, 0], 1 / torch.tensor(IMAGENET_STD))
    image.grad = None
    denormalize(image).sum().backward()
    torch.testing.assert_close(image.grad[:, 0, 0], torch.tensor(IMAGENET_STD))
    assert image.is_leaf
    assert image.requires_grad


def test_denormalize_keeps_what_lies_outside():
    assert float(denormalize(torch.full((3, 1, 1), 9.0)).min()) > 1


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (torch.full((3, 4, 4), 200.0), "divide by 255"),
        (normalize(torch.rand(3, 4, 4)) - 1, "normalised already"),
        (torch.full((3, 4, 4), float("nan")), "NaN"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "/ 255"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(8, 8, 3), "movedim"),
        (torch.zeros(1, 8, 8), "expand"),
        (torch.zeros(4, 8, 8), "4 channels"),
    ],
)
def test_normalize_explains_what_is_wrong(images, advice):
    with pytest.raises(ValueError, match=re.escape(advice)):
        normalize(images)


def test_a_small_overshoot_is_allowed():
    normalize(torch.tensor([-0.05, 1.05, 0.5]).view(3, 1, 1))


@pytest.mark.parametrize("function", [normalize, denormalize])
def test_wrong_kinds_and_statistics(function):
    with pytest.raises(TypeError, match="must be a tensor, not ndarray"):
        function(np.zeros((3, 4, 4)))
    with pytest.raises(ValueError, match="they must match"):
        function(torch.zeros(3, 4, 4), [0.5] * 3, [0.5])
    with pytest.raises(ValueError, match="above zero"):
        function(torch.zeros(3, 4, 4), [0.5] * 3, [0.5, 0, 0.5])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_is_kept():
    images = torch.rand(3, 4, 4, device="cuda")
    assert denormalize(normalize(images)).device == images.device


# -- what could mean two things ---------------------------------------------------------------


def test_eight_bits_in_a_32_bit_image_are_asked_back():
    image = Image.fromarray(np.array([[0, 200], [100, 255]], dtype=np.int32))
    with pytest.raises(ValueError, match="what counts as white is unknown"):
        load_image(image)
    full = Image.fromarray(np.array([[0, 65535], [65535, 0]], dtype=np.int32))
    assert load_image(full)[0].tolist() == [[0, 1], [1, 0]]


def test_a_transparent_grey_of_16_bits_becomes_white(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    grey = ((0, 1000), (1000, 65535))
    rows = b"".join(b"\0" + np.array(row, ">u2").tobytes() for row in grey)
    path = tmp_path / "grey16.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", 1000))
        + chunk(b"IDAT", compress(rows))
        + chunk(b"IEND", b"")
    )
    assert load_image(path)[0].tolist() == [[0, 1], [1, 1]]


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ValueError, match="not a picture in a format that is read here"):
        load_image(path)
