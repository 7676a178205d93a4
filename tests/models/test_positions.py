import math

import torch

from project.models.components.positions import sincos_positions

CPU = torch.device("cpu")


def test_half_of_the_channels_encode_the_row_and_half_the_column() -> None:
    expected = [
        [wave(index * frequency) for index in (row, column) for wave in (math.sin, math.cos) for frequency in (1, 0.01)]
        for row in range(2)
        for column in range(3)
    ]
    torch.testing.assert_close(sincos_positions(2, 3, 8, CPU), torch.tensor(expected))


def test_position_embeddings_are_distinct() -> None:
    positions = sincos_positions(14, 14, 384, CPU)
    assert torch.pdist(positions).min() > 0.1
    assert positions.abs().max() <= 1
