import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from project.registry import ConfigError
from project.transforms.normalize import Normalize


def test_samples_and_batches_are_normalized_per_channel() -> None:
    image = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 3.0)])
    transform = Normalize(mean=[0.0, 1.0], std=[1.0, 2.0])
    label = torch.tensor(1)
    sample = transform({"image": image, "label": label})
    assert torch.equal(sample["image"], torch.ones(2, 4, 4))
    assert sample["label"] is label
    batch = transform({"image": image.expand(3, 2, 4, 4)})["image"]
    assert torch.equal(batch, torch.ones(3, 2, 4, 4))
    assert torch.equal(Normalize([1.0], [2.0], keys=["x"])({"x": image})["x"][1], torch.ones(4, 4))


def test_fitted_to_all_pixels_per_channel() -> None:
    """The mean is large and the deviation small, the pictures differ in size, and one key has no effect on another."""
    generator = torch.Generator().manual_seed(0)
    pictures = [
        1e4 + torch.randn(2, size, 7, generator=generator) * torch.tensor([1.0, 0.1])[:, None, None]
        for size in (3, 50, 8)
    ]
    transform = Normalize()
    transform.fit_to([{"image": picture} for picture in pictures])
    pixels = np.concatenate([picture.double().flatten(1).numpy() for picture in pictures], axis=1)
    np.testing.assert_allclose(transform.mean.flatten(), pixels.mean(1), rtol=1e-7)
    np.testing.assert_allclose(transform.std.flatten(), pixels.std(1), rtol=1e-6)
    assert {*transform.state_dict()} == {"mean", "std"}
    assert torch.equal(pickle.loads(pickle.dumps(transform)).mean, transform.mean)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([torch.zeros(1, 2, 2)], "has the same value everywhere"),
        ([torch.rand(1, 2, 2), torch.rand(3, 2, 2)], "pictures have 1 and 3 channels"),
    ],
)
def test_pictures_that_cannot_be_normalized_are_told(samples: list[Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Normalize().fit_to([{"image": picture} for picture in samples])


def test_mean_without_std_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes both mean and std"):
        Normalize(mean=[0.5])


def test_fitting_in_an_augmentation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^Normalize without mean and std is fitted only in model\.prepare\n"):
        Normalize()({"image": torch.rand(1, 8, 8)})
