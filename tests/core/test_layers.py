"""Layer names: all of them, the nearest one, and clear words where there is none."""

from __future__ import annotations

import re

import pytest
import torch
from support.models import ALL, Plain, ResidualBlock, SharedConv, vit
from torch import nn

from vizhelpers.layers import get_layer, layer_name, list_layers


@pytest.fixture
def plain() -> nn.Module:
    return Plain()


def test_leaves_in_order_of_declaration(plain):
    assert list_layers(plain) == [f"features.{i}" for i in range(6)] + ["classifier"]


def test_all_modules_on_request(plain):
    assert list_layers(plain, nn.Module) == ["features", *list_layers(plain)]


@pytest.mark.parametrize("kind", [nn.Conv2d, "Conv2d", (nn.Conv2d, nn.Conv3d), "_ConvNd"])
def test_kind_as_class_tuple_or_name(plain, kind):
    assert list_layers(plain, kind) == ["features.0", "features.3"]


def test_blocks_are_found_by_kind_though_they_are_no_leaves():
    model, _ = ALL["residual"].build()
    assert list_layers(model, ResidualBlock) == ["layer1.0", "layer1.1"]
    assert list_layers(model, "ResidualBlock") == ["layer1.0", "layer1.1"]


def test_a_kind_that_this_model_lacks_is_an_empty_list(plain):
    assert list_layers(plain, "Dropout") == list_layers(plain, nn.Dropout) == []


def test_a_kind_that_nobody_knows_is_an_error(plain):
    with pytest.raises(ValueError, match=r"'Conv2D'.*Did you mean 'Conv2d'"):
        list_layers(plain, "Conv2D")
    with pytest.raises(TypeError, match="must be a class"):
        list_layers(plain, nn.ReLU())


def test_a_shared_module_has_all_its_names():
    model = SharedConv()
    assert list_layers(model, nn.Conv2d) == ["first", "second"]
    assert get_layer(model, "second") is get_layer(model, "first")
    assert layer_name(model, model.second) == "first"


def test_attention_is_one_layer():
    names = list_layers(vit())
    assert [name for name in names if "attention" in name] == [
        f"encoder.layers.encoder_layer_{i}.self_attention" for i in range(2)
    ]


def test_containers_that_are_never_called_are_no_leaves():
    model = nn.Sequential(nn.ParameterList([torch.ones(1)]), nn.ModuleList(), nn.Identity())
    assert list_layers(model) == ["2"]


class Padded(nn.Conv2d):
    """Holds its padding, as EfficientNet's convolution does in many packages."""

    def __init__(self):
        super().__init__(3, 4, 3)
        self.pad, self.norm = nn.ZeroPad2d(1), nn.ReLU()
        self.norm = None

    def forward(self, x):
        return super().forward(self.pad(x))


def test_a_layer_may_hold_what_has_no_weights():
    scaled = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    assert list_layers(nn.Sequential(Padded(), scaled)) == ["0", "0.pad", "1"]
    nothing = nn.Conv2d(3, 4, 3)
    nothing.norm = nn.ReLU()
    nothing.norm = None
    assert list_layers(nn.Sequential(nothing)) == ["0"]


def test_a_model_of_one_layer_lists_itself():
    model = nn.Conv2d(3, 4, 3)
    assert list_layers(model) == [""]
    assert get_layer(model, "") is model


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("made", [torch.jit.script, torch.compile], ids=["scripted", "compiled"])
def test_every_listed_name_leads_to_a_layer(made):
    model = made(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten()))
    names = list_layers(model)
    assert names == ["0.0", "0.1", "1"]
    assert [layer_name(model, get_layer(model, name)) for name in names] == names
    with pytest.raises(ValueError, match=r"has no layer '0\.7'"):
        get_layer(model, "0.7")


@pytest.mark.parametrize("name", ALL)
def test_names_lead_to_their_modules_and_back(name):
    model, _ = ALL[name].build()
    for layer in list_layers(model, nn.Module):
        module = get_layer(model, layer)
        assert module is model.get_submodule(layer)
        assert get_layer(model, layer_name(model, module)) is module
        assert get_layer(model, module) is module


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("features[3]", "Its name is 'features.3'"),
        ("model.features[3]", "Its name is 'features.3'"),
        ("features.9", "Inside 'features' there are 6: 'features.0' to 'features.5'"),
        ("features.-1", "Inside 'features' there are 6"),
        ("features.3.weight", "'weight' is a tensor of the layer 'features.3'"),
        ("features.3.0", "'features.3' is a Conv2d, with no layers inside"),
        ("feature.3", "Did you mean 'features.3'"),
        ("Classifier", "Did you mean 'classifier'"),
        ("conv2d", "list_layers(model, 'Conv2d')"),
        ("xyz", "list_layers(model) lists all names"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(plain, wrong, advice):
    with pytest.raises(ValueError, match=re.escape(advice)) as error:
        get_layer(plain, wrong)
    assert str(error.value).startswith(f"Plain has no layer {wrong!r}. ")


def test_a_layer_of_another_copy_is_refused(plain):
    stranger = Plain().features[0]
    for look_up in (get_layer, layer_name):
        with pytest.raises(ValueError, match="Conv2d is no part of this Plain"):
            look_up(plain, stranger)


@pytest.mark.parametrize("layer", [3, None, ["features.0"]])
def test_a_layer_of_the_wrong_kind(plain, layer):
    with pytest.raises(TypeError, match="given by its name"):
        get_layer(plain, layer)


@pytest.mark.parametrize("function", [list_layers, lambda model: get_layer(model, "conv")])
def test_a_model_of_the_wrong_kind(function):
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got OrderedDict"):
        function(Plain().state_dict())
