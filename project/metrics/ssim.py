"""Structural similarity."""

from typing import Annotated

from annotated_types import Gt
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class SSIM(SampleMean):
    """Structural similarity of each picture, averaged; at most 1 (Wang et al., Image Quality Assessment, 2004).

    Args:
        data_range: difference between the largest and the smallest possible value.
    """

    higher_is_better = True

    def __init__(self, data_range: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the similarity of each picture `(B,)`, given pictures `(B, C, H, W)` of at least 6 x 6 pixels."""
        similarity = structural_similarity_index_measure(
            prediction.float(), target.float(), reduction="none", data_range=self.data_range
        )
        assert isinstance(similarity, Tensor)
        return similarity.reshape(len(prediction))
