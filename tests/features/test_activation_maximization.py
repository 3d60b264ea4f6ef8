"""Activation maximisation: against a step by hand, on awkward models, and on real images."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.models import ALL, vit
from support.portrait import portrait, random_numbers
from torch import Tensor, nn

from vizhelpers.features.activation_maximization import (
    _Canvas,
    channel_means,
    maximize_activation,
)
from vizhelpers.images import normalize
from vizhelpers.scenes import load_scenes
from vizhelpers.zoo.loading import load_model

SMALL: dict[str, Any] = {"steps": 3, "shape": (3, 16, 16)}
GREY: dict[str, Any] = {"mean": [0.5], "std": [0.25]}
BARE: dict[str, Any] = {"jitter": 0, "blur": 0, "decay": 0}
# Of each zoo model with images a layer, and what to take of what it returns.
LAYERS: dict[str, tuple[str, Callable[[Any], Tensor] | None]] = {
    "plain": ("features.3", None),
    "one_channel": ("features.3", None),
    "inplace_relu": ("features.3", None),
    "residual": ("layer1.0.bn2", None),
    "dict_output": ("", lambda out: out["logits"]),
    "inner_dict": ("pyramid", lambda out: out["fine"]),
    "tuple_output": ("", lambda out: out[0]),
    "named_tuple_output": ("", lambda out: out.logits),
    "shared_relu": ("relu", None),
    "shared_conv": ("second", None),
    "recurrent": ("lstm", lambda out: out[0]),
    "batch_norm": ("bn", None),
    "frozen_backbone": ("bn", None),
    "frozen_everything": ("fc", None),
    "functional": ("", None),
    "control_flow": ("", None),
    "keywords": ("conv", None),
    "attention": ("attention", lambda out: out[0]),
    "vit": ("encoder.layers.encoder_layer_0", None),
    "listed": ("convs.1", None),
    "one_layer": ("", None),
}


def build(name: str) -> nn.Module:
    return ALL[name].build()[0]


def everything(model: nn.Module) -> dict[str, Any]:
    """All that must not change: as plain values, to be compared."""
    return {**portrait(model), "random": random_numbers()}


def test_steps_are_those_of_pytorchs_adam_on_the_pixels() -> None:
    model = load_model("alexnet")
    options: dict[str, Any] = {"fourier": False, "shape": (3, 64, 64), "lr": 0.03, **BARE}
    start = maximize_activation(model, "features.6", [7, 2], steps=0, **options).images
    after = maximize_activation(model, "features.6", [7, 2], steps=4, **options)

    pixels = start.logit().requires_grad_()
    seen: list[Tensor] = []
    # A copy: the ReLU behind the layer overwrites it, since here the whole model runs.
    handle = model.features[6].register_forward_hook(lambda *args: seen.append(args[2].clone()))
    optimizer = torch.optim.Adam([pixels], lr=0.03, maximize=True)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    reached = []
    for _ in range(4):
        model((pixels.sigmoid() - mean) / std)
        reached.append(torch.stack([seen[-1][0, 7].mean(), seen[-1][1, 2].mean()]))
        (pixels.grad,) = torch.autograd.grad(reached[-1].sum(), pixels)
        optimizer.step()
    handle.remove()
    torch.testing.assert_close(after.images, pixels.sigmoid().detach(), atol=1e-4, rtol=0)
    assert (after.images - start).abs().max() > 0.02
    expected = torch.stack(reached).detach()
    torch.testing.assert_close(after.history, expected, rtol=1e-3, atol=1e-4)


def test_spectrum_is_that_of_the_picture_scaled_by_one_over_frequency() -> None:
    start = torch.rand(3, 20, 13, generator=torch.Generator().manual_seed(0))
    model = build("one_layer")
    for fourier in (True, False):
        ascent = maximize_activation(model, "", 0, steps=0, start=start, fourier=fourier)
        torch.testing.assert_close(ascent.images[0], start.clamp(0.02, 0.98), atol=1e-5, rtol=0)
    canvas = _Canvas((3, 32, 64), True, torch.device("cpu"))
    noise = canvas.noise(torch.Generator().manual_seed(0))
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    spectrum = torch.fft.rfft2(canvas.images(noise).double().logit(), norm="ortho")[0, 0]
    for row, column in ((1, 3), (0, 8), (16, 5), (31, 20)):
        frequency = np.hypot(np.fft.fftfreq(32)[row], np.fft.rfftfreq(64)[column])
        expected = torch.view_as_complex(noise.double())[0, 0, row, column] / frequency / 4
        torch.testing.assert_close(spectrum[row, column], expected, atol=1e-5, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:no pixel changes")
@pytest.mark.parametrize("name", LAYERS)
def test_any_model_is_climbed_and_left_as_it_was(name: str) -> None:
    model, (layer, output) = build(name), LAYERS[name]
    for parameter in list(model.parameters())[:1]:
        parameter.grad = torch.ones_like(parameter)
    before = everything(model)
    options: dict[str, Any] = {"output": output, "shape": (3, 16, 16)}
    if name == "one_channel":
        options |= {"shape": (1, 16, 16), **GREY}
    for objective in ("channel", "neuron"):
        ascent = maximize_activation(
            model, layer, [0, 2], steps=20, jitter=1, objective=objective, **options
        )
        start = maximize_activation(model, layer, [0, 2], steps=0, objective=objective, **options)
        assert everything(model) == before
        assert ascent.images.shape == (2, *options["shape"])
        assert ascent.images.dtype == torch.float32
        assert 0 <= ascent.images.min() < ascent.images.max() <= 1
        assert ascent.history.shape == (20, 2)
        # A unit behind a ReLU, or one in control of a branch, may have nowhere to go.
        assert (ascent.activations >= start.activations).all()
        assert (ascent.activations > start.activations).any()


def test_zoo_is_complete() -> None:
    assert set(ALL) - set(LAYERS) == {"two_inputs", "words"}  # they take no batch of images


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer3"), ("alexnet", "")],
)
def test_pictures_beat_the_strongest_real_image(name: str, layer: str) -> None:
    model = load_model(name)
    real = channel_means(model, layer, normalize(load_scenes(limit=20).images)).amax(0)
    channels = [0, 3, 5, 8]
    ascent = maximize_activation(model, layer, channels, steps=24)
    assert (ascent.activations > real[channels]).sum() >= 3
    assert (ascent.history[-4:].mean(0) > ascent.history[:4].mean(0)).all()


@pytest.mark.filterwarnings("ignore:no pixel changes")
@pytest.mark.parametrize("objective", ["channel", "neuron"])
def test_activations_are_those_of_the_pictures(objective: Any) -> None:
    model = load_model("alexnet")
    for layer in ("features.6", "features.11", ""):
        ascent = maximize_activation(
            model, layer, range(4), objective=objective, **SMALL | {"shape": (3, 64, 64)}
        )
        means = channel_means(model, layer, normalize(ascent.images), objective=objective)
        torch.testing.assert_close(means.diagonal(), ascent.activations, rtol=1e-4, atol=1e-5)


def test_objective_on_maps_vectors_and_tokens() -> None:
    images = torch.rand(5, 3, 16, 16)
    model, layer = nn.Conv2d(3, 4, 3), ""
    maps = model(images).detach()
    torch.testing.assert_close(channel_means(model, layer, images), maps.mean((2, 3)))
    middle = channel_means(model, layer, images, objective="neuron", batch_size=2)
    torch.testing.assert_close(middle, maps[:, :, 7, 7])
    model = vit().eval()
    tokens = model.encoder.ln(model.encoder.layers(_embedded(model, images))).detach()
    assert tokens.shape == (5, 5, 16)
    torch.testing.assert_close(channel_means(model, "encoder.ln", images), tokens.mean(1))
    neuron = channel_means(model, "encoder.ln", images, objective="neuron")
    torch.testing.assert_close(neuron, tokens[:, 2])
    torch.testing.assert_close(channel_means(model, "", images), model(images).detach())


def _embedded(model: nn.Module, images: Tensor) -> Tensor:
    tokens = model._process_input(images)
    tokens = torch.cat([model.class_token.expand(len(images), -1, -1), tokens], 1)
    return tokens + model.encoder.pos_embedding


@pytest.mark.parametrize("fourier", [True, False])
def test_runs_add_up_bit_for_bit(fourier: bool) -> None:
    model = load_model("resnet18")
    options: dict[str, Any] = {"shape": (3, 48, 40), "decay": 0.01, "blur": 0.8, "fourier": fourier}
    once = maximize_activation(model, "layer2", [1, 4], steps=0, **options)
    once.run(20)
    parts = maximize_activation(model, "layer2", [1, 4], steps=10, **options)
    torch.rand(3)
    for steps in (0, 3, 1, 6):
        parts.run(steps, progress=False)
    assert parts.steps == once.steps == 20
    assert torch.equal(parts.images, once.images)
    assert torch.equal(parts.history, once.history)
    assert torch.equal(parts.activations, once.activations)


def test_seed_decides_and_channels_do_not_disturb_each_other() -> None:
    model = load_model("resnet18")
    options: dict[str, Any] = {"shape": (3, 48, 48), "steps": 12}
    first = maximize_activation(model, "layer2", [3, 9, 3], **options)
    torch.rand(7)
    again = maximize_activation(model, "layer2", [3, 9, 3], **options)
    assert torch.equal(first.images, again.images)
    torch.testing.assert_close(first.images[0], first.images[2], atol=1e-4, rtol=0)
    alone = maximize_activation(model, "layer2", 9, **options)
    torch.testing.assert_close(alone.images[0], first.images[1], atol=1e-3, rtol=0)
    other = maximize_activation(model, "layer2", [3, 9, 3], seed=1, **options)
    assert (other.images - first.images).abs().max() > 0.05


def test_start_is_the_same_for_all_channels() -> None:
    images = maximize_activation(load_model("vgg11"), "features.8", range(5), steps=0).images
    assert images.shape == (5, 3, 128, 128)
    assert all(torch.equal(image, images[0]) for image in images)


def test_blur_jitter_and_decay_do_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("one_layer")
    blurred: list[int] = []
    ascent = maximize_activation(model, "", 0, steps=0, blur=1.5, shape=(3, 16, 16))
    monkeypatch.setattr(_Canvas, "blurred", lambda _, v, __: blurred.append(ascent.steps) or v)
    ascent.run(13)
    assert blurred == [4, 8, 12]
    monkeypatch.undo()
    for fourier in (True, False):  # one bright pixel becomes a Gaussian of that width
        start = torch.full((3, 33, 33), 0.5)
        start[:, 16, 16] = 0.9
        canvas = _Canvas((3, 33, 33), fourier, torch.device("cpu"))
        spot = canvas.images(canvas.blurred(canvas.values_of(start), 1.5))[0, 0].logit()
        distance = (torch.arange(33) - 16.0) ** 2
        gauss = torch.exp(-(distance[:, None] + distance) / (2 * 1.5**2))
        expected = torch.tensor(0.9).logit() * gauss / gauss.sum()
        torch.testing.assert_close(spot, expected, atol=1e-3, rtol=0.01)
    still = maximize_activation(model, "", 0, steps=4, objective="neuron", fourier=False, **BARE)
    moving = maximize_activation(
        model, "", 0, steps=4, objective="neuron", fourier=False, **BARE | {"jitter": 3}
    )
    before = maximize_activation(model, "", 0, steps=0, fourier=False).images
    touched = [((ascent.images - before).abs() > 1e-4).any(1).sum() for ascent in (still, moving)]
    assert touched[0] == 9  # a 3×3 kernel's one position
    assert touched[1] > 9


def test_a_silent_channel_is_named_and_keeps_its_picture() -> None:
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        dead[0].bias[:] = torch.tensor([100, -100])
    start = maximize_activation(dead, "1", [0, 1], steps=0, blur=0)
    assert (start.silent, start.note) == ((), "")
    with pytest.warns(
        UserWarning, match="value of channel 1 of '1'.*layer before the ReLU"
    ) as seen:
        ascent = maximize_activation(dead, "1", [0, 1], steps=9, blur=0)
    assert [warning.filename for warning in seen] == [__file__]
    assert (ascent.silent, ascent.note) == ((1,), str(seen[0].message))
    assert torch.equal(ascent.images[1], start.images[1])
    assert ascent.activations[1] == 0
    assert not torch.equal(ascent.images[0], start.images[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        ascent.run(1)
        assert maximize_activation(dead, "0", [0, 1], steps=1).silent == ()
    full = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Hardtanh(-9, -8))
    bright = torch.full((3, 16, 16), 0.9)
    with pytest.warns(UserWarning, match="value of channels 0, 1 of the model"):
        grey = maximize_activation(full, "", [0, 1], start=bright, steps=9, decay=0.1, blur=0)
    expected = (torch.tensor(0.9).logit() * 0.9**9).sigmoid().expand(2, 3, 16, 16)
    torch.testing.assert_close(grey.images, expected)


@pytest.mark.parametrize(
    ("layer", "output"),
    [
        ("norm", None),
        ("block", lambda out: out.movedim(-1, 1)),
    ],
)
def test_channels_that_come_last(layer: str, output: Any) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.block = nn.Conv2d(3, 24, 4, 4), nn.LayerNorm(24), nn.GELU()

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.norm(self.conv(x).permute(0, 2, 3, 1)))

    model, images = Last(), torch.rand(2, 3, 16, 16)
    maps = model.norm(model.conv(images).permute(0, 2, 3, 1))
    expected = (maps if layer == "norm" else model.block(maps)).mean((1, 2)).detach()
    torch.testing.assert_close(channel_means(model, layer, images, output=output), expected)
    assert maximize_activation(model, layer, 23, output=output, **SMALL).channels == (23,)
    with pytest.raises(ValueError, match=r"\[2, 4, 4, 24\].*movedim\(-1, 1\)"):
        channel_means(model, "block", images)


@pytest.mark.filterwarnings("ignore:no pixel changes")
def test_nothing_behind_the_layer_is_run() -> None:
    model = build("plain")
    calls: list[str] = []
    for name, layer in model.named_modules():
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    maximize_activation(model, "features.1", 0, **SMALL)
    assert set(calls) == {"features.0", "features.1"}


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_in_any_context_and_with_a_frozen_model(context: Callable[[], Any]) -> None:
    model = build("inplace_relu")
    expected = maximize_activation(model, "features.3", [1, 2], **SMALL)
    model.requires_grad_(False)
    start = torch.rand(3, 16, 16)
    with context():
        ascent = maximize_activation(model, "features.3", [1, 2], **SMALL)
        dream = maximize_activation(model, "", 0, start=start * 1, steps=2)
        means = channel_means(model, "features.3", normalize(ascent.images))
    ascent.run(2)
    dream.run(1)
    expected.run(2)
    assert torch.equal(ascent.images, expected.images)
    assert means.shape == (2, 12)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("fails_at", [1, 2, 5, 6, 9, 10])
@pytest.mark.parametrize("fourier", [True, False])
def test_an_error_or_interruption_costs_no_step(fails_at: int, fourier: bool) -> None:
    """What is made afterwards is what would have been made without it, bit for bit."""
    model = build("frozen_backbone")
    options: dict[str, Any] = {"fourier": fourier, "blur": 0.8, "decay": 0.01}
    once = maximize_activation(model, "bn", [0, 1], **options, **SMALL | {"steps": 10})
    broken = maximize_activation(model, "bn", [0, 1], **options, **SMALL | {"steps": 0})
    calls: list[int] = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == fails_at:
            raise KeyboardInterrupt

    handle = model.bn.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        broken.run(10)
    handle.remove()
    assert broken.steps == fails_at - 1
    means = channel_means(model, "bn", normalize(broken.images))
    torch.testing.assert_close(means.diagonal(), broken.activations, rtol=1e-4, atol=1e-5)
    broken.run(10 - broken.steps)
    assert torch.equal(broken.images, once.images)
    assert torch.equal(broken.history, once.history)


def test_layers_and_channels_in_many_ways() -> None:
    model = build("plain")
    by_name = maximize_activation(model, "features.3", [4], **SMALL)
    for layer, channels in (
        (model.features[3], 4),
        ("features.3", np.int64(4)),
        ("features.3", torch.tensor([4])),
        ("features.3", np.array([4])),
        ("features.3", torch.tensor(4)),
        ("features.3", (4,)),
        ("features.3", range(4, 5)),
        ("features.3", iter([4])),
    ):
        ascent = maximize_activation(model, layer, channels, **SMALL)
        assert ascent.layer == "features.3"
        assert ascent.channels == (4,)
        assert torch.equal(ascent.images, by_name.images)
    assert maximize_activation(model, model, 1, **SMALL).layer == ""


def test_name_is_short() -> None:
    model = build("plain")
    ascent = maximize_activation(model, "features.3", [0, 4], **SMALL)
    assert repr(ascent) == "ActivationAscent(features.3: channels 0, 4; 3 steps)"
    ascent = maximize_activation(model, "features.3", range(9), **SMALL)
    assert repr(ascent) == "ActivationAscent(features.3: 9 channels; 3 steps)"
    ascent = maximize_activation(model, "", 0, **SMALL | {"steps": 0})
    assert repr(ascent) == "ActivationAscent(output: channels 0; 0 steps)"
    assert ascent.history.shape == (0, 1)


def test_images_given_are_not_written_into() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3))
    images, start = torch.randn(2, 3, 16, 16), torch.rand(3, 16, 16)
    kept = images.clone(), start.clone()
    channel_means(model, "1", images)
    maximize_activation(model, "1", 0, start=start, steps=2, fourier=False)
    assert torch.equal(images, kept[0])
    assert torch.equal(start, kept[1])


def detached(model: nn.Module) -> nn.Module:
    model.features[0].register_forward_hook(lambda *args: args[2].detach())
    return model


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"channels": 12}, ValueError, "'features.3' has channels 0 to 11, there is no 12"),
        ({"channels": [0, -1]}, ValueError, "channels 0 to 11, there is no -1"),
        ({"channels": 5, "layer": ""}, ValueError, "the model has channels 0 to 4, there is no 5"),
        ({"channels": []}, ValueError, "no channels"),
        ({"channels": 1.5}, TypeError, "a channel must be an integer, got 1.5"),
        ({"channels": "3"}, TypeError, "a channel must be an integer, got '3'"),
        ({"layer": "features.99"}, ValueError, "'features.0' to 'features.5'"),
        ({"layer": ["features.3"]}, TypeError, "a layer is given by its name"),
        ({"layer": nn.ReLU()}, ValueError, "is no part of this Plain"),
        ({"model": "alexnet"}, TypeError, "must be a torch.nn.Module, got str"),
        ({"steps": -1}, ValueError, "steps must be 0 or more, got -1"),
        ({"steps": 2.5}, TypeError, "steps must be an integer, got 2.5"),
        ({"objective": "deep"}, ValueError, "'channel' or 'neuron', got 'deep'"),
        ({"jitter": -1}, ValueError, "jitter must be 0 pixels or more"),
        ({"jitter": 1.5}, TypeError, "jitter must be an integer"),
        ({"blur": -0.5}, ValueError, "blur must be 0 pixels or more, got -0.5"),
        ({"decay": 1}, ValueError, "decay must be a share from 0 to below 1, got 1"),
        ({"lr": 0}, ValueError, "lr must be above 0"),
        ({"seed": "x"}, TypeError, "seed must be an integer"),
        ({"shape": (16, 16)}, ValueError, r"shape must be \(channels, height, width\)"),
        ({"shape": (3, 0, 16)}, ValueError, r"shape must be .*got \(3, 0, 16\)"),
        ({"shape": (1, 16, 16)}, ValueError, r"have 1 channels, mean has 3.*mean=\[0\] \* 1"),
        ({"mean": [0.5]}, ValueError, "have 3 channels, mean has 1 numbers and std 3"),
        ({"std": [1, 1, 0]}, ValueError, "every std must be above zero"),
        ({"start": torch.rand(2, 3, 16, 16)}, ValueError, r"one image \[C, H, W\].*images\[0\]"),
        ({"start": torch.rand(3, 16, 16) * 255}, ValueError, r"start must be in \[0, 1\]"),
        ({"start": torch.zeros(3, 16, 16).byte()}, TypeError, "got torch.uint8"),
        ({"start": "cat.png"}, TypeError, r"start must be a tensor \[C, H, W\].*got str"),
        ({"model": build("dict_output"), "layer": ""}, TypeError, r"output=lambda out: out\['log"),
        ({"model": build("tuple_output"), "layer": ""}, TypeError, r"returns tuple.*out: out\[0\]"),
        ({"output": lambda out: (out, 3)}, TypeError, "what output= makes of it.*tuple"),
        ({"output": lambda out: "no"}, TypeError, "str, not one tensor of floats. It holds no"),
        ({"output": lambda out: out.argmax(1)}, TypeError, "torch.int64, not one tensor of floats"),
        ({"output": lambda out: out.sum()}, ValueError, r"returns \[\]; this needs maps"),
        ({"output": lambda out: out.detach()}, TypeError, "no gradient leads from"),
        ({"output": lambda out: out * float("nan")}, ValueError, "are not finite"),
        ({"model": detached(build("plain"))}, TypeError, "from what 'features.3' returns back"),
        ({"model": build("listed"), "layer": "heads.unused"}, ValueError, "never called"),
    ],
)
def test_wrong_inputs_are_explained(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    options = {"model": build("plain"), "layer": "features.3", "channels": 0, **SMALL} | changes
    before = everything(options["model"]) if isinstance(options["model"], nn.Module) else None
    with pytest.raises(error, match=message):
        maximize_activation(**options)
    if before is not None:
        assert everything(options["model"]) == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": torch.rand(3, 16, 16)}, ValueError, r"got \[3, 16, 16\].*image\[None\]"),
        ({"images": torch.rand(0, 3, 16, 16)}, ValueError, "must be a batch"),
        ({"images": torch.zeros(1, 3, 16, 16).byte()}, TypeError, "got torch.uint8"),
        ({"images": [1]}, TypeError, "got list"),
        ({"batch_size": 0}, ValueError, "batch_size must be 1 or more, got 0"),
        ({"objective": "deep"}, ValueError, "'channel' or 'neuron'"),
        ({"layer": "features.9"}, ValueError, "has no layer 'features.9'"),
        ({"output": lambda out: [out]}, TypeError, r"output=lambda out: out\[0\]"),
    ],
)
def test_wrong_images_are_explained(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    options = {"model": build("plain"), "layer": "features.3", "images": torch.rand(2, 3, 16, 16)}
    with pytest.raises(error, match=message):
        channel_means(**options | changes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_is_the_model_s() -> None:
    on_cpu = maximize_activation(load_model("resnet18"), "layer2", [3, 9], steps=4)
    model = load_model("resnet18", device="cuda")
    state = torch.cuda.get_rng_state()
    ascent = maximize_activation(model, "layer2", [3, 9], steps=4)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert ascent.images.device.type == ascent.activations.device.type == "cpu"
    torch.testing.assert_close(ascent.images, on_cpu.images, atol=0.02, rtol=0)
    means = channel_means(model, "layer2", normalize(ascent.images))
    torch.testing.assert_close(means.diagonal(), ascent.activations, rtol=1e-3, atol=1e-4)
