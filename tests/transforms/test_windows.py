import torch

from project.transforms.components.windows import cut, random_corners


def test_all_corners_occur() -> None:
    torch.manual_seed(0)
    top, left = random_corners(500, 2, 3)
    assert top.shape == left.shape == (500,)
    pairs = set(zip(top.tolist(), left.tolist(), strict=True))
    assert pairs == {(row, column) for row in range(3) for column in range(4)}


def test_cut_returns_the_window_of_each_picture() -> None:
    pictures = torch.rand(3, 2, 5, 6)
    corners = torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2])
    expected = torch.stack([pictures[0, :, 0:2, 0:4], pictures[1, :, 2:4, 1:5], pictures[2, :, 3:5, 2:6]])
    assert torch.equal(cut(pictures, corners, 2, 4), expected)


def test_cut_copies_only_the_windows() -> None:
    pictures = torch.rand(1, 3, 50, 50).expand(4, -1, -1, -1)
    window = cut(pictures, random_corners(4, 48, 48), 2, 2)
    assert window.untyped_storage().nbytes() == 4 * 3 * 2 * 2 * 4
