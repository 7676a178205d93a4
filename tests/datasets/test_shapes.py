"""Generated shapes."""

import torch

from project.datasets.shapes import Shapes


def test_a_sample_depends_only_on_its_number() -> None:
    dataset, later = Shapes(samples=30), Shapes(first=20, samples=5)
    assert all(torch.equal(later[2][name], dataset[22][name]) for name in ("image", "mask"))
    assert not torch.equal(dataset[0]["mask"], dataset[1]["mask"])


def test_shapes_are_bright_where_the_mask_has_a_class() -> None:
    samples = [Shapes()[index] for index in range(20)]
    image = torch.stack([sample["image"] for sample in samples]).mean(1)
    mask = torch.stack([sample["mask"] for sample in samples])
    assert mask.unique().tolist() == [0, 1, 2, 3]
    assert image[mask > 0].mean() > 0.7 > 0.25 > image[mask == 0].mean()


def test_shapes_have_their_form() -> None:
    """A disc is in its square, and a triangle is half of it, wider below."""
    dataset = Shapes(size=100)
    disc, square, triangle = (dataset._cover(shape, 20, 50, 50) for shape in (1, 2, 3))
    assert [int(part.sum()) for part in (square, disc & ~square, triangle & ~square)] == [41 * 41, 0, 0]
    assert abs(disc.sum() / 41**2 - 0.785) < 0.05
    assert abs(triangle.sum() / 41**2 - 0.5) < 0.05
    assert triangle[69].sum() > 5 * triangle[32].sum() > 0
