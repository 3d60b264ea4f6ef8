"""Charts of scores: dots and intervals at their values, against SciPy's, and told apart twice."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from scipy.stats import binomtest

from vizhelpers.attribution import interval
from vizhelpers.charts import show_scores
from vizhelpers.figures import new_figure, to_png

ONE = {"Grad-CAM": (0.95, 0.88, 1.0), "Score-CAM": (0.5, 0.4, 0.7), "centre": 0.68}
TWO = {
    "trained": {"layer1": (1.6, 1.1, 2.2), "layer4": (2.2, 1.6, 2.9)},
    "untrained": {"layer1": (1.3, 1.0, 2.0), "layer4": (1.3, 1.1, 1.5), "fc": 1.0},
}


def dots(ax):
    """Value, height, colour and marker of each dot."""
    return [
        (
            round(line.get_xdata()[0], 6),
            line.get_ydata()[0],
            to_hex(line.get_color()),
            line.get_marker(),
        )
        for line in ax.lines
        if len(line.get_xdata()) == 1
    ]


def ends(ax):
    """Both ends of each interval."""
    pairs = [line.get_xdata() for line in ax.lines if line.get_linestyle() == "-"]
    return [pair for pair in pairs if len(pair) == 2 and np.isfinite(pair).all()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_dots_and_intervals_lie_at_their_values_from_top_to_bottom():
    ax = show_scores(ONE, title="Which is best?", xlabel="hits")
    found = dots(ax)
    assert [value for value, *_ in found] == [0.95, 0.5, 0.68]
    heights = [ax.transData.transform((0, down))[1] for _, down, *_ in found]
    assert heights == sorted(heights, reverse=True)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert dict(zip(names, ax.get_yticks(), strict=True)) == {
        name: down for name, (_, down, *_) in zip(ONE, found, strict=True)
    }
    np.testing.assert_allclose(ends(ax), [[0.88, 1], [0.4, 0.7]])
    assert texts(ax) == ["0.95", "0.5", "0.68"]
    for (value, down, *_), text in zip(found, ax.texts, strict=True):
        assert text.get_window_extent().x0 > ax.transData.transform((value, down))[0] + 5


def test_a_value_that_is_small_beside_its_interval_has_only_digits_that_mean_something():
    ax = show_scores({"a": (-0.00489, -0.15, 0.14), "b": (0.0208, -0.1, 0.14), "c": -0.00489})
    assert texts(ax) == ["0", "0.02", "−0.00489"]


def test_series_differ_in_colour_and_marker_and_a_lone_one_stands_in_the_middle():
    ax = show_scores(TWO)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["trained", "untrained"]
    shown = ax.get_legend().get_lines()
    looks = [(to_hex(line.get_color()), line.get_marker()) for line in shown]
    (one, two), found = looks, dots(ax)
    assert one[0] != two[0]
    assert one[1] != two[1]
    assert [(value, look) for value, _, *look in found] == [
        (1.6, [*one]), (1.3, [*two]), (2.2, [*one]), (1.3, [*two]), (1.0, [*two])
    ]  # fmt: skip
    middles, downs = ax.get_yticks(), [down for _, down, *_ in found]
    assert downs[0] < middles[0] < downs[1]
    assert downs[4] == middles[2]
    assert show_scores(ONE).get_legend() is None


def test_measurements_become_a_mean_with_the_interval_of_the_metrics():
    values = torch.rand(30, generator=torch.Generator().manual_seed(0))
    ax = show_scores({"a": values, "b": values.numpy(), "c": values.tolist()})
    assert [value for value, *_ in dots(ax)] == pytest.approx([values.mean().item()] * 3)
    np.testing.assert_allclose(ends(ax), [interval(values)] * 3, atol=1e-6)


@pytest.mark.parametrize(("right", "count"), [(20, 20), (3, 50), (0, 8), (10, 20)])
def test_right_and_wrong_get_wilsons_interval(right, count):
    answers = torch.arange(count) < right
    ax = show_scores({"accuracy": answers}, percent=True)
    expected = binomtest(right, count).proportion_ci(method="wilson")
    np.testing.assert_allclose(ends(ax), [[expected.low, expected.high]], atol=1e-6)
    assert texts(ax) == [f"{right / count:.0%}".replace("%", " %")]


def test_references_are_dotted_lines_whose_names_do_not_cover_each_other():
    lines = {"chance": 0.1, "centre of the picture": 0.13, "always": 0.9}
    ax = show_scores(ONE, reference=lines, percent=True)
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert sorted(dotted) == [0.1, 0.13, 0.9]
    names = [text for text in ax.texts if text.get_text() in lines]
    boxes = {text.get_text(): text.get_window_extent() for text in names}
    assert not boxes["chance"].overlaps(boxes["centre of the picture"])
    assert boxes["chance"].y0 == boxes["always"].y0
    for name, box in boxes.items():
        middle = (box.x0 + box.x1) / 2
        assert middle == pytest.approx(ax.transData.transform((lines[name], 0))[0], abs=1)
    assert "95 %" in texts(ax)
    assert "80 %" in [label.get_text() for label in ax.get_xticklabels()]


def test_the_axis_shows_all_and_shares_from_0_to_1():
    low, high = show_scores(ONE).get_xlim()
    assert -0.05 < low < 0
    assert 1 < high < 1.05
    low, high = show_scores({"a": (-2, -3, 5)}, reference={"far": 40}).get_xlim()
    assert low < -3
    assert high > 40


def test_no_text_is_cut_off_and_given_axes_are_used():
    for ax in (
        show_scores(ONE, reference={"a": 0.1, "b": 0.101}, title="Title", xlabel="x", percent=True),
        show_scores(TWO, title="Title"),
        show_scores({"a very long name of a layer, features.denseblock1": 1e-5}),
    ):
        figure = ax.figure
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()
        assert figure.get_figwidth() <= 10.8
    left, right = new_figure(9, 3).subplots(1, 2)
    assert show_scores(ONE, ax=left) is left
    assert show_scores(TWO, ax=right) is right
    assert to_png(left)


@pytest.mark.parametrize(
    ("scores", "error", "words"),
    [
        ([0.9, 0.8], TypeError, "must be a mapping"),
        ({}, ValueError, "no scores"),
        ({"a": {}}, ValueError, "no scores"),
        ({"a": (0.9, 0.8)}, ValueError, r"\(value, low, high\) or four"),
        ({"a": torch.zeros(2, 5)}, ValueError, r"not \[2, 5\]"),
        ({"a": (0.5, 0.6, 0.7)}, ValueError, r"must be \(value, low, high\)"),
        ({"a": float("nan")}, ValueError, "finite"),
        ({"a": "high"}, TypeError, "real numbers"),
        ({"a": 1.0, "b": {"c": 1.0}}, ValueError, "not both"),
        ({str(i): {"a": 1.0} for i in range(7)}, ValueError, "7 series"),
    ],
)
def test_what_is_no_score_is_explained(scores, error, words):
    with pytest.raises(error, match=words):
        show_scores(scores)
