"""`capture` tells what layers produced, on every call, and leaves nothing behind."""

from __future__ import annotations

import copy
import random
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.models import ALL, BROKEN, Plain
from support.portrait import portrait, some_grads
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vizhelpers.hooks import capture
from vizhelpers.layers import get_layer, list_layers
from vizhelpers.zoo.loading import load_model

MODELS = sorted(ALL)


def build(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, inputs = ALL[name].build()
    some_grads(model)
    return model, inputs


def layers_of(model: nn.Module) -> list[str]:
    return list_layers(model, nn.Module)


def not_in_place(model: nn.Module) -> nn.Module:
    """A copy in which no layer writes into its input, so that plain hooks can be trusted."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return model


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for item in value for t in tensors(item)] if isinstance(value, list | tuple) else []


def keys_of(store: dict[str, Any], layer: str) -> list[str]:
    """The keys of a layer itself, in the order of its tensors; not those of layers inside it."""
    return [key for key in store if re.fullmatch(re.escape(layer) + r"(\[.*|\.logits)?", key)]


def first_score(output: Any) -> Tensor:
    """Some score for any model: a weighted sum, so that no gradient is zero by symmetry."""
    total = torch.zeros(())
    for tensor in tensors(output):
        if tensor.is_floating_point():
            total = total + (tensor * torch.linspace(1, 2, tensor.numel()).view_as(tensor)).sum()
    return total


@contextmanager
def unchanged(model: nn.Module, *inputs: Tensor) -> Iterator[None]:
    """Everything that a look at a model could leave behind."""

    def everything() -> list[Any]:
        return [
            portrait(model),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
            [(t.tolist(), t.requires_grad, t.grad) for t in inputs],
        ]

    before = everything()
    try:
        yield
    finally:
        assert everything() == before


# ---- What is captured ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_inputs_are_those_that_plain_hooks_see(name: str) -> None:
    model, inputs = build(name)
    seen: dict[str, list[list[list[Tensor]]]] = {}
    reference = not_in_place(model)
    for layer in layers_of(reference):
        get_layer(reference, layer).register_forward_hook(
            lambda _, args, kwargs, output, layer=layer: seen.setdefault(layer, []).append(
                [[t.clone() for t in tensors(value)] for value in ([args, kwargs], output)]
            ),
            with_kwargs=True,
        )
    with torch.random.fork_rng():
        expected = reference.requires_grad_(True)(*inputs)

    captured = capture(model, inputs, layers_of(model), with_inputs=True)

    assert set(captured.never_called) == set(layers_of(model)) - set(seen)
    for layer, calls in seen.items():
        for store, column in ((captured.inputs, 0), (captured, 1)):
            found = [store[key] for key in keys_of(store, layer)]
            expected_calls = [list(call) for call in zip(*(c[column] for c in calls), strict=True)]
            torch.testing.assert_close(found, expected_calls)
    torch.testing.assert_close(tensors(captured.output), tensors(expected))
    assert not any(t.requires_grad for calls in captured.values() for t in calls)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_retain_grad(name: str) -> None:
    model, inputs = build(name)
    seen: dict[str, list[Tensor]] = {}
    reference = not_in_place(model).requires_grad_(True)

    def keep(layer: str, output: Any) -> None:
        for index, tensor in enumerate(tensors(output)):
            if tensor.requires_grad:
                tensor.retain_grad()
                seen.setdefault(f"{layer} {index}", []).append(tensor)

    for layer in layers_of(reference):
        get_layer(reference, layer).register_forward_hook(
            lambda _, __, output, layer=layer: keep(layer, output)
        )
    with torch.random.fork_rng():
        first_score(reference(*inputs)).backward()

    captured = capture(model, inputs, layers_of(model), gradients=first_score)

    assert list(captured.gradients) == list(captured)
    for layer in {layer.rpartition(" ")[0] for layer in seen}:
        for index, key in enumerate(keys_of(captured, layer)):
            expected = [tensor.grad for tensor in seen[f"{layer} {index}"]]
            assert [g is None for g in captured.gradients[key]] == [g is None for g in expected]
            torch.testing.assert_close(
                [g for g in captured.gradients[key] if g is not None],
                [g for g in expected if g is not None],
                rtol=1e-4,
                atol=1e-6,
            )


def test_maps_of_the_first_image():
    model, images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.rand(2, 3, 8, 8)
    captured = capture(model, images, ["0", "1"])
    assert torch.equal(capture(model, images, "0").map, model[0](images)[0])
    assert torch.equal(captured.maps["1"], captured["1"][0][0])
    with pytest.raises(ValueError, match=r"this holds 2: '0', '1'. Choose one: .maps\['0'\]"):
        _ = captured.map


def test_true_takes_the_gradient_of_each_images_prediction() -> None:
    model, (images,) = build("plain")
    captured = capture(model, images, "features.3", gradients=True)
    one_by_one = []
    for picture in images:
        activation = model.features[:4](picture[None]).detach().requires_grad_()
        scores = model.classifier(model.features[4:](activation).flatten(1))
        one_by_one.append(torch.autograd.grad(scores.max(), activation)[0])
    torch.testing.assert_close(captured.gradients["features.3"][0], torch.cat(one_by_one))
    torch.testing.assert_close(captured.output, model(images).detach())


def test_the_worked_example() -> None:
    conv = nn.Conv2d(1, 2, 3)
    model = nn.Sequential(OrderedDict(conv=conv, pool=nn.MaxPool2d(2)))
    with torch.no_grad():
        conv.weight[0], conv.weight[1] = 1, 2
        conv.bias.zero_()
    captured = capture(model, torch.ones(1, 1, 4, 4), ["conv", "pool"])
    assert captured["conv"][0].tolist() == [[[[9.0] * 2] * 2, [[18.0] * 2] * 2]]
    assert captured["pool"][0].flatten().tolist() == [9.0, 18.0]
    assert repr(captured) == ("conv  1 call  [1, 2, 2, 2]\npool  1 call  [1, 2, 1, 1]")


def test_inplace_relu_overwrites_neither_values_nor_inputs() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    captured = capture(model, torch.randn(1, 3, 8, 8), ["0", "1"], with_inputs=True)
    assert captured["0"][0].min() < 0
    torch.testing.assert_close(captured.inputs["1"][0], captured["0"][0], rtol=0, atol=0)
    torch.testing.assert_close(captured["1"][0], captured["0"][0].relu(), rtol=0, atol=0)


@pytest.mark.parametrize("gradients", [False, True])
def test_a_first_layer_that_works_in_place_spares_the_callers_input(gradients: bool) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4, 3))
    image = torch.tensor([[[-1.0, 2.0], [3.0, -4.0]]])
    captured = capture(model, image, ["0", "1"], gradients=gradients)
    assert image.flatten().tolist() == [-1, 2, 3, -4]
    assert captured["0"][0].flatten().tolist() == [0, 2, 3, 0]


class InATuple(nn.Flatten):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (super().forward(x),)


class First(nn.Module):
    def forward(self, pair: tuple[Tensor]) -> Tensor:
        return pair[0]


@pytest.mark.parametrize("flatten", [nn.Flatten(), nn.Sequential(InATuple(), First())])
def test_gradient_of_a_view_that_is_changed_in_place_later(flatten: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), flatten, nn.ReLU(), nn.Linear(8, 3))
    image = torch.randn(2, 1, 4, 4)
    layers = [name for name in ("1", "1.0") if name in dict(model.named_modules())][-1]
    expected = capture(model, image, layers, gradients=True).gradients
    model[2].inplace = True
    found = capture(model, image, layers, gradients=True)
    (key,) = found
    assert expected[key][0].abs().sum() > 0
    torch.testing.assert_close(found.gradients[key][0], expected[key][0])
    assert found[key][0].min() < 0


def test_gradient_is_none_where_the_score_does_not_depend_on_the_layer() -> None:
    model, inputs = build("dict_output")
    captured = capture(
        model, inputs, ["features", "classifier"], gradients=lambda out: out["features"].sum()
    )
    assert captured.gradients["classifier"] == [None]
    assert captured.gradients["features"][0].unique().tolist() == [1.0]


def test_whole_numbers_into_a_frozen_model() -> None:
    model, inputs = build("words")
    expected = capture(model, inputs, "embedding", gradients=True).gradients["embedding"][0]
    model.requires_grad_(False)
    found = capture(model, inputs, "embedding", gradients=True).gradients["embedding"][0]
    assert found.shape == (2, 7, 8)
    torch.testing.assert_close(found, expected)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_layers_that_run_again_in_the_backward_pass_are_captured_once() -> None:
    class Checkpointed(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(checkpoint(self.features, x, use_reentrant=False).flatten(1))

    model = Checkpointed()
    image = torch.rand(2, 3, 16, 16)
    captured = capture(model, image, "features.0", gradients=True)
    expected = capture(copy_as(Plain, model), image, "features.0", gradients=True)
    assert len(captured["features.0"]) == 1
    torch.testing.assert_close(
        captured.gradients["features.0"][0], expected.gradients["features.0"][0]
    )


def copy_as(cls: type[nn.Module], model: nn.Module) -> nn.Module:
    other = cls()
    other.load_state_dict(model.state_dict())
    return other


def test_hooks_of_the_user_stay_active_and_what_they_change_is_seen() -> None:
    model, inputs = build("plain")
    model.features[0].register_forward_pre_hook(lambda _, args: (args[0] * 0 + 2,))
    model.features[0].register_forward_hook(lambda *_: torch.ones(2, 8, 16, 16))
    with unchanged(model, *inputs):
        captured = capture(model, inputs, "features.0", with_inputs=True)
    assert captured.inputs["features.0"][0].unique().tolist() == [2.0]
    assert captured["features.0"][0].unique().tolist() == [1.0]


def test_the_model_runs_in_the_mode_that_it_is_in() -> None:
    model, (image,) = build("batch_norm")
    model.drop.p = 0.0
    by_hand = (image - image.mean((0, 2, 3), keepdim=True)).square().mean((0, 2, 3))
    assert by_hand.shape == (3,)
    training = capture(model.train(), image, ["conv", "bn"])
    evaluating = capture(model.eval(), image, ["conv", "bn"])
    x = training["conv"][0]
    normed = (x - x.mean((0, 2, 3), keepdim=True)) / (
        x.var((0, 2, 3), keepdim=True, unbiased=False) + model.bn.eps
    ).sqrt()
    torch.testing.assert_close(training["bn"][0], normed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evaluating["bn"][0], x / (1 + model.bn.eps) ** 0.5)


# ---- Names ---------------------------------------------------------------------------------


@dataclass
class Answer:
    logits: Tensor
    loss: Tensor | None = None


class Many(nn.Module):
    """Answers with tensors inside everything; takes positional and keyword arguments."""

    def forward(self, x: Tensor, *more: Tensor, mask: Tensor | None = None) -> Any:
        pair = torch.max(x, dim=1)
        return {"out": (x, [x + 1, None, 3]), 7: Answer(logits=x), "pair": pair}


class Wrapper(nn.Module):
    """A dataclass comes in, is changed in place, and another one comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, given: Answer) -> Answer:
        return Answer(self.fc(given.logits.mul_(2)))


def test_dataclasses_are_copied_too() -> None:
    given = Answer(torch.ones(1, 3))
    found = capture(Wrapper(), given, "fc", gradients=lambda out: out.logits.sum())
    assert given.logits.tolist() == [[1, 1, 1]]
    assert not found.output.logits.requires_grad
    torch.testing.assert_close(found.output.logits, found["fc"][0])


class ManyNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.many = Many()

    def forward(self, x: Tensor) -> Tensor:
        self.many(x, x + 1, mask=x > 0)
        return self.many(x)["out"][0]


def test_nested_outputs_have_names_that_read_like_python() -> None:
    captured = capture(ManyNet(), torch.rand(2, 3), "many", with_inputs=True)
    path = ["many['out'][0]", "many['out'][1][0]", "many[7].logits"]
    assert list(captured) == [*path, "many['pair'][0]", "many['pair'][1]"]
    assert {len(calls) for calls in captured.values()} == {2}
    assert list(captured.inputs) == ["many[0]", "many[1]", "many['mask']", "many"]
    assert captured.inputs["many['mask']"][0].dtype == torch.bool


def test_names_of_usual_layers() -> None:
    recurrent, inputs = build("recurrent")
    assert list(capture(recurrent, inputs, "lstm")) == ["lstm[0]", "lstm[1][0]", "lstm[1][1]"]
    pyramid, inputs = build("inner_dict")
    assert list(capture(pyramid, inputs, "pyramid")) == ["pyramid['fine']", "pyramid['coarse']"]
    scores, inputs = build("named_tuple_output")
    assert list(capture(scores, inputs, "")) == [".logits"]
    keywords, inputs = build("keywords")
    assert list(capture(keywords, inputs, "fc", with_inputs=True).inputs) == ["fc['input']"]


def test_layers_by_name_by_module_and_twice() -> None:
    model, inputs = build("plain")
    captured = capture(model, inputs, [model.features[0], "features.0", "features"])
    assert list(captured) == ["features.0", "features"]
    assert len(captured["features.0"]) == 1


def test_a_module_under_several_names_is_listed_under_each_asked_for() -> None:
    model, inputs = build("shared_conv")
    captured = capture(model, inputs, ["first", "second"])
    assert len(captured["first"]) == len(captured["second"]) == 2
    assert list(capture(model, inputs, "second")) == ["second"]


@pytest.mark.parametrize(
    ("given", "positional", "keywords"),
    [
        (lambda a, b: (a, b), 2, 0),
        (lambda a, b: {"image": a, "facts": b}, 0, 2),
    ],
)
def test_inputs_as_positional_and_keyword_arguments(
    given: Callable[[Tensor, Tensor], Any], positional: int, keywords: int
) -> None:
    model, inputs = build("two_inputs")
    calls: list[tuple[int, int]] = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((len(args), len(kwargs))), with_kwargs=True
    )
    captured = capture(model, given(*inputs), ["embed", "conv"])
    assert calls == [(positional, keywords)]
    torch.testing.assert_close(captured["embed"][0], model.embed(inputs[1]).detach())


def test_a_list_is_the_one_argument() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.identity = nn.Identity()

        def forward(self, images: list[Tensor]) -> Tensor:
            return self.identity(images[0] + images[1])

    assert capture(Sum(), [torch.ones(1), torch.ones(1)], "identity")["identity"][0].item() == 2


def test_a_missing_key_is_explained() -> None:
    model, inputs = build("recurrent")
    captured = capture(model, inputs, ["conv", "lstm"])
    with pytest.raises(KeyError, match=r"'lstm' holds several tensors.*'lstm\[0\]'"):
        captured["lstm"]
    with pytest.raises(KeyError, match=r"'cnv' was not asked for.*There is 'conv'"):
        captured["cnv"]
    with pytest.raises(KeyError, match="ask for it: with_inputs=True"):
        captured.inputs["conv"]
    branches, inputs = build("control_flow")
    with pytest.raises(KeyError) as error:
        capture(branches, inputs, ["bright", "dark"])["dark"]
    assert str(error.value).startswith("the layer 'dark' was not called in this pass. Usual")


@pytest.mark.parametrize(
    ("name", "layer"),
    [("listed", "convs"), ("attention", "attention.out_proj"), ("control_flow", "dark")],
)
def test_nothing_called_at_all_is_an_error_that_says_why(name: str, layer: str) -> None:
    model, inputs = build(name)
    with (
        unchanged(model, *inputs),
        pytest.raises(ValueError, match=f"never called '{layer}'. Usual reasons"),
    ):
        capture(model, inputs, layer)


def test_text_is_the_same_on_every_machine() -> None:
    model, inputs = build("listed")
    captured = capture(model, inputs, ["convs.0", "heads.unused"], gradients=True)
    assert repr(captured) == "convs.0  1 call  [2, 3, 16, 16]\nnever called: heads.unused"
    shared, inputs = build("shared_relu")
    assert repr(capture(shared, inputs, "relu")) == "relu  2 calls  [2, 6, 16, 16] × 2"
    nothing = capture(*build("dict_output"), "classifier", gradients=lambda o: o["features"].sum())
    assert repr(nothing.gradients) == "classifier  1 call  None"


# ---- Stopping early ------------------------------------------------------------------------


class Explodes(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise RuntimeError("this layer must not run")


def test_the_rest_of_the_pass_is_skipped() -> None:
    model = load_model("resnet18", weights=None).eval()
    model.layer3 = Explodes()
    image = torch.rand(1, 3, 64, 64)
    with unchanged(model, image):
        captured = capture(model, image, ["layer2", "layer1.0.relu"], stop_early=True)
    assert captured.stopped_after == "layer2"
    assert captured.output is None
    assert len(captured["layer1.0.relu"]) == 2
    with unchanged(model, image), pytest.raises(RuntimeError, match="must not run"):
        capture(model, image, "layer2")
    with pytest.raises(RuntimeError, match="must not run"):
        capture(model, image, "layer2", gradients=True, stop_early=True)


def test_a_model_cannot_catch_the_stop() -> None:
    class Stubborn(Plain):
        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.features(x)
            except Exception:
                x = torch.zeros(2, 12, 2, 2)
            return self.classifier(x.flatten(1))

    model = Stubborn()
    model.classifier = Explodes()
    captured = capture(model, torch.rand(2, 3, 16, 16), "features.1", stop_early=True)
    assert captured.stopped_after == "features.1"


class Twice(nn.Module):
    """Calls its one layer twice, out of sight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.stages = [self.layer]

    def forward(self, x: Tensor) -> Tensor:
        return self.stages[0](self.layer(x))


def test_every_call_is_kept_unless_the_pass_is_stopped_early() -> None:
    model, x = Twice(), torch.rand(1, 2)
    assert len(capture(model, x, "layer")["layer"]) == 2
    early = capture(model, x, "layer", stop_early=True)
    torch.testing.assert_close(early["layer"], [model.layer(x).detach()])
    assert early.stopped_after == "layer"


# ---- Nothing is left behind ----------------------------------------------------------------


@pytest.mark.parametrize("gradients", [False, first_score])
@pytest.mark.parametrize("name", MODELS)
def test_the_model_comes_out_as_it_went_in(name: str, gradients: Any) -> None:
    model, inputs = build(name)
    with unchanged(model, *inputs):
        capture(model, inputs, layers_of(model), gradients=gradients, with_inputs=True)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_also_when_it_raises(name: str, gradients: bool) -> None:
    model, inputs = BROKEN[name].build()
    some_grads(model)
    with pytest.raises(RuntimeError) as expected:
        copy.deepcopy(model)(*inputs)
    with unchanged(model, *inputs), pytest.raises(RuntimeError) as error:
        capture(model, inputs, layers_of(model), gradients=gradients)
    assert str(error.value) == str(expected.value)


def wrong_score(output: Tensor) -> Tensor:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ("features.9", {}, ValueError, "has no layer 'features.9'"),
        ([], {}, ValueError, "no layers were asked for"),
        (3, {}, TypeError, "a layer is given by its name"),
        ([3], {}, TypeError, "a layer is given by its name"),
        (nn.ReLU(), {}, ValueError, "is no part of this"),
        ("features", {"gradients": 3}, TypeError, "got 3"),
        ("features", {"gradients": wrong_score}, ZeroDivisionError, None),
        ("features", {"gradients": lambda o: o}, TypeError, r"tensor of shape \[2, 5\]"),
        ("features", {"gradients": lambda o: o.max().item()}, TypeError, "returned float"),
        ("features", {"gradients": lambda o: o.detach().sum()}, TypeError, "has no gradient"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing_behind(
    layers: Any, options: dict[str, Any], error: type[Exception], message: str | None
) -> None:
    model, inputs = build("plain")
    with unchanged(model, *inputs), pytest.raises(error, match=message):
        capture(model, inputs, layers, **options)


def test_a_model_with_several_outputs_needs_a_score() -> None:
    with pytest.raises(TypeError, match=r"returned Scores with \.logits. Pass a function"):
        capture(*build("named_tuple_output"), "classifier", gradients=True)
    with pytest.raises(TypeError, match=r"shape \[2, 4, 14, 14\]"):
        capture(*build("one_layer"), "", gradients=True)


def test_nothing_keeps_the_graph_alive() -> None:
    model, inputs = build("plain")
    captured = capture(model, inputs, layers_of(model), gradients=True, with_inputs=True)
    stores = (captured, captured.inputs, captured.gradients, {"": [captured.output]})
    kept = [tensor for store in stores for calls in store.values() for tensor in calls]
    assert len(kept) > 20
    assert all(tensor.grad_fn is None and not tensor.requires_grad for tensor in kept)


# ---- Modes, compiled and scripted models ---------------------------------------------------


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["inplace_relu", "batch_norm", "frozen_everything", "vit"])
def test_under_the_callers_grad_mode(
    name: str, mode: Callable[[], AbstractContextManager[Any]]
) -> None:
    model, inputs = build(name)
    layers = list_layers(model)
    values = capture(model, inputs, layers)
    gradients = capture(model, inputs, layers, gradients=True).gradients
    with mode():
        inputs = tuple(tensor.clone() for tensor in inputs)  # in inference mode: of that kind
        with unchanged(model):
            torch.testing.assert_close(dict(capture(model, inputs, layers)), dict(values))
            again = capture(model, inputs, layers, gradients=True)
    torch.testing.assert_close(dict(again), dict(values))
    torch.testing.assert_close(dict(again.gradients), dict(gradients))


def test_layers_inside_fused_attention_are_seen() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(block, 2).eval()
    tokens = torch.rand(2, 5, 8)
    mask = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    captured = capture(model, {"src": tokens, "src_key_padding_mask": mask}, list_layers(model))
    assert "layers.1.linear2" in captured
    assert captured["layers.1.linear2"][0].shape == (2, 5, 8)


def test_a_layer_whose_shape_is_not_known_yet() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    assert capture(model, torch.rand(2, 4), "0")["0"][0].shape == (2, 3)
    assert isinstance(model[0], nn.LazyLinear)
    assert capture(model, torch.rand(2, 4), "0", gradients=True).gradients["0"][0].shape == (2, 3)


def test_compiled_models_are_run_uncompiled() -> None:
    compiled_graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        compiled_graphs.append(graph)
        return graph.forward

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.rand(2, 3)
    expected = capture(model, x, ["0", "1"], gradients=True)
    compiled = torch.compile(model, backend=backend)
    inside = nn.Sequential(torch.compile(model, backend=backend))
    in_place = nn.Sequential(*model)
    in_place.compile(backend=backend)
    for network in (compiled, inside, in_place):
        network(x)
    before = len(compiled_graphs)
    assert before > 0
    for network, zero, one in (
        (compiled, "_orig_mod.0", "1"),
        (compiled, model[0], "_orig_mod.1"),
        (inside, "0._orig_mod.0", "0._orig_mod.1"),
        (in_place, "0", "1"),
    ):
        assert len(capture(network, x, [zero, one])) == 2
        found = capture(network, x, [zero, one], gradients=True)
        for store, reference in ((found, expected), (found.gradients, expected.gradients)):
            torch.testing.assert_close(list(store.values()), list(reference.values()))
    assert len(compiled_graphs) == before
    torch.testing.assert_close(compiled(x), model(x))
    torch._dynamo.reset()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_everything_stays_there() -> None:
    model, (image,) = build("inplace_relu")
    expected = capture(model, image, layers_of(model), gradients=True)
    captured = capture(model.cuda(), image.cuda(), layers_of(model), gradients=True)
    for key in expected:
        assert captured[key][0].device.type == captured.gradients[key][0].device.type == "cuda"
        torch.testing.assert_close(captured[key][0].cpu(), expected[key][0], rtol=1e-2, atol=1e-2)


def test_captured_values_may_be_changed() -> None:
    model, inputs = build("residual")
    captured = capture(model, inputs, ["layer1.0.bn2", "stem"], gradients=True)
    before = captured.gradients["stem"][0].clone()
    captured.gradients["layer1.0.bn2"][0].zero_()
    captured["stem"][0].zero_()
    torch.testing.assert_close(captured.gradients["stem"][0], before, rtol=0, atol=0)
    assert F.relu(captured["layer1.0.bn2"][0]).sum() > 0


def test_the_gradient_of_a_layer_that_hands_its_input_through_is_its_own() -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shortcut, self.a, self.b = nn.Identity(), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.shortcut(y) + 10 * self.b(y)

    captured = capture(Shortcut(), torch.rand(1, 3), "shortcut", gradients=lambda out: out.sum())
    assert captured.gradients["shortcut"][0].tolist() == [[1.0] * 3]
