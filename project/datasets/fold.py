"""Parts of a cross-validation."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Interval

from project.datasets.base import Dataset
from project.datasets.components.labels import read_labels
from project.datasets.components.views import View, count_samples, permute
from project.registry import DATASET_REGISTRY, ConfigError


@DATASET_REGISTRY.register()
class Fold(View):
    """Part of a dataset in a k-fold cross-validation: each sample is in the part `val` of exactly one of k folds.

    Args:
        dataset: the dataset; that of the part `val` usually has no `augmentation`.
        k: number of folds.
        fold: number of the fold, 0 to k - 1.
        part: val, a k-th of the samples, or train, all others.
        stratify: let all folds have the same share of each class, up to one sample. The classes are the attribute
            `labels` of the dataset or, without it, `label` of its samples, which are all read for it.
        seed: seed of the division; that of the run has no effect on it, so that runs with other seeds have equal folds.

    Example::

        vars: {k: 5, fold: 0}  # --vars.fold 1 for the next run
        data:
          train:
            type: Fold
            k: ${vars.k}
            fold: ${vars.fold}
            part: train
            stratify: true
            dataset: {type: ImageFolder, path: pictures, augmentation: {random_flip: {}}}
          val:
            type: Fold
            k: ${vars.k}
            fold: ${vars.fold}
            part: val
            stratify: true
            dataset: {type: ImageFolder, path: pictures}
    """

    def __init__(
        self,
        dataset: Dataset,
        k: Annotated[int, Ge(2)],
        fold: Annotated[int, Ge(0)],
        part: Literal["train", "val"],
        stratify: bool = False,
        seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0,
    ) -> None:
        count = count_samples(dataset, "Fold")
        if fold >= k:
            raise ConfigError(f"Fold: fold is {fold}; with k {k}, the folds are 0 to {k - 1}")
        if count < k:
            raise ConfigError(f"Fold: k is {k}, but {type(dataset).__name__} has only {count} samples")
        order = permute(count, seed)
        if stratify:
            order = order[read_labels(dataset).numpy()[order].argsort(kind="stable")]
        fold_of = np.empty(count, dtype=np.int64)
        fold_of[order] = np.arange(count) % k
        super().__init__(dataset, np.flatnonzero((fold_of == fold) == (part == "val")))
