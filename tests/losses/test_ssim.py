import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from project.losses.ssim import SSIM


def test_values_are_those_of_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(4, 3, 20, 24, generator=generator)
    prediction = (target + 0.2 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    maps = structural_similarity_index_measure(prediction, target, data_range=1.0, return_full_image=True)[1]
    expected = 1 - maps[..., 5:-5, 5:-5].mean((1, 2, 3))
    torch.testing.assert_close(SSIM().per_sample(prediction, target), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(SSIM()(prediction, target), expected.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(SSIM()(target, target), torch.tensor(0.0), rtol=0, atol=1e-6)


def test_half_precision_does_not_round_small_losses_to_0() -> None:
    target = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    prediction = (target.float() * 0.99).bfloat16()
    expected = SSIM()(prediction.float(), target.float())
    assert 0 < expected < 1e-2
    torch.testing.assert_close(SSIM()(prediction, target), expected)


def test_a_gradient_step_reduces_the_loss() -> None:
    target = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    prediction = (0.5 * target + 0.2).requires_grad_()
    loss = SSIM()
    before = loss(prediction, target)
    before.backward()
    assert prediction.grad is not None
    assert loss(prediction - 5 * prediction.grad, target) < before
