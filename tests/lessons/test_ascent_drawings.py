"""Drawings of lesson 05's second part: what they show is what they were given."""

import numpy as np
import pytest
import torch

from vizhelpers.lessons.lesson_05 import ascent_drawings as drawings


def test_waves_added_up_are_the_picture_and_one_wave_alone_is_the_strongest() -> None:
    up, across = torch.meshgrid(torch.arange(16) / 16, torch.arange(16) / 16, indexing="ij")
    slow, quick = torch.cos(2 * torch.pi * across), torch.cos(2 * torch.pi * 3 * up)
    picture = (0.5 + 0.3 * slow + 0.1 * quick).expand(3, -1, -1)
    axes = drawings.draw_waves(picture, [1, 3]).axes
    shown = [torch.tensor(np.array(ax.images[0].get_array())) for ax in axes]
    expected = (0.5 + slow / 2, 0.5 + quick / 2, 0.5 + 0.3 * slow, picture[0])
    for drawn, wanted in zip(shown, expected, strict=True):
        assert torch.allclose(drawn[..., 0], wanted, atol=1e-5)


def test_stars_stand_at_how_many_times_the_strongest_real_picture() -> None:
    real = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
    ax = drawings.draw_stars(real, torch.tensor([6.0, 1.0]), [2, 7]).axes[0]
    dots, star, more_dots, other = (np.asarray(group.get_offsets()) for group in ax.collections)
    assert dots[:, 0].tolist() == pytest.approx([0.25, 1])
    assert more_dots[:, 0].tolist() == pytest.approx([-4, 1])
    assert (star[0].tolist(), other[0].tolist()) == ([3, 0], [4, 1])
    assert [text.get_text() for text in ax.texts] == ["3.0 ×", "4.0 ×"]
