import pytest
import torch

from project.core.errors import ConfigError
from project.visuals.classification_grid import ClassificationGrid


def test_grid_shows_pictures_with_colored_captions() -> None:
    image = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 0.5, 1.0)])
    picture = ClassificationGrid(cell=32)(image, torch.tensor([0, 1, 1]), torch.eye(3))
    assert picture.shape == (3, 2 * (32 + 14), 2 * 32)
    assert torch.allclose(picture[:, :32, 32:], torch.tensor(0.5), atol=0.01)
    assert torch.allclose(picture[:, 46:78, :32], torch.tensor(1.0))
    right, wrong = picture[:, 32:46, 32:], picture[:, 78:, :32]
    assert right[1].sum() > right[0].sum()  # green
    assert wrong[0].sum() > wrong[1].sum()  # red


def test_captions_show_class_names() -> None:
    arguments = (torch.zeros(1, 3, 8, 8), torch.tensor([0]), torch.eye(2)[:1])
    numbers, names = ClassificationGrid()(*arguments), ClassificationGrid(["cat", "d\nog"])(*arguments)
    assert numbers.shape == names.shape == (3, 78, 64)
    assert not torch.equal(numbers, names)


@pytest.mark.parametrize("cell", [8, 16, 64, 100])
def test_long_names_stay_below_their_picture(cell: int) -> None:
    """A caption ends before that of the next picture begins, and names that differ at an end are drawn differently."""
    names = ["a class with a long name, north", "a class with a long name, south", "it"]
    label, logits = torch.tensor([0, 1, 2, 2]), torch.eye(3)[[0, 1, 2, 1]]
    picture = ClassificationGrid(names, cell)(torch.zeros(4, 1, 8, 8), label, logits)
    height = cell + 2 * 14
    assert picture.shape == (3, 2 * height, 2 * cell)
    parts = [picture[:, y + cell : y + height, x : x + cell] for y in (0, height) for x in (0, cell)]
    assert all((part[:, :, 0] == 0).all() for part in parts)  # nothing of the caption at its left
    alone = ClassificationGrid(names, cell)(torch.zeros(1, 1, 8, 8), label[:1], logits[:1])
    assert torch.equal(alone[:, cell:], parts[0])
    if cell >= 64:
        assert not torch.equal(parts[0], parts[1])


def test_soft_labels_are_shown_as_their_most_probable_class() -> None:
    image, logits = torch.zeros(2, 3, 8, 8), torch.eye(3)[:2]
    soft = ClassificationGrid()(image, torch.tensor([[0.6, 0.0, 0.4], [0.3, 0.0, 0.7]]), logits)
    assert torch.equal(soft, ClassificationGrid()(image, torch.tensor([0, 2]), logits))


def test_class_without_a_name_is_a_mistake() -> None:
    message = r"^ClassificationGrid: classes has 2 names, but there is a class 2$"
    for label, logits in ((2, torch.eye(3)[:1]), (0, torch.eye(3)[2:])):
        with pytest.raises(ConfigError, match=message):
            ClassificationGrid(["cat", "dog"])(torch.zeros(1, 3, 8, 8), torch.tensor([label]), logits)
