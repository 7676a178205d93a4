import pytest
import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure

from project.metrics.ssim import SSIM


@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(1, 1, 11, 11), (2, 3, 16, 12)])
def test_value_of_constant_pictures(shape: tuple[int, ...], data_range: float) -> None:
    a, b = 0.2, 0.6
    expected = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
    similarity = SSIM(data_range).per_sample(torch.full(shape, a * data_range), torch.full(shape, b * data_range))
    torch.testing.assert_close(similarity, torch.full(shape[:1], expected), atol=1e-3, rtol=0)


def test_equal_pictures_have_1_and_negatives_less_than_0() -> None:
    target = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    prediction = torch.stack([target[0], 1 - target[1], target[2]])
    same, negative, other = SSIM().per_sample(prediction, target).tolist()
    assert same == pytest.approx(1)
    assert other == pytest.approx(1)
    assert negative < 0


def test_mean_over_batches_equals_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(5, 3, 16, 20, generator=generator)
    prediction = target + 0.1 * torch.randn(target.shape, generator=generator)
    metric, reference = SSIM(), StructuralSimilarityIndexMeasure(data_range=1.0)
    for rows in (slice(1), slice(1, None)):
        metric.update(prediction[rows], target[rows])
        reference.update(prediction[rows], target[rows])
    torch.testing.assert_close(metric.compute(), reference.compute())
    assert metric.compute() < 0.99
