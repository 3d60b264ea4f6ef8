"""The grid pointing game, against a grid and shares that were written down by hand."""

import numpy as np
import pytest
import torch

from vizhelpers.attribution import grid_pointing, photo_grid, score_maps


def test_photos_stand_row_by_row_and_each_cell_marks_its_own():
    # Six pictures of one colour each, 2 high and 1 wide: which colour stands where?
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 2, 1)
    grid = photo_grid(images, torch.arange(10, 16), rows=2, cols=3)
    expected = torch.tensor([[0.0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]])
    assert torch.equal(grid.image, expected.expand(3, 4, 3))
    assert torch.equal(grid.cells, expected == torch.arange(6)[:, None, None])
    assert grid.labels.tolist() == [10, 11, 12, 13, 14, 15]


def test_each_photo_keeps_its_pixels():
    images = torch.rand(4, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    grid = photo_grid(images, torch.zeros(4, dtype=torch.int64))
    assert grid.image.shape == (3, 10, 14)
    for image, cell in zip(images, grid.cells, strict=True):
        assert torch.equal(grid.image[:, cell].reshape(3, 5, 7), image)


def test_share_of_the_positive_sum_in_the_own_cell():
    cells = torch.tensor([[[1, 0], [0, 0]]]).bool().expand(4, 2, 2)
    maps = torch.tensor(
        [
            [[3.0, 1.0], [0.0, 2.0]],  # 3 of 6
            [[-5.0, 1.0], [1.0, 2.0]],  # nothing of 4: what is negative does not count
            [[1.0, -9.0], [3.0, -9.0]],  # 1 of 4: nor does it elsewhere
            [[-1.0, 0.0], [0.0, 0.0]],  # no positive sum to have a share of
        ]
    )
    shares = grid_pointing(maps, cells)
    assert shares[:3].tolist() == [0.5, 0.0, 0.25]
    assert shares[3].isnan()
    assert torch.equal(grid_pointing(7 * maps.numpy(), cells.numpy())[:3], shares[:3])


def test_it_is_the_energy_score_with_the_cell_as_mask_and_chance_is_a_quarter():
    generator = torch.Generator().manual_seed(0)
    grid = photo_grid(torch.rand(4, 3, 6, 6, generator=generator), torch.arange(4))
    maps = torch.rand(4, 12, 12, generator=generator)
    expected = score_maps(maps, grid.cells.float()).energy
    torch.testing.assert_close(grid_pointing(maps, grid.cells), expected)
    # A map that does not depend on the question scores a quarter on average, whatever it shows.
    assert grid_pointing(maps[:1].expand(4, -1, -1), grid.cells).mean() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("images", "labels", "shape"),
    [
        (torch.rand(3, 3, 4, 4), torch.arange(3), {}),
        (torch.rand(4, 3, 4, 4), torch.arange(3), {}),
        (torch.rand(4, 3, 4, 4), torch.arange(4), {"cols": 3}),
        (torch.rand(4, 3, 4, 4), torch.arange(4), {"rows": -2, "cols": -2}),
    ],
)
def test_as_many_images_and_labels_as_cells(images, labels, shape):
    with pytest.raises(ValueError, match="need as many images and labels"):
        photo_grid(images, labels, **shape)


def test_maps_and_cells_must_match():
    cells = photo_grid(np.zeros((4, 3, 2, 2), np.float32), torch.arange(4)).cells
    with pytest.raises(ValueError, match="Resize them"):
        grid_pointing(torch.rand(4, 2, 2), cells)
