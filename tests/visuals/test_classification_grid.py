import pytest
import torch

from project.core.errors import ConfigError
from project.visuals.classification_grid import ClassificationGrid


def test_grid_shows_pictures_with_colored_captions() -> None:
    image = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 0.5, 1.0)])
    picture = ClassificationGrid(cell=16)(image, torch.tensor([0, 1, 1]), torch.eye(3))
    assert picture.shape == (3, 2 * (16 + 14), 2 * 16)
    assert torch.allclose(picture[:, :16, 16:], torch.tensor(0.5), atol=0.01)
    assert torch.allclose(picture[:, 30:46, :16], torch.tensor(1.0))
    right, wrong = picture[:, 16:30, 16:], picture[:, 46:, :16]
    assert right[1].sum() > right[0].sum()  # green
    assert wrong[0].sum() > wrong[1].sum()  # red


def test_captions_show_class_names() -> None:
    arguments = (torch.zeros(1, 3, 8, 8), torch.tensor([0]), torch.eye(2)[:1])
    numbers, names = ClassificationGrid()(*arguments), ClassificationGrid(["cat", "dog"])(*arguments)
    assert numbers.shape == names.shape == (3, 78, 64)
    assert not torch.equal(numbers, names)


def test_soft_labels_are_shown_as_their_most_probable_class() -> None:
    image, logits = torch.zeros(2, 3, 8, 8), torch.eye(3)[:2]
    soft = ClassificationGrid()(image, torch.tensor([[0.6, 0.0, 0.4], [0.3, 0.0, 0.7]]), logits)
    assert torch.equal(soft, ClassificationGrid()(image, torch.tensor([0, 2]), logits))


def test_class_without_a_name_is_a_mistake() -> None:
    message = r"^ClassificationGrid: classes has 2 names, but there is a class 2$"
    for label, logits in ((2, torch.eye(3)[:1]), (0, torch.eye(3)[2:])):
        with pytest.raises(ConfigError, match=message):
            ClassificationGrid(["cat", "dog"])(torch.zeros(1, 3, 8, 8), torch.tensor([label]), logits)
