"""U-Net for segmentation."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from project.models.base import Model
from project.models.unet import UNet
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class SegmentationUNet(Model):
    """U-Net that classifies each pixel of a picture.

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        width: number of channels at full resolution; each level below doubles it and halves height and width.
        depth: number of levels below full resolution.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        width: Annotated[int, Ge(1)] = 32,
        depth: Annotated[int, Ge(0)] = 3,
    ) -> None:
        super().__init__()
        self.unet = UNet(in_channels, num_classes, width, depth)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to `logits` (B, num_classes, H, W), for any H and W."""
        return {"logits": self.unet(image)}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the most likely class of each pixel, `mask` (B, 1, H, W); they are the grey values of its picture."""
        return {"mask": logits.argmax(1, keepdim=True)}
