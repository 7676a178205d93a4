"""Pictures with their masks."""

import torch

from project.visuals.mask_overlay import MaskOverlay


def test_one_row_per_sample() -> None:
    """The picture, the mask and the predicted mask; classes above 0 have colors, 0 and ignored pixels none."""
    image, mask = torch.full((2, 1, 3, 4), 0.5), torch.tensor([-100, 0, 1, 2]).repeat(2, 3, 1)
    logits = torch.zeros(2, 3, 3, 4)
    logits[1, 2] = 1
    picture = MaskOverlay()(image, mask, logits)
    assert picture.shape == (3, 3 + 4 + 3, 4 + 4 + 4 + 4 + 4)
    shown, truth, predicted = (picture[:, :, start : start + 4] for start in (0, 8, 16))
    assert (shown[:, :3] == 0.5).all()
    assert truth[:, 0].T.tolist() == [[0.5] * 3, [0.5] * 3, [0.75, 0.25, 0.25], [0.25, 0.75, 0.25]]
    assert (predicted[:, :3] == 0.5).all()
    assert predicted[:, 7, 0].tolist() == [0.25, 0.75, 0.25]
