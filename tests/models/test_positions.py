import math

import torch

from project.models.components.positions import sincos_positions

CPU = torch.device("cpu")


def test_half_of_the_channels_tells_the_row_and_half_the_column() -> None:
    expected = [
        [wave(place * frequency) for place in (row, column) for wave in (math.sin, math.cos) for frequency in (1, 0.01)]
        for row in range(2)
        for column in range(3)
    ]
    torch.testing.assert_close(sincos_positions(2, 3, 8, CPU), torch.tensor(expected))


def test_no_two_patches_are_at_one_position() -> None:
    positions = sincos_positions(14, 14, 384, CPU)
    assert torch.pdist(positions).min() > 0.1
    assert positions.abs().max() <= 1
