"""The explorer's saved page in a real browser, opened from disk: by mouse, keys, on paper."""

import base64
import re

import pytest
import torch
from playwright.sync_api import Page
from torch import nn

from vizhelpers.figures import compressed
from vizhelpers.widgets.explorer import explore

VISIBLE = "articles => articles.filter(a => a.checkVisibility()).map(a => a.dataset)"


@pytest.fixture(scope="module", name="report")
def open_report(page: Page, tmp_path_factory: pytest.TempPathFactory):
    """The page, on which nothing was asked of any other computer, and the explorer it is from."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    pictures = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4), 32, mode="bilinear")
    explorer = explore(model, pictures, layer="1.0", pane="layer")
    path = explorer.save_html(
        tmp_path_factory.mktemp("report") / "report.html",
        layers=["0.0", "1.0"],
        panes=["layer", "kernels", "maps", "saliency"],
    )
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.get_by_role("treeitem").first.wait_for()
    yield page, explorer
    assert not said
    assert {re.split("[:,]", url)[0] for url in asked} <= {"file", "data", "blob"}


def shown(page):
    """Layer, pane and picture of what can be seen."""
    articles = page.locator("article").evaluate_all(VISIBLE)
    return [(a["layer"], a["pane"], a["picture"]) for a in articles]


def test_tree_tabs_and_pictures_choose_one_pane(report):
    page, explorer = report
    assert shown(page) == [("1.0", "layer", "*")]
    page.get_by_role("tab", name="Feature maps").click()
    assert shown(page) == [("1.0", "maps", "0")]
    page.get_by_role("treeitem", name=re.compile("^0.0")).click()
    page.get_by_role("radio").nth(1).click()
    assert shown(page) == [("0.0", "maps", "1")]
    content = explorer.pane_content("0.0", "maps", 1)
    images = page.locator("article:visible img")
    for k, png in enumerate([*content.beside, content.png]):
        mime, data = compressed(png)
        source = f"data:{mime};base64,{base64.b64encode(data).decode()}"
        assert images.nth(k).get_attribute("src") == source
        assert images.nth(k).evaluate("image => image.naturalWidth") > 100
    page.get_by_role("tab", name="Saliency").click()
    assert shown(page) == [("*", "saliency", "1")]
    assert explorer.subject.answer(1) in page.locator("main").inner_text()


def test_keys_and_search(report):
    page, _ = report
    page.get_by_role("tab", name="Saliency").press("Home")
    assert shown(page)[0][1] == "layer"
    page.keyboard.press("ArrowRight")
    assert shown(page)[0][1] == "kernels"
    search = page.get_by_label("Search layers")
    search.fill("conv2d")
    assert page.get_by_text("2 of 10 layers").is_visible()
    search.press("Enter")
    assert shown(page) == [("0.0", "kernels", "*")]
    page.keyboard.press("End")
    assert shown(page) == [("1.0", "kernels", "*")]
    search.press("Escape")


def test_a_layer_that_was_not_saved_says_which_were(report):
    page, _ = report
    page.get_by_role("treeitem", name=re.compile("^4: Linear")).click()
    assert shown(page) == []
    assert "No pictures of 4 were saved" in page.locator("#absent").inner_text()
    page.locator("#absent").get_by_role("button", name="0.0").click()
    assert shown(page) == [("0.0", "kernels", "*")]


def test_narrow_dark_and_on_paper(report):
    page, explorer = report
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.emulate_media(media="print", color_scheme="dark")
    assert len(shown(page)) == page.locator("article").count() == 2 * (2 + 2) + 2
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
    assert all(explorer.subject.answer(k) in page.locator("main").inner_text() for k in (0, 1))
    page.emulate_media(media="screen", color_scheme="light")
