"""The ascent picker without a browser, against the pure functions that it is built on."""

import asyncio
import gc
import io
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn

import vizhelpers.widgets.activation_picker as module
from vizhelpers.features.activation_maximization import maximize_activation
from vizhelpers.figures import to_png
from vizhelpers.widgets.activation_picker import AscentPicker, ascent_image, ascent_picker

OPTIONS: dict[str, Any] = {"shape": (3, 24, 16), "seed": 3, "jitter": 2}


class Net(nn.Module):
    """Two convolutions of different width, class scores, and a switch that breaks it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 8, 3, stride=2)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.broken = False

    def forward(self, images: Tensor) -> Tensor:
        if self.broken:
            raise RuntimeError("the <net> is broken")
        maps = self.norm(self.second(self.first(images).relu())).relu()
        return self.head(maps.mean((2, 3)))


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(module, "PAUSE", 0.001)


@pytest.fixture
def net() -> Net:
    return Net()


def build(net: Net, **options: Any) -> AscentPicker:
    return ascent_picker(net, **{"steps": 6, "more": 10, **OPTIONS, **options})


def assert_shows(view: AscentPicker, net: Net, layer: str, filter: int, steps: int) -> None:
    made = maximize_activation(net, layer, [filter], steps=steps, **OPTIONS)
    assert view.last_error is None
    assert view.picture == to_png(ascent_image(made))
    assert view.shown == f"{layer or 'class scores'}, filter {filter}"
    assert f"{filter} after {steps} steps: activation " in view.text
    assert not view.running or steps < view._goal


def assert_at_rest(view: AscentPicker, words: str) -> None:
    assert not (view.running or view.longer.disabled)
    assert view.halt.disabled
    assert view.progress_text.value == words


def in_a_notebook(cell: Callable[[], Any]) -> None:
    """Run with a running loop, as in a kernel; nothing may be left over."""

    problems: list[object] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: problems.append(what))
        await cell()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect()  # only then a task says that it has failed
        assert problems == []

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() == before


async def finished(view: AscentPicker) -> None:
    while view.running:
        await asyncio.sleep(0.002)


async def steps_made(view: AscentPicker, at_least: int) -> None:
    while view.ascent.steps < at_least:
        await asyncio.sleep(0.002)


# -- picking ----------------------------------------------------------------------------------


def test_every_pick_shows_what_the_pure_functions_make(net: Net) -> None:
    view = build(net)
    lines = [" ".join(label.split()) for label, _ in view.select.options]
    assert lines == ["first 5 filters", "second 8 filters", "class scores Net"]
    assert_shows(view, net, "first", 0, 6)
    view.select.value = "second"
    assert_shows(view, net, "second", 0, 6)
    view.controls["filter"].value = 7
    assert_shows(view, net, "second", 7, 6)
    view.pick("", filter=2)
    assert_shows(view, net, "", 2, 6)
    assert "Class 2 after 6 steps" in view.text
    view.pick("first")
    assert_shows(view, net, "first", 2, 6)
    assert_at_rest(view, "6 steps made")


def test_initial_layer_and_filter(net: Net) -> None:
    assert_shows(build(net, initial=("second", 5)), net, "second", 5, 6)
    assert_shows(build(net, initial=""), net, "", 0, 6)
    view = build(net, layers=["norm"], initial="norm")
    assert view.layers == ("norm",)
    assert_shows(view, net, "norm", 0, 6)


def test_layer_and_filter_make_one_ascent_and_images_are_measured_once_a_layer(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, measured, real = [], [], module.channel_means

    def make(model: nn.Module, layer: str, channels: list[int], **options: Any) -> Any:
        made.append((layer, *channels))
        return maximize_activation(model, layer, channels, **options)

    def measure(model: nn.Module, layer: str, images: Tensor, **options: Any) -> Tensor:
        measured.append(layer)
        assert options == {"objective": "neuron"}
        return real(model, layer, images, **options)

    monkeypatch.setattr(module, "maximize_activation", make)
    monkeypatch.setattr(module, "channel_means", measure)
    view = build(net, images=torch.randn(2, 3, 9, 9), objective="neuron")
    view.pick("second", filter=7)
    view.longer.click()
    view.pick("first", filter=0)
    assert made == [("first", 0), ("second", 7)]
    assert measured == ["first", "second"]


def test_a_filter_that_is_not_there_is_explained(net: Net) -> None:
    view = build(net, initial=("second", 7))
    before = view.picture
    view.controls["filter"].value = 8
    assert "has channels 0 to 7, there is no 8." in view.text
    assert "still that of second, filter 7" in view.text
    assert isinstance(view.last_error, ValueError)
    assert view.controls["filter"].value == 8, "not silently another one"
    assert view.picture == before
    view.controls["filter"].value = 7
    assert_shows(view, net, "second", 7, 6)
    view.select.value = "first"
    assert "has channels 0 to 4, there is no 7." in view.text
    view.longer.click()  # goes on with what is shown
    assert_shows(view, net, "second", 7, 16)
    assert (view.select.value, view.controls["filter"].value) == ("second", 7)


def test_what_was_reached_is_kept_but_not_without_end(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ASCENTS", 2)
    view = build(net)
    view.longer.click()
    view.pick("second")
    view.pick("first")
    assert_shows(view, net, "first", 0, 16)
    assert_at_rest(view, "16 steps made")
    view.pick("second", filter=1)
    view.pick("second", filter=2)
    view.pick("first", filter=0)
    assert_shows(view, net, "first", 0, 6)


def test_comparison_with_real_images(net: Net) -> None:
    images = torch.randn(7, 3, 20, 20)
    view = build(net, images=images, initial=("first", 3), steps=60)
    with torch.no_grad():
        means = net.first(images)[:, 3].mean((1, 2))
    best, reached = float(means.max()), float(view.ascent.activations[0])
    assert min(best, reached) > 0
    assert (
        f"Filter 3 after 60 steps: activation {reached:.3g}, {reached / best:.1f} × the "
        f"strongest of 7 real images (no. {int(means.argmax())}: {best:.3g})."
    ) in view.text
    with torch.no_grad():
        net.first.bias[3] -= 100
    view = build(net, images=images, initial=("first", 3))
    assert re.search(r"; the strongest of 7 real images \(no\. \d\) has −", view.text)


def test_a_silent_filter_is_said_to_be_silent() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.constant_(net[0].bias, -100)
    view = ascent_picker(net, ["1"], steps=2, shape=(3, 8, 8))
    assert "no pixel changes the value of channel 0" in view.text
    drawn = np.asarray(Image.open(io.BytesIO(view.picture)).convert("L"))
    assert drawn.shape == (384, 384)
    assert (drawn == drawn[0, 0]).mean() > 0.9, "words on a plain ground, not the noise"
    assert drawn.min() < 50


def test_the_real_image_stands_beside_the_made_one(net: Net) -> None:
    photos, scale = torch.rand(5, 3, 12, 8), {"mean": [0.2, 0.3, 0.4], "std": [0.5, 0.6, 0.7]}
    given = (photos - torch.tensor(scale["mean"])[:, None, None]) / torch.tensor(scale["std"])[
        :, None, None
    ]
    view = build(net, images=given, initial=("first", 3), **scale)
    with torch.no_grad():
        best = photos[net.first(given)[:, 3].mean((1, 2)).argmax()]
    drawn = np.asarray(Image.open(io.BytesIO(view.picture)))
    assert drawn.shape == (384, 256 + 12 + 256, 3)
    beside = torch.tensor(drawn[16::32, 268 + 16 :: 32] / 255).permute(2, 0, 1)
    assert (beside - best).abs().max() < 0.01


def test_the_picture_is_large_and_its_pixels_are_whole(net: Net) -> None:
    view = build(net)
    drawn = np.asarray(Image.open(io.BytesIO(view.picture)))
    assert drawn.shape == (384, 256, 3)
    pixels = (255 * view.ascent.images[0]).round().byte().permute(1, 2, 0).numpy()
    assert (drawn[8::16, 8::16] == pixels).all()
    grey, one = nn.Sequential(nn.Conv2d(1, 2, 3)), {"mean": [0.5], "std": [0.2]}
    view = ascent_picker(grey, ["0"], steps=2, shape=(1, 8, 8), **one)
    assert Image.open(io.BytesIO(view.picture)).size == (384, 384)
    wide = maximize_activation(net, "first", 0, steps=0, shape=(3, 9, 500))
    assert ascent_image(wide).shape == (3, 9, 500)


# -- running longer ---------------------------------------------------------------------------


def test_run_longer_equals_one_run_of_all_steps(net: Net) -> None:
    view = build(net)
    view.longer.click()
    assert_shows(view, net, "first", 0, 16)
    view.run_longer(3)
    assert_shows(view, net, "first", 0, 19)
    view.run_longer(0)
    assert_at_rest(view, "19 steps made")
    with pytest.raises(ValueError, match="0 or more"):
        view.run_longer(-1)


def test_in_a_notebook_it_runs_between_other_things(net: Net) -> None:
    said: list[str] = []
    pictures: list[bytes] = []

    async def cell() -> None:
        view = build(net)
        view.progress_text.observe(lambda change: said.append(change["new"]), "value")
        view.image.observe(lambda change: pictures.append(change["new"]), "png")
        view.longer.click()
        view.longer.click()  # does nothing
        assert (view.running, view.longer.disabled, view.halt.disabled) == (True, True, False)
        view.pick("first", filter=0)  # what is shown: the run goes on
        view.search.value = "fir"
        await steps_made(view, 10)
        view.run_longer(500)  # neither does this
        await finished(view)
        assert_at_rest(view, "16 steps made")

    in_a_notebook(cell)
    made = (maximize_activation(net, "first", 0, steps=n, **OPTIONS) for n in (10, 14, 16))
    assert pictures == [to_png(ascent_image(ascent)) for ascent in made]
    assert said == ["step 6 of 16", "step 10 of 16", "step 14 of 16", "16 steps made"]


def test_stop_in_the_middle_and_on_again(net: Net) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 14)
        view.halt.click()
        reached = view.ascent.steps
        assert_at_rest(view, f"stopped at step {reached}")
        assert reached < 100
        await asyncio.sleep(0.05)
        assert_shows(view, net, "first", 0, reached)
        view.run_longer(5)
        await finished(view)
        assert_shows(view, net, "first", 0, reached + 5)
        view.halt.click()  # at rest, it does nothing
        assert_at_rest(view, f"{reached + 5} steps made")

    in_a_notebook(cell)


@pytest.mark.parametrize("way", ["layer", "filter", "python", "no such filter", "closed"])
def test_what_stops_the_run(net: Net, way: str) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 14)
        ascent, before = view.ascent, view.ascent.steps
        if way == "layer":
            view.select.value = "second"
        elif way == "python":
            view.pick("second", filter=3)
        elif way == "closed":
            view.close()
        else:
            view.controls["filter"].value = 3 if way == "filter" else 99
        await asyncio.sleep(0.05)
        assert ascent.steps == before
        if way == "no such filter":
            assert view.ascent is ascent
            assert "there is no 99" in view.text
            assert_at_rest(view, f"stopped at step {before}")
        elif way != "closed":
            shown = {"layer": ("second", 0), "python": ("second", 3), "filter": ("first", 3)}[way]
            assert_shows(view, net, *shown, 6)
            assert_at_rest(view, "6 steps made")

    in_a_notebook(cell)


def test_a_search_without_hits_stays_said_during_the_run(net: Net) -> None:
    async def cell() -> None:
        view = build(net)
        view.longer.click()
        view.search.value = "zzz"
        await finished(view)
        assert "No layer matches “zzz”" in view.text
        view.search.value = ""
        assert_shows(view, net, "first", 0, 16)

    in_a_notebook(cell)


def test_clicks_from_another_thread_take_their_turn(net: Net) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        for action in (view.longer.click, view.halt.click):
            other = threading.Thread(target=action)
            other.start()
            other.join()
            assert view.running == (action == view.halt.click), "not yet"
            if action == view.longer.click:
                await steps_made(view, 10)
        await finished(view)
        assert 10 <= view.ascent.steps < 100

    in_a_notebook(cell)


def test_an_interrupted_run_can_go_on(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    view = build(net)
    for place, what in ((module, "ascent_image"), (module.ActivationAscent, "run")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(place, what, interrupted)
            view.run_longer(8)
        assert_at_rest(view, "stopped at step 10")
    view.run_longer(2)
    assert_shows(view, net, "first", 0, 12)


# -- what goes wrong --------------------------------------------------------------------------


def test_an_error_ends_the_run_and_it_can_go_on_later(net: Net) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 10)
        net.broken = True
        await finished(view)
        reached = view.ascent.steps
        assert_at_rest(view, f"stopped at step {reached}")
        assert isinstance(view.last_error, RuntimeError)
        assert "The run has ended. RuntimeError: the <net> is broken" in view.text
        assert "still that of first, filter 0" in view.text
        net.broken = False
        view.run_longer(4)
        await finished(view)
        assert_shows(view, net, "first", 0, reached + 4)

    in_a_notebook(cell)


def test_an_error_in_the_first_picture(net: Net) -> None:
    net.broken = True
    view = build(net)
    assert "the <net> is broken" in view.text
    assert (view.picture, view.ascent) == (b"", None)
    view.longer.click()
    assert not view.running
    net.broken = False
    view.pick("second")
    assert_shows(view, net, "second", 0, 6)


def test_wrong_arguments_are_refused_at_once(net: Net) -> None:
    for wrong in ({"steps": -1}, {"more": 0}):
        with pytest.raises(ValueError, match="or more"):
            build(net, **wrong)
    for wrong in ({"layers": ["third"]}, {"initial": "third"}):
        with pytest.raises(ValueError, match="no layer 'third'"):
            build(net, **wrong)
    with pytest.raises(TypeError, match=r"such as \['first'\]"):
        build(net, layers="first")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        ascent_picker(torch.relu)  # type: ignore[arg-type]


def test_the_model_stays_as_it_was(net: Net) -> None:
    def everything() -> tuple[Any, ...]:
        return portrait(net), random_numbers()

    net.head.weight.requires_grad_(False)
    some_grads(net)
    before = everything()

    async def cell() -> None:
        view = build(net, images=torch.ones(2, 3, 9, 9))
        view.longer.click()
        while view.running:  # between two chunks, too
            assert everything() == before
            await asyncio.sleep(0.002)
        view.pick("second", filter=7)

    in_a_notebook(cell)
    assert everything() == before
