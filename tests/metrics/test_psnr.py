import pytest
import torch

from project.metrics.psnr import PSNR

ERRORS = torch.tensor([0.1, 0.01, 1.0]).view(3, 1, 1, 1)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_mean_over_pictures(data_range: float) -> None:
    metric = PSNR(data_range)
    prediction = (0.3 + ERRORS * torch.tensor([1.0, -1.0])).expand(3, 3, 4, 2) * data_range
    target = torch.full((3, 3, 4, 2), 0.3 * data_range)
    torch.testing.assert_close(
        metric.per_sample(prediction, target), torch.tensor([20.0, 40.0, 0.0]), atol=1e-3, rtol=0
    )
    metric.update(prediction[:1], target[:1])
    metric.update(prediction[1:], target[1:])
    torch.testing.assert_close(metric.compute(), torch.tensor(20.0), atol=1e-3, rtol=0)


def test_uint8_differences_do_not_wrap_around() -> None:
    black, dark = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.full((1, 1, 2, 2), 51, dtype=torch.uint8)
    expected = torch.tensor([13.9794])  # 20 log10(255 / 51)
    torch.testing.assert_close(PSNR(255).per_sample(black, dark), expected)
    torch.testing.assert_close(PSNR(255).per_sample(dark, black), expected)
