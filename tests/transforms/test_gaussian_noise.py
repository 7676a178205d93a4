import pytest
import torch

from project.transforms.gaussian_noise import GaussianNoise


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_noise_has_standard_deviation_sigma_and_is_not_clamped(sigma: float) -> None:
    torch.manual_seed(0)
    image = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 100, 100)
    result = GaussianNoise(sigma)({"image": image})["image"]
    noise = result - image
    assert noise.mean().item() == pytest.approx(0, abs=0.02 * sigma)
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)
    assert (noise.abs() < sigma).float().mean().item() == pytest.approx(0.6827, abs=0.01)
    assert result.min() < 0
    assert result.max() > 1


def test_noise_of_values_is_independent() -> None:
    torch.manual_seed(0)
    noise = GaussianNoise(1.0)({"image": torch.zeros(4, 3, 50, 50)})["image"]
    for dimension in range(4):
        neighbours = torch.stack([noise, noise.roll(1, dimension)]).flatten(1)
        assert abs(neighbours.corrcoef()[0, 1]) < 0.05


def test_noise_of_keys_is_independent() -> None:
    torch.manual_seed(0)
    result = GaussianNoise(1.0, ["image", "target"])(
        {"image": torch.zeros(3, 50, 50), "target": torch.zeros(3, 50, 50)}
    )
    assert abs(torch.stack([result["image"], result["target"]]).flatten(1).corrcoef()[0, 1]) < 0.05


def test_sigma_0_changes_nothing() -> None:
    image = torch.rand(2, 3, 4, 4)
    assert torch.equal(GaussianNoise(0.0)({"image": image})["image"], image)
