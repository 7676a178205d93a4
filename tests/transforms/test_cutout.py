import pytest
import torch

from project.transforms.cutout import Cutout


@pytest.mark.parametrize(("size", "before", "after"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1)])
def test_every_picture_loses_one_of_all_squares(size: int, before: int, after: int) -> None:
    torch.manual_seed(0)
    image = torch.rand(600, 2, 5, 6)
    result = Cutout(size, fill=-1.0)({"image": image})["image"]
    squares = set()
    for row in range(5):
        for column in range(6):
            mask = torch.zeros(5, 6, dtype=torch.bool)
            mask[max(row - before, 0) : row + after + 1, max(column - before, 0) : column + after + 1] = True
            squares.add(tuple(mask.flatten().tolist()))
    blank = result == -1
    assert torch.equal(blank[:, 0], blank[:, 1])  # all channels
    assert {tuple(mask) for mask in blank[:, 0].flatten(1).tolist()} == squares  # all squares occur, and nothing else
    assert torch.equal(result[~blank], image[~blank])


@pytest.mark.parametrize(("size", "expected"), [(0, 1.0), (100, 0.0)])
def test_size_0_changes_nothing_and_a_large_size_everything(size: int, expected: float) -> None:
    result = Cutout(size)({"image": torch.ones(20, 3, 5, 6)})["image"]
    assert (result == expected).all()
