"""What somebody without mouse, with weak sight or with a screen reader would miss on a page."""

import re

from playwright.sync_api import Locator

# Roles that are operated, as Playwright's snapshot of the accessibility tree writes them.
NAMELESS = re.compile(
    r"^ *- (?:button|checkbox|combobox|listbox|option|radio|searchbox|slider|spinbutton|switch|tab"
    r"|textbox|tree|treeitem)(?= \[|:|$).*$",
    re.MULTILINE,
)
# Texts whose contrast with what lies behind them is below WCAG's 4.5.
TOO_PALE = """elements => elements.filter(element => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    layers.unshift(numbers(getComputedStyle(e).backgroundColor));
  }
  const behind = layers.reduce(
    (below, [r, g, b, a = 1]) => [r, g, b].map((v, k) => a * v + (1 - a) * below[k]),
    [255, 255, 255]);
  const light = rgb => rgb.slice(0, 3).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
}).map(element => element.textContent).filter(text => text.trim())"""
# Elements with words of their own that can be seen; what is switched off may be pale.
WITH_WORDS = """root => [root, ...root.querySelectorAll('*')].filter(element =>
  element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  && !element.closest(':disabled, [aria-disabled=true], svg')
  && [...element.childNodes].some(
    node => node.nodeType === Node.TEXT_NODE && node.data.trim()))"""


def nameless(place: Locator) -> list[str]:
    """List the controls that a screen reader could not name."""
    return [line.strip() for line in NAMELESS.findall(place.aria_snapshot())]


def too_pale(place: Locator) -> list[str]:
    """List the visible texts with too little contrast."""
    return place.evaluate(f"root => ({TOO_PALE})(({WITH_WORDS})(root))")
