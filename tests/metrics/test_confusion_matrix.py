import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from project.core.errors import ConfigError
from project.metrics.confusion_matrix import ConfusionMatrix

WHITE, BLUE, BETWEEN, MARGIN = [255, 255, 255], [31, 119, 180], [143, 187, 217], [230, 230, 230]


def cell(picture: Tensor, row: int, column: int) -> Tensor:
    """Return the pixels of a cell; row 0 and column 0 are the margins, class 0 is at 1."""
    return picture[:, 32 * row : 32 * (row + 1), 32 * column : 32 * (column + 1)]


def test_rows_are_true_and_columns_predicted_classes() -> None:
    metric = ConfusionMatrix(3)
    guess, label = torch.tensor([0, 1, 1, 2, 2, 0]), torch.tensor([0, 0, 1, 2, 2, 2])
    for rows in (slice(1), slice(1, None)):
        metric.update(F.one_hot(guess[rows], 3).float(), label[rows])
    assert metric.compute().tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_the_blue_of_a_cell_is_its_fraction_of_the_row() -> None:
    counts = torch.tensor([[4, 4, 0], [0, 0, 0], [0, 0, 3]])
    picture = ConfusionMatrix(3).picture(counts)
    assert (picture.shape, picture.dtype) == ((3, 128, 128), torch.uint8)
    corners = picture[:, ::32, ::32].permute(1, 2, 0).tolist()
    assert corners[0] == [row[0] for row in corners] == [MARGIN] * 4
    assert [row[1:] for row in corners[1:]] == [[BETWEEN, BETWEEN, WHITE], [WHITE] * 3, [WHITE, WHITE, BLUE]]
    for row, column in (counts == 0).nonzero().tolist():
        assert (cell(picture, row + 1, column + 1) == 255).all()  # no number
    assert cell(picture, 1, 1).amin() < 50  # black on light
    assert cell(picture, 3, 3)[0].amax() > 200  # white on dark
    assert torch.equal(cell(picture, 1, 1), cell(picture, 1, 2))


def test_cells_show_their_counts() -> None:
    three, five = (ConfusionMatrix(2).picture(torch.tensor([[count, 0], [0, 7]])) for count in (3, 5))
    assert (three != five).any(0).nonzero().amin(0).ge(32).all()
    assert (three != five).any(0).nonzero().amax(0).lt(64).all()


def test_margins_number_the_classes() -> None:
    picture = ConfusionMatrix(3).picture(torch.zeros(3, 3, dtype=torch.long))
    assert (picture[:, 32:, 32:] == 255).all()
    assert (cell(picture, 0, 0) == 230).all()
    numbers = [cell(picture, i, 0) for i in (1, 2, 3)]
    assert all(torch.equal(cell(picture, 0, i), number) for i, number in enumerate(numbers, 1))
    assert all(number.amin() < 50 for number in numbers)
    assert len({str(number.tolist()) for number in numbers}) == 3


def test_many_classes_do_not_make_the_picture_huge() -> None:
    picture = ConfusionMatrix(500).picture(torch.eye(500, dtype=torch.long))
    assert picture.shape == (3, 1002, 1002)
    assert picture[:, 2, 2].tolist() == BLUE
    assert picture[:, 2, 4].tolist() == WHITE


def test_other_number_of_classes_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^ConfusionMatrix: num_classes is 3, but there are scores of 10 classes$"):
        ConfusionMatrix(3).update(torch.zeros(4, 10), torch.zeros(4, dtype=torch.long))
