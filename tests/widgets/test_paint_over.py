"""The picture to paint over, without a browser: what a page sends is set as the page sets it."""

import asyncio
import gc
import io
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from scipy.ndimage import gaussian_filter
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.widgets.paint_over import PaintOver, paint_over


class Net(nn.Module):
    """The mean of each colour, times 9: three scores that can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)  # in training mode, another answer
        self.noise = nn.Dropout(0.5)
        self.seen: list[Tensor] = []
        self.broken = False

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        if self.broken:
            raise RuntimeError("the <net> is broken")
        return 9 * self.noise(self.norm(images)).mean((2, 3))


class Wrapped(nn.Module):
    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(images.mean((2, 3)))


def as_it_is(picture: Tensor) -> Tensor:
    return picture


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def image() -> Tensor:
    red = torch.zeros(3, 8, 12)
    red[0] = 1
    return red


def half(image: Tensor) -> Tensor:
    mask = torch.zeros(image.shape[1:], dtype=torch.bool)
    mask[:, :6] = True
    return mask


def build(image: Tensor, net: nn.Module, *others: nn.Module, **options: Any) -> PaintOver:
    return paint_over(image, net, *others, **{"transform": as_it_is, **options})


def send(view: PaintOver, **state: Any) -> None:
    """What comes from the page with one stroke."""
    view.image.set_state({**state, "asked": view.image.asked + 1})


def bars(view: PaintOver) -> list[dict[str, Any]]:
    (table,) = view.image.tables
    return table["rows"]


# -- numbers ----------------------------------------------------------------------------------


def test_the_answer_is_that_of_the_painted_picture(image: Tensor, net: Net) -> None:
    view = build(image, net, classes=["red", "green", "blue"], names=["colours"])
    assert view.text.startswith("Nothing painted: colours says red (100 %)")
    mask = half(image)
    view.mask = mask
    painted = image.clone()
    painted[:, mask] = 0.5
    assert torch.equal(view.painted, painted)
    assert torch.equal(view.mask, mask)
    scale = 9 / (1 + 1e-5) ** 0.5
    expected = (scale * torch.tensor([0.75, 0.25, 0.25])).softmax(0)
    torch.testing.assert_close(view.probabilities, expected)
    assert torch.equal(net.seen[-1], painted[None])
    assert [row["now"] for row in bars(view)] == [[p] for p in view.probabilities.tolist()]
    start = (scale * torch.tensor([1.0, 0.0, 0.0])).softmax(0)
    torch.testing.assert_close(torch.tensor([row["start"][0] for row in bars(view)]), start)
    assert [row["top"] for row in bars(view)] == [[True], [False], [False]]
    assert view.text == view.image.alt == "50 % painted: colours says red (98 %)."


def test_what_is_painted_with(image: Tensor, net: Net) -> None:
    image[:, 2:5, 3:7] = torch.rand(3, 3, 4)
    other = torch.rand(3, 8, 12)
    view = build(image, net, other=other, fill="blur", mask=half(image))
    blurred = torch.from_numpy(gaussian_filter(image.numpy(), (0, 1, 1), mode="nearest"))
    assert torch.equal(view.painted[:, :, :6], blurred[:, :, :6])
    assert torch.equal(view.painted[:, :, 6:], image[:, :, 6:])
    view.fill = "other picture"
    assert torch.equal(view.painted[:, :, :6], other[:, :, :6])
    send(view, fill="grey")
    assert (view.fill, float(net.seen[-1][0, 0, 0, 0])) == ("grey", 0.5)
    # The page has the same pictures, in bytes.
    page = np.frombuffer(view.image.fills["other picture"], dtype=np.uint8).reshape(8, 12, 3)
    assert abs(page / 255 - other.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_the_twins_side_by_side() -> None:
    twins = [vh.load_model("resnet18", twin=twin) for twin in ("fair", "shortcut")]
    scene = vh.load_scenes()["cat_on_sea_0"]
    view = vh.paint_over(scene.image, *twins)
    view.mask = scene.mask < 0.5
    painted = torch.where(scene.mask < 0.5, 0.5, scene.image)
    with torch.no_grad():
        expected = [twin(vh.normalize(painted)[None]).softmax(1)[0] for twin in twins]
    for found, by_hand in zip(view.probabilities, expected, strict=True):
        torch.testing.assert_close(found, by_hand)
    (table,) = view.image.tables
    assert table["models"] == ["resnet18, fair", "resnet18, shortcut"]
    assert [row["name"] for row in table["rows"]] == list(vh.CLASSES)
    tops = [[row["name"] for row in table["rows"] if row["top"][k]] for k in (0, 1)]
    assert tops == [[vh.CLASSES[p.argmax()]] for p in expected]


def test_of_many_classes_the_first_five_and_what_comes_up() -> None:
    def scores(colours: Tensor) -> Tensor:  # red brings up classes 0 to 5, green 20 to 25
        where = torch.arange(30.0)
        red, green = (torch.relu(6 - abs(where - middle)) for middle in (2.9, 22.9))
        return colours[:, :1] * red + colours[:, 1:2] * green

    image = torch.zeros(3, 4, 4)
    image[0] = 1
    other = image.flip(0).roll(-1, 0)  # green
    view = build(image, Wrapped(scores), other=other, fill="other picture")
    first = [row["name"] for row in bars(view)]
    assert first == ["class 3", "class 2", "class 4", "class 1", "class 5"]
    view.mask = torch.ones(4, 4, dtype=torch.bool)
    assert [row["name"] for row in bars(view)] == [*first, "class 23", "class 22", "class 24"]
    assert [row["top"][0] for row in bars(view)] == [False] * 5 + [True, False, False]


def test_networks_of_other_classes_have_bars_of_their_own(image: Tensor, net: Net) -> None:
    two = Wrapped(lambda colours: colours[:, :2])
    view = build(image, net, two, names=["three", "two"])
    assert [len(table["rows"]) for table in view.image.tables] == [3, 2]
    assert [table["models"] for table in view.image.tables] == [["three"], ["two"]]
    assert "three says class 0" in view.text
    assert "two says class 0" in view.text
    assert Image.open(io.BytesIO(view.picture)).width > 900
    same = build(image, net, Net())
    assert same.image.tables[0]["models"] == ["Net (1)", "Net (2)"]


def test_the_networks_own_transform_and_classes(image: Tensor) -> None:
    model = vh.load_model("efficientnet_lite0")
    photo = torch.rand(3, 224, 224)
    view = vh.paint_over(photo, model, mask=torch.ones(224, 224, dtype=torch.bool))
    with torch.no_grad():
        expected = model(torch.zeros(1, 3, 224, 224)).softmax(1)[0]  # (0.5 - 0.5) / 0.5
    torch.testing.assert_close(view.probabilities, expected)
    assert model.info.classes[expected.argmax()] in view.text


# -- from the page ----------------------------------------------------------------------------


def test_a_stroke_from_the_page(image: Tensor, net: Net) -> None:
    view, stroke = build(image, net), half(image).to(torch.uint8).numpy().tobytes()
    send(view, mask=memoryview(stroke))  # as the kernel hands it over
    assert torch.equal(view.mask, half(image))
    assert view.image.answered == view.image.asked == 1
    count = len(net.seen)
    send(view, mask=memoryview(stroke))
    assert len(net.seen) == count, "nothing new is asked"
    assert view.image.answered == 2


def test_of_strokes_that_had_to_wait_the_last_one_is_answered(image: Tensor, net: Net) -> None:
    async def cell() -> None:
        view = build(image, net)
        count = len(net.seen)
        for column in range(1, 12):
            mask = torch.zeros(8, 12, dtype=torch.uint8)
            mask[:, :column] = 1
            stroke = {"mask": memoryview(mask.numpy().tobytes())}
            thread = threading.Thread(target=send, args=(view,), kwargs=stroke)
            thread.start()
            thread.join()
        assert (len(net.seen), view.image.answered) == (count, 0), "its turn comes after the cell"
        await asyncio.sleep(0.01)
        assert (len(net.seen), view.image.answered) == (count + 1, 11)
        assert torch.equal(net.seen[-1][0], view.painted)

    asyncio.run(cell())


def test_an_error_is_said_and_the_next_stroke_answers(image: Tensor, net: Net) -> None:
    view = build(image, net)
    before = view.image.tables
    net.broken = True
    send(view, mask=half(image).numpy().tobytes())
    assert isinstance(view.last_error, RuntimeError)
    assert "could not answer. RuntimeError: the <net> is broken" in view.text
    assert "&lt;net&gt;" in view.status.value
    assert (view.image.tables, view.image.stale, view.image.answered) == (before, True, 1)
    with pytest.raises(RuntimeError, match="is broken"):
        _ = view.probabilities
    net.broken = False
    view.mask = torch.ones(8, 12, dtype=torch.bool)
    assert (view.last_error, view.image.stale) == (None, False)
    assert view.text.startswith("100 % painted")


def test_a_page_without_a_kernel_has_the_picture_as_it_is_now(image: Tensor, net: Net) -> None:
    view, same = build(image, net), build(image, net, mask=half(image))
    before = view.picture
    assert before.startswith(b"\x89PNG")
    view.mask = half(image)
    bundle = view._repr_mimebundle_()
    assert bundle["image/png"] == view.picture == same.picture != before
    assert bundle["text/plain"] == "<PaintOver: picture, 50 % painted shown>"
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.widget.model_id


# -- nothing is left behind -------------------------------------------------------------------


def test_the_model_stays_as_it_was(image: Tensor, net: Net) -> None:
    net.train()
    some_grads(net)
    before = portrait(net), random_numbers()
    view = build(image, net)
    view.mask = half(image)
    view.fill = "blur"
    assert view.probabilities is not None
    assert (portrait(net), random_numbers()) == before
    view.mask[:] = True  # a copy
    assert torch.equal(view.mask, half(image))
    assert float(image[0].min()) == 1


def test_closed_it_lets_go_of_the_model(image: Tensor) -> None:
    widgets, net = set(_instances), Net()
    view = build(image, net, Net())
    model, box = weakref.ref(net), weakref.ref(view.image)
    del net
    view.close()
    gc.collect()
    assert (model(), box()) == (None, None)
    assert set(_instances) == widgets
    assert repr(view) == "<PaintOver: closed>"


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"logits": s, "aux": s[0]}, r"output=lambda out: out\['logits'\]"),
        (lambda s: (s, 1), r"output=lambda out: out\[0\]"),
        (lambda s: s[:, :1], "two or more classes"),
        (lambda s: s[..., None], "two or more classes"),
        (lambda s: s[0], "first dimension"),
    ],
)
def test_models_that_return_no_scores(image: Tensor, change: Any, message: str) -> None:
    widgets = set(_instances)
    with pytest.raises((TypeError, ValueError), match=message):
        build(image, Wrapped(change))
    assert set(_instances) == widgets


def test_output_takes_the_scores_out(image: Tensor) -> None:
    net = Wrapped(lambda scores: {"logits": scores})
    view = build(image, net, output=lambda out: out["logits"])
    torch.testing.assert_close(view.probabilities, torch.tensor([1.0, 0, 0]).softmax(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": None}, "transform=: vh.normalize"),
        ({"classes": ["a"]}, "names for 1 classes"),
        ({"names": ["a", "b"]}, "one name for each of 1"),
        ({"fill": "gray"}, "'grey', 'blur'; got 'gray'"),
        ({"fill": "other picture"}, "Give that picture as other="),
        ({"other": torch.zeros(3, 4, 4)}, r"\[3, 8, 12\], not \[3, 4, 4\]"),
        ({"mask": torch.zeros(3, 3, dtype=torch.bool)}, r"\[8, 12\], not \[3, 3\]"),
        ({"mask": torch.zeros(8, 12)}, "scene.mask > 0.5"),
        ({"brush": 7}, "1 to 6 pixels"),
        ({"compare_with": "resnet"}, "compare_with must be a torch.nn.Module"),
    ],
)
def test_wrong_arguments(image: Tensor, net: Net, options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        build(image, net, **options)


def test_wrong_pictures(image: Tensor, net: Net) -> None:
    with pytest.raises(ValueError, match="denormalize"):
        build(vh.normalize(image), net)
    with pytest.raises(ValueError, match=r"image\[0\]"):
        build(image[None], net)
    view = build(image, net)
    with pytest.raises(TypeError, match="must be bool"):
        view.mask = half(image).float()
    with pytest.raises(ValueError, match="got 'red'"):
        view.fill = "red"
