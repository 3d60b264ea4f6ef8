"""Graphs: what they contain, against hooks on the real model; and a drawing that can be read."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import pytest
import torch
import torchvision
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from support.models import ALL, BROKEN, ControlFlow, Plain, ResidualBlock
from torch import nn

from vizhelpers.figures import to_png
from vizhelpers.inspection.graph import module_graph
from vizhelpers.inspection.graph_plot import draw_graph
from vizhelpers.layers import list_layers

TRACEABLE = [name for name in ALL if name != "control_flow"]


def graph_of(name: str, **options) -> nx.DiGraph:
    return module_graph(*ALL[name].build(), **options)


def labels(graph: nx.DiGraph) -> list[str]:
    return [graph.nodes[node]["label"] for node in nx.topological_sort(graph)]


# --- what is in the graph ---------------------------------------------------------------------


def test_a_residual_block_with_its_shortcut():
    graph = module_graph(ResidualBlock(4), torch.rand(1, 4, 8, 8))
    chain = ["x", "conv1", "bn1", "relu", "conv2", "bn2", "add", "relu_1", "output"]
    assert set(graph.edges) == {*pairwise(chain), ("x", "add")}
    assert labels(graph) == [
        *("x", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "add", "ReLU", "output")
    ]
    assert [graph.nodes[node]["kind"] for node in chain] == [
        *("input", "convolution", "normalization", "activation", "convolution"),
        *("normalization", "operation", "activation", "output"),
    ]
    assert graph.nodes["relu"]["layer"] == graph.nodes["relu_1"]["layer"] == "relu"
    assert {tuple(shapes) for _, shapes in graph.nodes(data="shapes")} == {((1, 4, 8, 8),)}


@pytest.mark.parametrize("name", TRACEABLE)
def test_layers_and_shapes_are_those_that_hooks_see(name):
    model, inputs = ALL[name].build()
    leaves = list_layers(model)
    seen = []
    names = {id(model.get_submodule(leaf)): leaf for leaf in reversed(leaves) if leaf}

    def hook(module, args, output):
        while isinstance(output, tuple):
            output = output[0]
        seen.append((names[id(module)], tuple(output.shape)))

    handles = [
        model.get_submodule(leaf).register_forward_hook(hook) for leaf in set(names.values())
    ]
    model.eval()
    model(*inputs)
    for handle in handles:
        handle.remove()
    graph = module_graph(model, inputs)
    nodes = [data for _, data in graph.nodes.items() if data["layer"]]
    assert Counter((data["layer"], data["shapes"][0]) for data in nodes) == Counter(seen)


@pytest.mark.parametrize("name", TRACEABLE)
def test_every_graph_runs_from_its_inputs_to_one_output(name):
    graph = graph_of(name)
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.is_weakly_connected(graph)
    assert [node for node in graph if graph.out_degree(node) == 0] == ["output"]
    for node in graph:
        if graph.in_degree(node) == 0:
            assert graph.nodes[node]["kind"] in ("input", "parameter")


def test_functional_calls_and_weights_of_no_layer_are_visible():
    graph = graph_of("functional")
    assert [data["label"] for _, data in graph.nodes.items() if data["kind"] == "operation"] == [
        *("relu", "max_pool2d", "mul", "adaptive_avg_pool2d", "flatten", "log_softmax")
    ]
    assert graph.nodes["scale"]["kind"] == "parameter"
    assert list(graph.successors("scale")) == ["mul"]


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.ConvTranspose2d(3, 3, 1), "convolution"),
        (nn.GELU(), "activation"),
        (nn.AvgPool2d(1), "pooling"),
        (nn.GroupNorm(1, 3), "normalization"),
        (nn.Bilinear(1, 1, 1), "linear"),
        (nn.Identity(), "other layer"),
        (nn.Dropout(), "other layer"),
        (torchvision.ops.FrozenBatchNorm2d(3), "other layer"),
        (torchvision.ops.MLP(3, [3]), "block"),
    ],
)
def test_kinds_of_layers(layer, kind):
    assert module_graph(nn.Sequential(layer), depth=1).nodes["_0"]["kind"] == kind


def test_methods_in_place_and_indexing_read_like_functions():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x * 2
            y += x
            return y.add_(x).unsqueeze_(0)[0]

    expected = ["x", "mul", "add", "add", "unsqueeze", "index", "output"]
    assert labels(module_graph(InPlace(), torch.rand(2))) == expected


def test_one_image_is_enough_for_a_model_in_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    assert module_graph(model, torch.rand(1, 4)).nodes["output"]["shapes"] == [(1, 3)]


def test_sizes_and_checks_are_left_out_where_an_example_tells_them_apart():
    assert not {"getattr", "eq", "dim", "floordiv", "_assert"} & set(labels(graph_of("vit")))
    assert "attention" in dict(graph_of("vit").nodes(data="kind")).values()


def test_several_outputs_and_what_is_picked_from_a_dictionary():
    graph = graph_of("dict_output")
    assert set(graph.predecessors("output")) == {"features_5", "classifier"}
    closed = graph_of("inner_dict", depth=1)
    assert closed.nodes["pyramid"]["kind"] == "block"
    assert closed.nodes["pyramid"]["shapes"] == [(2, 4, 16, 16), (2, 4, 8, 8)]
    assert set(closed.successors("pyramid")) == {"mean", "mean_1"}


def test_inputs_as_tuple_or_by_name():
    model, (image, facts) = ALL["two_inputs"].build()
    by_place = module_graph(model, (image, facts))
    by_name = module_graph(model, {"facts": facts, "image": image})
    assert nx.utils.graphs_equal(by_place, by_name)
    assert by_name.nodes["facts"]["shapes"] == [(2, 4)]
    with pytest.raises(TypeError, match="facts"):
        module_graph(model, image)


class Options(nn.Module):
    """A module whose path depends on flags, None and options."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x, mask=None, flag=True, **options):
        if mask is not None:
            x = x * mask
        return (self.fc(x) if flag else x) * options.get("scale", 2.0)


X = torch.ones(1, 3)


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (None, ["x", "Linear", "mul", "output"]),
        (X, ["x", "Linear", "mul", "output"]),
        ((X, None, False), ["x", "mul", "output"]),
        ({"x": X, "mask": None, "flag": True, "scale": 3}, ["x", "Linear", "mul", "output"]),
        ((X, X, False), ["x", "mask", "mul", "mul", "output"]),
    ],
)
def test_only_tensors_are_inputs(example, expected):
    assert labels(module_graph(Options(), example)) == expected


class Effects(nn.Module):
    """Layers that are called for what they do in place, and one whose result nobody uses."""

    def __init__(self):
        super().__init__()
        self.main, self.side, self.part, self.unused = (nn.Conv2d(3, 3, 1) for _ in range(4))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.main(x)
        y.add_(self.side(x))
        self.relu(y)
        y[:, :, :4].mul_(self.part(x[:, :, :4]))
        self.unused(x)
        return y + x


def test_what_works_in_place_is_linked_to_what_comes_after():
    graph = module_graph(Effects(), torch.rand(1, 3, 8, 8))
    assert {layer for _, layer in graph.nodes(data="layer")} == {"", "main", "side", "relu", "part"}
    along = ["main", "add_", "relu", "getitem", "mul_", "add", "output"]
    assert set(pairwise(along)) <= set(graph.edges)
    assert set(graph.predecessors("mul_")) == {"getitem", "part"}
    assert set(graph.predecessors("add")) == {"mul_", "x"}
    everything = module_graph(Effects())  # without an example nothing is left out
    assert {"add_", "relu", "mul_", "unused"} <= set(everything)


def test_depth_closes_blocks():
    model = torchvision.models.resnet18()
    example = torch.rand(1, 3, 64, 64)
    outermost = module_graph(model, example, depth=1)
    assert [outermost.nodes[f"layer{i}"]["kind"] for i in range(1, 5)] == ["block"] * 4
    blocks = module_graph(model, example, depth=2)
    assert [data["layer"] for _, data in blocks.nodes.items() if data["kind"] == "block"] == [
        f"layer{i}.{j}" for i in range(1, 5) for j in range(2)
    ]
    assert blocks.nodes["layer2_0"]["label"] == "BasicBlock"
    assert blocks.nodes["layer2_0"]["shapes"] == [(1, 128, 8, 8)]
    everything = module_graph(model, example)
    additions = [data["label"] for _, data in everything.nodes.items()].count("add")
    assert additions == 8
    with pytest.raises(ValueError, match="depth must be 1"):
        module_graph(model, example, depth=0)


def test_without_an_example_there_are_no_shapes():
    graph = module_graph(Plain())
    assert set(graph.nodes) == set(module_graph(Plain(), torch.rand(1, 3, 16, 16)).nodes)
    assert all(shapes == [] for _, shapes in graph.nodes(data="shapes"))


class Caching(nn.Module):
    """Keeps what it computed, as LeViT does, and writes into what it is given."""

    def __init__(self):
        super().__init__()
        self.fc, self.cache, self.kept, self.seen = nn.Linear(3, 3), {}, None, [1]

    def forward(self, x):
        if "bias" not in self.cache:
            self.cache["bias"] = self.fc.bias * 2
        self.kept = x.sub_(0.5)
        self.seen.append(x)
        return self.fc(x) + self.cache["bias"]


def test_no_cache_is_left_in_the_model_and_the_input_is_not_written_to():
    model, x = Caching(), torch.ones(2, 3)
    graph = module_graph(model, x)
    assert "sub_" in graph
    assert (model.cache, model.kept, model.seen) == ({}, None, [1])
    assert (x == 1).all()
    pickle.dumps(model)


def test_an_interrupted_trace_leaves_nothing_patched(monkeypatch):
    fx = torch.fx._symbolic_trace
    put_back = fx._Patcher.revert_all_patches

    def interrupted(patcher):
        """Ctrl-C comes before the first two are put back: how a module is called, and asked."""
        put_back(patcher)
        for patched in patcher.patches_made[:2]:
            patched.patch()
        assert before != (nn.Module.__call__, nn.Module.__getattr__)
        raise KeyboardInterrupt

    monkeypatch.setattr(fx, "CURRENT_PATCHER", None)
    monkeypatch.setattr(fx._Patcher, "revert_all_patches", interrupted)
    before = nn.Module.__call__, nn.Module.__getattr__
    with pytest.raises(KeyboardInterrupt):
        module_graph(Plain())
    assert before == (nn.Module.__call__, nn.Module.__getattr__)


# --- errors -----------------------------------------------------------------------------------


def test_control_flow_is_explained_with_the_line_and_the_other_way():
    model, inputs = ALL["control_flow"].build()
    with pytest.raises(ValueError, match=r"torch\.fx cannot follow ControlFlow") as error:
        module_graph(model, inputs)
    message = str(error.value)
    assert "branch = self.bright if x.mean() > 0.25 else self.dark" in message
    assert "add_graph (lesson 06)" in message
    assert isinstance(error.value.__cause__, torch.fx.proxy.TraceError)


def test_the_line_is_found_in_torchvision_too():
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None
    )
    with pytest.raises(ValueError, match="for img in images:"):
        module_graph(model)


def test_a_path_inside_of_torch_has_no_line_to_show():
    with pytest.raises(ValueError, match=r"cannot follow LSTM .* tensors\.\nTraceError: "):
        module_graph(nn.LSTM(4, 5))


def test_depth_helps_where_the_control_flow_is_inside():
    model = nn.Sequential(ControlFlow(), nn.ReLU())
    with pytest.raises(ValueError, match="depth=1"):
        module_graph(model)
    assert labels(module_graph(model, depth=1)) == ["input", "ControlFlow", "ReLU", "output"]


def test_a_model_that_fails_on_the_example():
    model, inputs = BROKEN["wrong_linear"].build()
    with pytest.raises(RuntimeError, match="fails on this example at 'fc1'") as error:
        module_graph(model, inputs)
    assert "While executing" not in str(error.value)
    assert len(module_graph(model)) == 12  # without an example it is never run


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_only_models_and_only_graphs():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        module_graph({})
    with pytest.raises(TypeError, match="scripted or traced"):
        module_graph(torch.jit.trace(nn.ReLU(), torch.ones(1)))
    with pytest.raises(TypeError, match="what module_graph returns"):
        draw_graph(Plain())
    for graph in (nx.DiGraph(), nx.DiGraph([("a", "b")])):
        with pytest.raises(ValueError, match="must come from module_graph"):
            draw_graph(graph)


# --- the drawing ------------------------------------------------------------------------------


def boxes_of(ax) -> list[tuple[float, float, float, float]]:
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    return [
        (b.get_x(), b.get_y(), b.get_x() + b.get_width(), b.get_y() + b.get_height()) for b in boxes
    ]


def inside(box, x, y) -> np.ndarray:
    left, top, right, bottom = box
    slack = 0.01
    return (left + slack < x) & (x < right - slack) & (top + slack < y) & (y < bottom - slack)


@pytest.mark.parametrize("name", [*TRACEABLE, "inception"])
def test_boxes_stand_apart_and_no_arrow_crosses_one(name):
    if name == "inception":
        network = torchvision.models.googlenet(init_weights=False, aux_logits=False)
        graph = module_graph(network.inception3a, torch.rand(1, 192, 4, 4))
    else:
        graph = graph_of(name)
    (ax,) = draw_graph(graph).axes
    boxes = boxes_of(ax)
    assert len(boxes) == len(graph)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == graph.number_of_edges()
    for arrow in arrows:
        line = arrow._path_original.interpolated(1).to_polygons(closed_only=False)[0]
        steps = np.linspace(0, 1, 50)[:, None]
        points = np.concatenate([a + steps * (b - a) for a, b in pairwise(line)])
        assert not any(inside(box, *points.T).any() for box in boxes)
        touched = [box for box in boxes if touches(box, line[0]) or touches(box, line[-1])]
        assert len(touched) == 2


def touches(box, point) -> bool:
    left, top, right, bottom = box
    x, y = point
    return left - 0.01 <= x <= right + 0.01 and top - 0.01 <= y <= bottom + 0.01


@pytest.mark.parametrize("name", ["residual", "vit", "functional", "dict_output"])
def test_text_is_complete_and_fits_into_its_box(name):
    graph = graph_of(name)
    (ax,) = draw_graph(graph).axes
    to_inches = ax.transData.inverted()
    extents = [text.get_window_extent().transformed(to_inches) for text in ax.texts]
    for data, text, box, drawn in zip(
        graph.nodes.values(), ax.texts, boxes_of(ax), extents, strict=True
    ):
        words = text.get_text().split()
        shapes = ", ".join("×".join(map(str, shape)) for shape in data["shapes"])
        assert words == [*filter(None, (data["layer"], data["label"])), *shapes.split()]
        assert box[0] < drawn.x0 < drawn.x1 < box[2]
        assert box[1] < (drawn.y0 + drawn.y1) / 2 < box[3]


def test_everything_lies_within_the_picture_and_nothing_behind_the_legend():
    figure = draw_graph(graph_of("residual"))
    figure.canvas.draw()
    (ax,) = figure.axes
    legend = ax.get_legend()
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["convolution", "normalization", "activation", "function, no layer", "linear"]
    behind = legend.get_window_extent()
    for extent in [behind, *(patch.get_window_extent() for patch in ax.patches)]:
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.x1
        assert 0 <= extent.y0 < extent.y1 <= figure.bbox.y1
        assert extent is behind or not extent.overlaps(behind)


def test_names_are_no_formulas():
    graph = nx.DiGraph()
    graph.add_node("x", kind="block", layer=r"$\bad{$", label="Block", shapes=[])
    assert to_png(draw_graph(graph))


def test_the_same_picture_every_time_and_pyplot_is_left_alone():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    first, second = (to_png(draw_graph(graph_of("residual"))) for _ in range(2))
    assert first == second
    assert plt.get_fignums() == before


def test_a_notebook_shows_the_picture_and_says_what_it_is(capsys):
    draw_graph(graph_of("residual"))._ipython_display_()
    assert "graph: 19 boxes, 20 arrows" in capsys.readouterr().out
