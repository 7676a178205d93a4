"""U-Net for segmentation."""

import torch

from project.models.segmentation_unet import SegmentationUNet


def test_each_pixel_has_scores_and_a_class() -> None:
    net = SegmentationUNet(3, 5, width=4, depth=2).eval()
    output = net(torch.rand(2, 3, 9, 14))
    assert output["logits"].shape == (2, 5, 9, 14)
    mask = net.predict(**output)["mask"]
    assert mask.shape == (2, 1, 9, 14)
    assert torch.equal(mask[:, 0], output["logits"].argmax(1))
