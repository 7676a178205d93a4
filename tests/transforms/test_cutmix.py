"""CutMix replaces a rectangle, and the labels have the shares of the area."""

import pytest
import torch

from project.core.errors import ConfigError
from project.transforms.cutmix import CutMix


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_rectangle_comes_from_the_sample_whose_label_has_its_area(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shares = []
    for _ in range(300):
        label = torch.arange(4)
        image = label.view(4, 1, 1, 1).expand(4, 2, 10, 8).to(dtype)  # each picture has its class in all pixels
        mixed = CutMix(4, keys=["image", "more"])({"image": image, "more": image[:, 0], "label": label})
        assert torch.equal(mixed["image"][:, 0], mixed["image"][:, 1])
        assert torch.equal(mixed["image"][:, 0], mixed["more"])
        counted = torch.stack([(mixed["more"] == number).flatten(1).float().mean(1) for number in label], 1)
        torch.testing.assert_close(mixed["label"], counted)
        changed = mixed["more"] != image[:, 0]
        for mask in changed[changed.flatten(1).any(1)]:
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            assert mask.sum() == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
            assert torch.equal(mask, changed.any(0))  # the same in all pictures
        shares.append(float(changed.any(0).float().mean()))
    # The share u of the area is uniform; beyond the border, each side s = sqrt(u) loses s^2 / 4 on average. So the mean
    # is that of (s - s^2 / 4)^2, 0.32, less the rounding to even numbers of pixels.
    assert 0.2 < sum(shares) / len(shares) < 0.35
    assert max(shares) > 0.5


@pytest.mark.parametrize("shape", [(4,), (4, 3)])
def test_vectors_have_no_rectangles(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^CutMix: image \(4,.*\): it needs pictures"):
        CutMix(4)({"image": torch.zeros(shape), "label": torch.arange(4)})
