"""The decision tree of lesson 07: everything on its page can be read."""

from itertools import pairwise

import pytest
from matplotlib.text import Text

from vizhelpers.lessons.lesson_07.decision_tree import PLACES, TREE, WIDE, draw_decision_tree


@pytest.fixture(scope="module")
def page():
    figure = draw_decision_tree()
    figure.draw_without_rendering()
    return figure


def inches(text: Text):
    return text.get_window_extent().transformed(text.axes.transData.inverted())


def test_each_row_of_the_tree_is_on_the_page_once_under_its_number(page):
    said = [text.get_text() for text in page.axes[0].texts]
    leaves = [leaf for group in TREE.values() for leaf in group]
    for number, leaf in enumerate(leaves, start=1):
        assert [said.count(words) for words in (str(number), *leaf)] == [1, 1, 1, 1]


def test_no_text_leaves_its_column_or_its_row(page):
    ends = [*(place - 0.12 for place in PLACES[1:]), WIDE - 0.06]
    boxes = [inches(text) for text in page.axes[0].texts]
    for box in boxes:
        (end,) = {min(end for end in ends if end > box.x0)}
        assert box.x1 <= end
    lines = sorted(boxes, key=lambda box: (round(box.x0, 1), box.y0))
    for above, below in pairwise(lines):
        if abs(above.x0 - below.x0) < 0.01:
            assert max(above.y0, above.y1) <= min(below.y0, below.y1)
