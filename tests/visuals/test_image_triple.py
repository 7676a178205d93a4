import pytest
import torch

from project.visuals.image_triple import ImageTriple


def test_one_row_per_sample() -> None:
    image, prediction, target = torch.rand(3, 2, 3, 5, 6)
    picture = ImageTriple()(image, prediction, target)
    assert picture.shape == (3, 2 * 5 + 4, 3 * 6 + 2 * 4)
    gaps = torch.ones(14, 26, dtype=torch.bool)
    for row in range(2):
        for column, pictures in enumerate((image, prediction, target)):
            area = slice(9 * row, 9 * row + 5), slice(10 * column, 10 * column + 6)
            assert torch.equal(picture[:, *area], pictures[row])
            gaps[area] = False
    assert (picture[:, gaps] == 1).all()


def test_one_channel_is_grey() -> None:
    image, prediction, target = torch.rand(3, 1, 1, 5, 6)
    picture = ImageTriple()(image, prediction, target)
    assert picture.shape == (3, 5, 26)
    assert torch.equal(picture[:, :, 10:16], prediction[0].expand(3, -1, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_clamped_to_0_and_1(dtype: torch.dtype) -> None:
    pictures = [torch.full((1, 3, 2, 2), value, dtype=dtype) for value in (-3.0, 0.5, 7.0)]
    picture = ImageTriple()(*pictures)
    assert picture.dtype == torch.float32
    assert picture[0, 0, [0, 6, 12]].tolist() == [0, 0.5, 1]
