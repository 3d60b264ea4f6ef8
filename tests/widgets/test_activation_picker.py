"""The ascent picker without a browser, against the pure functions that it is built on."""

import asyncio
import io
import re
import threading
from collections.abc import Callable, Iterator
from html import unescape
from types import SimpleNamespace
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
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 8, 3, stride=2)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.broken = False

    def forward(self, images: Tensor) -> Tensor:
        if self.broken:
            raise RuntimeError("the <net> is broken")
        maps = self.norm(self.second(self.first(images).relu())).relu()
        return self.head(maps.mean((2, 3)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def build(net: Net, **options: Any) -> AscentPicker:
    return ascent_picker(net, **{"steps": 6, "more": 10, "chunk": 4, **OPTIONS, **options})


def expected(net: Net, layer: str, filter: int, steps: int) -> bytes:
    return to_png(ascent_image(maximize_activation(net, layer, [filter], steps=steps, **OPTIONS)))


def text(view: AscentPicker) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", view.picker.status.value))


def in_a_notebook(cell: Callable[[], Any]) -> None:
    """Run with a running loop, as in a kernel; nothing may be left over."""

    async def run() -> None:
        await cell()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() == before


class Shell:
    """What the view asks of IPython: which cell is run, and to be told of the next ones."""

    def __init__(self) -> None:
        self.watching: list[Callable[[Any], None]] = []
        self.events = self

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": "one"}}

    def register(self, event: str, callback: Callable[[Any], None]) -> None:
        assert event == "pre_run_cell"
        self.watching.append(callback)

    def unregister(self, event: str, callback: Callable[[Any], None]) -> None:
        assert event == "pre_run_cell"
        self.watching.remove(callback)  # IPython, too, refuses what is not there


async def finished(view: AscentPicker) -> None:
    while view.running:
        await asyncio.sleep(0.005)


async def steps_made(view: AscentPicker, at_least: int) -> None:
    while view.ascent.steps < at_least:
        await asyncio.sleep(0.005)


def at_rest(view: AscentPicker) -> bool:
    return not (view.running or view.longer.disabled) and view.halt.disabled


# -- picking ----------------------------------------------------------------------------------


def test_convolutions_and_then_the_class_scores_are_listed(net: Net) -> None:
    view = build(net)
    assert view.picker.layers == ("first", "second", "class scores")
    lines = [" ".join(label.split()) for label, _ in view.picker.select.options]
    assert lines == ["first 5 filters", "second 8 filters", "class scores Net"]


def test_every_pick_shows_what_the_pure_functions_make(net: Net) -> None:
    view = build(net)
    assert view.picture == expected(net, "first", 0, 6)
    view.picker.select.value = "second"
    assert view.picture == expected(net, "second", 0, 6)
    view.filter.value = 7
    assert view.picture == expected(net, "second", 7, 6)
    assert (view.ascent.layer, view.ascent.channels, view.ascent.steps) == ("second", (7,), 6)
    view.pick("", 2)
    assert view.picture == expected(net, "", 2, 6)
    assert "class scores" in text(view)
    reached = float(view.ascent.activations[0])
    assert f"Class 2 after 6 steps: activation {reached:.4g}.".replace("-", "−") in text(view)
    view.pick("first")
    assert view.picture == expected(net, "first", 2, 6)
    assert view.progress_text.value == "6 steps made"
    assert view.last_error is None


def test_initial_layer_and_filter(net: Net) -> None:
    assert build(net, initial=("second", 5)).picture == expected(net, "second", 5, 6)
    assert build(net, initial="").picture == expected(net, "", 0, 6)
    view = build(net, layers=["norm"], initial="norm")
    assert view.picker.layers == ("norm",)
    assert view.picture == expected(net, "norm", 0, 6)


def test_a_pick_of_layer_and_filter_makes_one_ascent(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def note(model: nn.Module, layer: str, channels: list[int], **options: Any) -> Any:
        made.append((layer, *channels))
        return maximize_activation(model, layer, channels, **options)

    monkeypatch.setattr(module, "maximize_activation", note)
    build(net).pick("second", 7)
    assert made == [("first", 0), ("second", 7)]


def test_a_filter_that_is_not_there_is_explained(net: Net) -> None:
    view = build(net, initial=("second", 7))
    before = view.picture
    view.filter.value = 8
    assert "has channels 0 to 7, there is no 8." in text(view)
    assert isinstance(view.last_error, ValueError)
    assert view.filter.value == 8, "not silently another one"
    assert view.picture == before
    assert repr(view) == "<AscentPicker: 3 layers, second filter 7 shown, 6 steps>"
    view.filter.value = -1
    assert "there is no -1." in text(view)
    view.filter.value = 7
    assert view.last_error is None
    view.picker.select.value = "first"
    assert "has channels 0 to 4, there is no 7." in text(view)
    assert view.progress_text.value == "still second filter 7, 6 steps made"
    view.filter.value = 4
    assert view.picture == expected(net, "first", 4, 6)


def test_what_was_reached_is_kept_but_not_without_end(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ASCENTS", 2)
    view = build(net)
    view.longer.click()
    view.pick("second")
    view.pick("first")
    assert view.picture == expected(net, "first", 0, 16)
    assert view.progress_text.value == "16 steps made"
    view.pick("second", 1)
    view.pick("second", 2)
    view.pick("first", 0)
    assert view.picture == expected(net, "first", 0, 6)
    assert len(view._kept) == 2


def test_comparison_with_real_images(net: Net) -> None:
    images = torch.randn(7, 3, 20, 20)
    view = build(net, images=images, initial=("first", 3), steps=60)
    with torch.no_grad():
        means = net.first(images)[:, 3].mean((1, 2))
    best, reached = float(means.max()), float(view.ascent.activations[0])
    assert min(best, reached) > 0
    assert (
        f"Filter 3 after 60 steps: activation {reached:.4g}, {reached / best:.1f} × the "
        f"strongest of 7 real images (no. {int(means.argmax())}: {best:.4g})."
    ) in text(view)
    with torch.no_grad():
        net.first.bias[3] -= 100
    view = build(net, images=images, initial=("first", 3))
    assert re.search(r"; the strongest of 7 real images \(no\. \d\) has −", text(view))


def test_real_images_are_measured_once_a_layer(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    layers, real = [], module.channel_means

    def note(model: nn.Module, layer: str, images: Tensor, **options: Any) -> Tensor:
        layers.append(layer)
        assert options == {"objective": "neuron"}
        return real(model, layer, images, **options)

    monkeypatch.setattr(module, "channel_means", note)
    view = build(net, images=torch.randn(2, 3, 9, 9), objective="neuron")
    view.filter.value = 2
    view.longer.click()
    view.pick("second")
    view.pick("first")
    assert layers == ["first", "second"]


def test_a_silent_filter_is_said_to_be_silent() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.constant_(net[0].bias, -100)
    view = ascent_picker(net, ["1"], steps=2, shape=(3, 8, 8))
    assert "silent, so that no pixel can move it" in text(view)


def test_the_picture_is_large_and_its_pixels_are_whole(net: Net) -> None:
    view = build(net)
    drawn = np.asarray(Image.open(io.BytesIO(view.picture)))
    assert drawn.shape == (384, 256, 3)
    pixels = (255 * view.ascent.images[0]).round().byte().permute(1, 2, 0).numpy()
    assert (drawn[8::16, 8::16] == pixels).all()
    grey = nn.Conv2d(1, 2, 3)
    options = {"shape": (1, 8, 8), "mean": [0.5], "std": [0.2]}
    view = ascent_picker(nn.Sequential(grey), ["0"], steps=2, **options)
    assert Image.open(io.BytesIO(view.picture)).size == (384, 384)
    assert ascent_image(maximize_activation(net, "first", 0, steps=0, shape=(3, 9, 500))).size == (
        500,
        9,
    )


# -- running longer ---------------------------------------------------------------------------


def test_run_longer_equals_one_run_of_all_steps(net: Net) -> None:
    view = build(net)
    view.longer.click()
    assert view.picture == expected(net, "first", 0, 16)
    assert "after 16 steps" in text(view)
    assert at_rest(view)
    view.run_longer(3)
    assert view.picture == expected(net, "first", 0, 19)
    view.run_longer(0)
    assert view.progress_text.value == "19 steps made"
    assert at_rest(view)
    with pytest.raises(ValueError, match="0 or more"):
        view.run_longer(-1)


def test_in_a_notebook_it_runs_between_other_things(net: Net) -> None:
    said, pictures = [], []

    async def cell() -> None:
        view = build(net)
        view.progress_text.observe(lambda change: said.append(change["new"]), "value")
        view.picker.image.observe(lambda change: pictures.append(change["new"]), "value")
        view.longer.click()
        assert view.running
        assert view.longer.disabled
        assert not view.halt.disabled
        await finished(view)
        assert at_rest(view)

    in_a_notebook(cell)
    assert pictures == [expected(net, "first", 0, steps) for steps in (10, 14, 16)]
    expressions = [r"step 6 of 16, activation .+", r"step 10 of 16, activation .+"]
    expressions += [r"step 14 of 16, activation .+", "16 steps made"]
    assert len(said) == len(expressions)
    assert all(re.fullmatch(*pair) for pair in zip(expressions, said, strict=True))


def test_stop_in_the_middle_and_on_again(net: Net) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 14)
        view.halt.click()
        assert at_rest(view)
        reached = view.ascent.steps
        assert reached < 100
        assert view.progress_text.value == f"stopped at step {reached}"
        await asyncio.sleep(0.1)
        assert view.ascent.steps == reached
        assert view.picture == expected(net, "first", 0, reached)
        view.run_longer(5)
        await finished(view)
        assert view.picture == expected(net, "first", 0, reached + 5)
        view.halt.click()  # at rest, it does nothing
        assert view.progress_text.value == f"{reached + 5} steps made"

    in_a_notebook(cell)


def test_a_second_click_does_nothing(net: Net) -> None:
    async def cell() -> None:
        view = build(net)
        view.longer.click()
        view.longer.click()
        await steps_made(view, 10)
        view.longer.click()
        view.run_longer(500)
        await finished(view)
        assert view.picture == expected(net, "first", 0, 16)

    in_a_notebook(cell)


@pytest.mark.parametrize("way", ["layer", "filter", "python", "no such filter"])
def test_another_pick_stops_the_run(net: Net, way: str) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 14)
        ascent, before = view.ascent, view.ascent.steps
        if way == "layer":
            view.picker.select.value = "second"
        elif way == "python":
            view.pick("second", 0)
        else:
            view.filter.value = 3 if way == "filter" else 99
        assert at_rest(view)
        await asyncio.sleep(0.1)
        assert ascent.steps == before
        if way == "no such filter":
            assert view.ascent is ascent
            assert "there is no 99" in text(view)
            assert view.progress_text.value == f"still first filter 0, {before} steps made"
        else:
            assert view.picture == expected(
                net, *(("first", 3) if way == "filter" else ("second", 0)), 6
            )
            assert view.progress_text.value == "6 steps made"

    in_a_notebook(cell)


def test_the_same_pick_does_not_stop_the_run(net: Net) -> None:
    async def cell() -> None:
        view = build(net)
        view.longer.click()
        view.picker.search.value = "fir"
        view.pick("first", 0)
        assert view.running
        await finished(view)
        assert view.picture == expected(net, "first", 0, 16)

    in_a_notebook(cell)


def test_a_search_without_hits_stays_said_during_the_run(net: Net) -> None:
    async def cell() -> None:
        view = build(net)
        view.longer.click()
        view.picker.search.value = "zzz"
        await finished(view)
        assert "No layer matches “zzz”" in text(view)
        view.picker.search.value = ""
        assert view.picture == expected(net, "first", 0, 16)

    in_a_notebook(cell)


def test_clicks_from_another_thread_take_their_turn(net: Net) -> None:
    """As in JupyterLab: see `at_home`."""

    async def cell() -> None:
        view = build(net, more=1000)
        threads: set[threading.Thread] = set()
        net.first.register_forward_hook(lambda *_: threads.add(threading.current_thread()))
        for action in (view.longer.click, view.halt.click):
            other = threading.Thread(target=action)
            other.start()
            other.join()
            assert view.running == (action == view.halt.click)  # not yet
            if action == view.longer.click:
                await steps_made(view, 10)
        await finished(view)
        assert 10 <= view.ascent.steps < 100
        assert threads == {threading.current_thread()}

    in_a_notebook(cell)


def test_running_the_cell_again_stops_the_run(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    monkeypatch.setattr(module, "_shell", lambda: shell)

    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 10)
        (callback,) = shell.watching
        callback(SimpleNamespace(cell_id="another"))
        callback(SimpleNamespace(cell_id=None))
        assert view.running
        callback(SimpleNamespace(cell_id="one"))
        assert at_rest(view)
        assert shell.watching == []

    in_a_notebook(cell)
    view = build(net)  # and where it runs at once
    view.run_longer(10)
    view.run_longer(0)
    assert view.ascent.steps == 16
    assert shell.watching == []


def test_after_a_pick_that_failed_it_goes_on_with_what_is_shown(net: Net) -> None:
    view = build(net)
    view.filter.value = 99
    view.longer.click()
    assert view.picture == expected(net, "first", 0, 16)
    assert view.filter.value == 0
    assert view.last_error is None
    assert view.progress_text.value == "16 steps made"


def test_an_interrupted_run_can_go_on(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    view = build(net)
    for place, what in ((module, "ascent_image"), (module.ActivationAscent, "run")):
        monkeypatch.setattr(place, what, interrupted)
        with pytest.raises(KeyboardInterrupt):
            view.run_longer(8)
        monkeypatch.undo()
        assert at_rest(view)
    view.run_longer(2)
    assert view.picture == expected(net, "first", 0, 12)


# -- what goes wrong --------------------------------------------------------------------------


def test_an_error_in_the_model_ends_the_run(net: Net) -> None:
    async def cell() -> None:
        view = build(net, more=1000)
        view.longer.click()
        await steps_made(view, 10)
        net.broken = True
        await finished(view)
        assert at_rest(view)
        assert isinstance(view.last_error, RuntimeError)
        assert "RuntimeError: the <net> is broken" in text(view)
        assert "<net>" not in view.picker.status.value
        assert view.progress_text.value == f"ended by an error at step {view.ascent.steps}"
        net.broken = False
        reached = view.ascent.steps
        view.run_longer(4)
        await finished(view)
        assert view.last_error is None
        assert view.ascent.steps == reached + 4
        assert view.picture == to_png(ascent_image(view.ascent))

    in_a_notebook(cell)


def test_an_error_is_said_beside_what_was_reached(net: Net) -> None:
    view = build(net)
    weight, before = net.first.weight, view.picture
    with torch.no_grad():
        kept = weight.clone()
        weight.fill_(torch.nan)
    view.longer.click()
    assert isinstance(view.last_error, ValueError)
    assert "after 6 steps" in text(view)
    assert "Then the run ended. ValueError: after 6 steps, 'first' returns" in text(view)
    assert view.picture == before
    assert view.progress_text.value == "ended by an error at step 6"
    assert at_rest(view)
    with torch.no_grad():
        weight.copy_(kept)
    view.longer.click()
    assert view.last_error is None
    assert view.ascent.steps == 16
    assert view.progress_text.value == "16 steps made"


def test_an_error_is_forgotten_with_the_next_pick(net: Net) -> None:
    view = build(net)
    net.head.register_forward_hook(lambda *_: torch.full((1, 4), torch.nan))
    view.pick("")
    assert view.last_error is not None
    view.pick("first")
    assert view.last_error is None
    handle = net.first.register_forward_hook(lambda *_: torch.full((1, 5, 4, 4), torch.nan))
    view.longer.click()
    assert "Then the run ended" in text(view)
    handle.remove()
    view.pick("second")
    assert view.last_error is None
    assert "Then the run ended" not in text(view)


def test_an_error_in_the_first_picture(net: Net) -> None:
    net.broken = True
    view = build(net)
    assert isinstance(view.last_error, RuntimeError)
    assert "the <net> is broken" in text(view)
    assert (view.picture, view.ascent) == (b"", None)
    assert repr(view) == "<AscentPicker: 3 layers, nothing shown>"
    view.longer.click()
    assert at_rest(view)
    net.broken = False
    view.pick("second")
    assert view.picture == expected(net, "second", 0, 6)


def test_wrong_arguments_are_refused_at_once(net: Net) -> None:
    for wrong in ({"steps": -1}, {"more": 0}, {"chunk": 0}):
        with pytest.raises(ValueError, match="or more"):
            build(net, **wrong)
    with pytest.raises(ValueError, match="no layer 'third'"):
        build(net, layers=["third"])
    with pytest.raises(ValueError, match="no layer 'third'"):
        build(net, initial="third")
    with pytest.raises(TypeError, match=r"such as \['first'\]"):
        build(net, layers="first")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        ascent_picker(torch.relu)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no layer 'third'"):
        build(net).pick("third")


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
            await asyncio.sleep(0.005)
        view.pick("second", 7)

    in_a_notebook(cell)
    assert everything() == before


# -- in a page --------------------------------------------------------------------------------


def test_text_for_a_page_without_a_kernel(net: Net) -> None:
    view = build(net, initial=("second", 3))
    bundle = view._repr_mimebundle_()
    assert bundle["text/plain"] == "<AscentPicker: 3 layers, second filter 3 shown, 6 steps>"
    model_id = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert model_id == view.widget.model_id
    view.pick("", 2)
    assert repr(view) == "<AscentPicker: 3 layers, class 2 shown, 6 steps>"


def test_labels_and_tooltips(net: Net) -> None:
    view = build(net)
    assert [w.description for w in (view.longer, view.halt)] == ["Run longer", "Stop"]
    assert view.filter.description == "Filter"
    assert "10 more steps" in view.longer.tooltip
    assert all(w.tooltip for w in (view.halt, view.filter, view.progress))
