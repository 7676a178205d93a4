"""Some samples of a dataset."""

from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Interval

from project.datasets.base import Dataset
from project.datasets.components.views import View, count_samples, permute
from project.registry import DATASET_REGISTRY, ConfigError


@DATASET_REGISTRY.register()
class Subset(View):
    """Some samples of a dataset, given by their indices or chosen at random.

    Args:
        dataset: the dataset.
        indices: indices of the samples, in this order.
        fraction: fraction of the samples, in (0, 1], chosen at random; a larger one contains a smaller one.
        seed: seed of the choice; that of the run has no effect on it.

    Example::

        data:
          train: {type: Subset, fraction: 0.1, dataset: {type: ImageFolder, path: train}}
    """

    example: ClassVar[dict[str, Any]] = {"fraction": 0.5}

    def __init__(
        self,
        dataset: Dataset,
        indices: list[Annotated[int, Ge(0)]] | None = None,
        fraction: Annotated[float, Interval(gt=0, le=1)] | None = None,
        seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0,
    ) -> None:
        count = count_samples(dataset, "Subset")
        if indices is not None and fraction is None:
            if outside := [index for index in indices if index >= count]:
                name = type(dataset).__name__
                raise ConfigError(f"Subset: {outside[0]} is in `indices`, but {name} has only {count} samples")
            chosen = np.asarray(indices, dtype=np.int64)
        elif fraction is not None and indices is None:
            chosen = np.sort(permute(count, seed)[: max(1, round(fraction * count))])
        else:
            raise ConfigError("Subset needs either `indices` or `fraction`")
        super().__init__(dataset, chosen)
