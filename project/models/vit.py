"""Vision transformer."""

from typing import Annotated

from annotated_types import Ge, Interval
from torch import Tensor, nn

from project.models.base import Classifier
from project.models.components.drop_path import DropPath, drop_rates
from project.models.components.positions import sincos_positions
from project.registry import MODEL_REGISTRY


def _block(width: int, heads: int, dropout: float, drop_path: float) -> nn.TransformerEncoderLayer:
    block = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
    )
    for name in ("dropout1", "dropout2") if drop_path else ():  # the last layers of the residual branches
        setattr(block, name, nn.Sequential(getattr(block, name), DropPath(drop_path)))
    return block


@MODEL_REGISTRY.register()
class ViT(Classifier):
    """Vision transformer (Dosovitskiy et al., 2021) with fixed position embeddings and mean pooling.

    Beyer et al., Better plain ViT baselines, 2022. The defaults are those of ViT-S/16.

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        patch: height and width of a patch in pixels; height and width of the pictures must be multiples of it.
        width: number of channels of a token; a multiple of 4 and of `heads`.
        depth: number of transformer blocks.
        heads: number of attention heads in each block.
        dropout: fraction of attention weights and activations that are zeroed in training, in [0, 1).
        drop_path: probability that a sample skips the attention, or the perceptron, of the last block in training, in
            [0, 1); it grows linearly from block to block (stochastic depth; Huang et al., 2016).
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        patch: Annotated[int, Ge(1)] = 16,
        width: Annotated[int, Ge(1)] = 384,
        depth: Annotated[int, Ge(0)] = 12,
        heads: Annotated[int, Ge(1)] = 6,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        drop_path: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if width % 4:
            raise ValueError(f"width is {width}; it must be a multiple of 4")
        self.width, self.patch = width, patch
        self.embed = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(_block(width, heads, dropout, p) for p in drop_rates(drop_path, depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to `logits` (B, num_classes)."""
        if any(side % self.patch for side in image.shape[-2:]):
            raise ValueError(f"picture size {tuple(image.shape[-2:])} is not a multiple of patch ({self.patch})")
        patches = self.embed(image)
        rows, columns = patches.shape[-2:]
        positions = sincos_positions(rows, columns, self.width, patches.device)
        tokens = patches.flatten(2).transpose(1, 2) + positions.to(patches.dtype)
        return {"logits": self.head(self.norm(self.blocks(tokens)).mean(1))}
