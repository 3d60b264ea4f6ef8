"""The kernel slider on the page of a real browser: where to point, and what it says."""

import json

import numpy as np
from playwright.sync_api import Locator
from support.lab import ask
from support.picker_page import View

# The lesson's slider, and some small ones of all kinds, as a cell makes them.
CELL = """
import torch, vizhelpers as vh
from IPython.display import display
image = vh.normalize(vh.load_scenes()["cat_on_sea_0"].image)
conv = vh.load_model("resnet18").conv1
slider = vh.kernel_slider(image, conv, channel=1)
torch.manual_seed(0)
convs = [
    torch.nn.Conv2d(8, 4, (3, 5), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2),
    torch.nn.Conv2d(1, 2, 4, stride=3, bias=False),
    torch.nn.Conv2d(3, 2, (2, 3), padding="same"),
    torch.nn.Conv2d(6, 6, 1, padding=1, groups=6),
]
images = [torch.randn(some.in_channels, 11, 14) for some in convs]
small = [vh.kernel_slider(each, some, 1) for each, some in zip(images, convs)]
display(slider, *small)
"""
# Without anything of the slider's: plain PyTorch, on a padded copy.
BY_HAND = """
import json, torch
def by_hand(image, conv, channel, row, column):
    around = [side for side in conv._reversed_padding_repeated_twice]
    padded = torch.nn.functional.pad(image, around)
    windows = torch.nn.functional.unfold(padded, conv.kernel_size, conv.dilation, 0, conv.stride)
    maps = torch.nn.functional.conv2d(
        padded, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups
    ).detach()
    each = conv.in_channels // conv.groups
    first = channel // (conv.out_channels // conv.groups) * each
    windows = windows.reshape(len(padded), *conv.kernel_size, *maps.shape[1:])
    patch = windows[first : first + each, :, :, row, column]
    weight = conv.weight[channel].detach()
    products = (patch * weight).flatten(1).tolist()
    return [maps[channel].tolist(), products, patch.tolist(), weight.tolist()]
print(json.dumps(by_hand({})))
"""
PIXELS = """(canvas, [rows, columns]) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const middle = (index, count, side) => Math.floor(((index + 0.5) * side) / count);
  return Array.from({ length: rows * columns }, (_, index) => {
    const y = middle(Math.floor(index / columns), rows, height);
    const x = middle(index % columns, columns, width);
    return [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 4)];
  });
}"""


class Slider(View):
    """A slider on the page; the first one of the cell is `slider` in the kernel."""

    def __init__(self, element: Locator) -> None:
        super().__init__(element)
        self.root = element.locator(".vh-slide")
        self.picture = element.get_by_role("slider", name="Place of the kernel in the picture")
        self.map = element.get_by_role("slider", name="Place in the feature map")
        self.patch = element.get_by_role("slider", name="One pixel of the patch")
        self.number = element.get_by_label("Output channel")
        self.plane = element.get_by_label("Input channel")
        self.fill = element.get_by_role("button", name="Fill the map")
        self.again = element.get_by_role("button", name="Start again")
        self.said = element.get_by_role("status")

    def says(self, name: str) -> str:
        return self.root.get_attribute(f"data-{name}") or ""

    def shows(self, name: str, value: str) -> Locator:
        """The slider, once it says this."""
        return self.element.locator(f'.vh-slide[data-{name}="{value}"]')

    def place(self) -> tuple[int, int]:
        return int(self.says("row")), int(self.says("column"))

    def spot(self, row: int, column: int) -> dict[str, float]:
        """The middle of the window of a place, in the picture: stride 2, padding 3, kernel 7."""
        box = self.picture.bounding_box()
        assert box
        zoom = box["width"] / (128 + 3 + 3)
        return {"x": (2 * column + 3.5) * zoom, "y": (2 * row + 3.5) * zoom}

    def point(self, row: int, column: int, *, click: bool = False) -> None:
        act = self.picture.click if click else self.picture.hover
        act(position=self.spot(row, column), force=True)

    def by_hand(self, given: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The whole map; products, pixels and weights of a place, each with its channels first."""
        row, column = self.place()
        code = BY_HAND.replace("{}", f"{given}, {self.says('channel')}, {row}, {column}")
        feature_map, products, patch, weight = json.loads(ask(self.page, code))
        return tuple(map(np.array, (feature_map, products, patch, weight)))  # type: ignore[return-value]

    def assert_adds_up(self, given: str = "image, conv") -> None:
        """The page's numbers are PyTorch's own."""
        feature_map, products, *_ = self.by_hand(given)
        value = feature_map[self.place()]
        np.testing.assert_allclose(float(self.says("value")), value, atol=2e-5)
        plane = int(self.says("plane"))
        shown = products.sum(axis=0) if plane < 0 else products[plane]
        found = [float(one) for one in self.says("products").split()]
        np.testing.assert_allclose(found, shown, atol=2e-5)
        said = self.root.locator(".vh-slide-total").inner_text().replace("−", "-")[2:]
        assert abs(float(said) - value) < 0.00051
        row, column = self.place()
        for slider in self.picture, self.map:
            assert slider.get_attribute("aria-valuenow") == str(row * feature_map.shape[1] + column)
            spoken = slider.get_attribute("aria-valuetext") or ""
            assert spoken.replace("−", "-") == f"row {row}, column {column}: {said}"

    def assert_known_to_python(self) -> None:
        at, value = self.ask("[slider.at, slider.value]")
        assert tuple(at) == self.place()
        np.testing.assert_allclose(float(self.says("value")), value, atol=2e-5)

    def colours(self, shape: tuple[int, ...]) -> np.ndarray:
        """The map's canvas, [rows, columns, 4], at the middle of each place."""
        return np.array(self.map.evaluate(PIXELS, list(shape))).reshape(*shape, 4)
