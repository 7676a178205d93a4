"""Rows of a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from loguru import logger
from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.datasets.components.columns import Columns, MissingColumnError, read_columns
from project.datasets.components.labels import check_distinct
from project.registry import DATASET_REGISTRY, ConfigError, join_names

_OWN = ("numeric", "missing", "categorical", "index")


@DATASET_REGISTRY.register()
class Table(Dataset):
    """Rows of a csv file, or of a parquet file (needs pyarrow).

    A sample has `numeric` (F,) float32 and `missing` (F,) bool; `categorical` (C,) int64; and the tensors () that
    `labels` (int64) and `targets` (float32) name. Numbers are standardized; a missing one is 0, the mean. The values of
    a categorical column are numbered 1, 2, ..., sorted; 0 is a missing or unknown value. Values that are empty, NA,
    NaN, null, none or ? are missing; a row without a label or target is left out. An exported net takes these tensors:
    numbers have to be standardized as here, and categories numbered.

    Args:
        path: the file, relative to `data_dir`.
        reference: file from which means, standard deviations, categories and classes are taken: that of the training
            set, in each set. With another file, the same values would become other numbers.
        numeric: columns with numbers.
        categorical: columns with categories.
        labels: columns with classes, by the name of their tensor: {label: species}; numbered 0, 1, ..., sorted.
        targets: columns with numbers to predict, by the name of their tensor: {target: price}; not standardized.
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `path` and `reference`, unless they are absolute.

    Attributes:
        num_numeric, cardinalities: number of numeric columns; of values of each categorical column, including 0.
        classes, num_classes: names and number of the classes of `label`, or without it of the first of `labels`.
        scale: mean and standard deviation of the first of `targets`.
    """

    example: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(("path", "reference"), str(Path(__file__).with_name("penguins") / "train.csv")),
        "numeric": ["bill_length_mm", "flipper_length_mm"],
        "categorical": ["island", "sex"],
        "labels": {"label": "species"},
        "targets": {"target": "body_mass_g"},
    }

    def __init__(
        self,
        path: str,
        reference: str,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] = (),
        labels: dict[str, str] | None = None,
        targets: dict[str, str] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
    ) -> None:
        super().__init__(augmentation)
        labels, targets = labels or {}, targets or {}
        _check_settings(numeric, categorical, [*labels.values(), *targets.values()], [*labels, *targets])
        names = [*numeric, *categorical, *labels.values(), *targets.values()]
        file, source = Path(data_dir, path), Path(data_dir, reference)
        columns = _read_file(file, names, {"labels": labels, "targets": targets})
        known = columns if source == file else read_columns(source, names)
        vocabularies = {name: known.vocabulary(name) for name in [*categorical, *labels.values()]}
        tensors = _standardize(columns, known, numeric) if numeric else {}
        if categorical:
            codes = np.stack([_number_categories(columns, name, vocabularies[name], source) for name in categorical], 1)
            tensors["categorical"] = torch.from_numpy(codes)
        complete = np.ones(len(columns.rows), dtype=bool)
        for tensor, name in labels.items():
            codes = _number_classes(columns, name, vocabularies[name], source)
            tensors[tensor], complete = torch.from_numpy(codes), complete & (codes >= 0)
        for tensor, name in targets.items():
            numbers = columns.numbers(name)
            tensors[tensor], complete = torch.from_numpy(numbers).float(), complete & ~np.isnan(numbers)
        if not complete.all():
            predicted = " or ".join([*labels.values(), *targets.values()])
            first = f"{columns.row} {columns.rows[int(complete.argmin())]}"
            logger.warning(
                f"{file}: {(~complete).sum()} of {len(complete)} rows are left out, which lack {predicted}, such as "
                f"{first}"
            )
        self.tensors = {name: tensor[torch.from_numpy(complete)] for name, tensor in tensors.items()}
        self.rows, self.row = np.array(columns.rows)[complete], columns.row

        self.num_numeric = len(numeric)
        self.cardinalities = [len(vocabularies[name]) + 1 for name in categorical]
        main = "label" if "label" in labels else next(iter(labels), None)
        self.classes = [] if main is None else vocabularies[labels[main]]
        self.scale = next((list(_mean_and_std(known, name)) for name in targets.values()), [])
        if main is not None:
            self.labels = self.tensors[main]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rows = torch.tensor(indices)
        return self.augment({name: tensor[rows] for name, tensor in self.tensors.items()})

    def name(self, index: int) -> str:
        """Return where the row is in the file: `line 2`."""
        return f"{self.row} {self.rows[index]}"


def _read_file(file: Path, names: list[str], predicted: Mapping[str, Mapping[str, str]]) -> Columns:
    """Read the columns; `predicted` has the settings whose columns new rows may lack."""
    try:
        return read_columns(file, names)
    except MissingColumnError as error:
        for setting, columns in predicted.items():
            if error.column in columns.values():
                raise ConfigError(f"{error}\nIf new rows lack it, set {setting}: null") from error
        raise


def _check_settings(
    numeric: Sequence[str], categorical: Sequence[str], predicted: list[str], tensors: list[str]
) -> None:
    """Raise ConfigError if there are no columns, a name is twice, or a column is both input and label or target."""
    if not numeric and not categorical:
        raise ConfigError("Table needs columns in `numeric` or `categorical`")
    for setting, names in (("numeric", numeric), ("categorical", categorical)):
        check_distinct(names, f"Table.{setting}")
        if leaked := [name for name in names if name in predicted]:
            raise ConfigError(
                f"Table.{setting} has the column '{leaked[0]}', which is to be predicted; remove it there"
            )
    if taken := [name for name in tensors if name in _OWN or tensors.count(name) > 1]:
        raise ConfigError(
            f"Table: `labels` and `targets` name a tensor '{taken[0]}', which the sample has already; use another name"
        )


def _mean_and_std(columns: Columns, name: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of a column; 1 if all its numbers are equal."""
    numbers = columns.numbers(name)
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        raise OSError(f"{columns.path} has no number in the column '{name}'")
    # The computed deviation of equal numbers may be 1e-17, by which a number of another set would be divided.
    return float(numbers.mean()), float(numbers.std()) if numbers.min() < numbers.max() else 1.0


def _standardize(columns: Columns, known: Columns, names: Sequence[str]) -> dict[str, Tensor]:
    """Return `numeric` and `missing`, given the columns and those from which statistics are taken."""
    means, stds = np.transpose([_mean_and_std(known, name) for name in names])
    numbers = np.stack([columns.numbers(name) for name in names], axis=1)
    missing = np.isnan(numbers)
    standardized = np.where(missing, 0, (numbers - means) / stds)
    return {"numeric": torch.from_numpy(standardized).float(), "missing": torch.from_numpy(missing)}


def _number_categories(columns: Columns, name: str, known: list[str], source: Path) -> np.ndarray:
    """Return the number of each row's category; 0 if it is missing or not known, of which a warning tells."""
    codes, values = columns.codes(name, known), columns.values[name]
    if unknown := [values[row] for row in (codes < 0).nonzero()[0] if values[row] is not None]:
        logger.warning(
            f"{columns.path}: {len(unknown)} of {len(codes)} values of '{name}' are not in {source}, such as "
            f"'{unknown[0]}'; they are as if missing"
        )
    return codes + 1


def _number_classes(columns: Columns, name: str, classes: list[str], source: Path) -> np.ndarray:
    """Return the class of each row, or -1 if it has none; raise OSError if it is not one of `classes`."""
    codes, values = columns.codes(name, classes), columns.values[name]
    for row in (codes < 0).nonzero()[0]:
        if values[row] is not None:
            raise OSError(
                f"{columns.path}, {columns.row} {columns.rows[row]}: '{values[row]}' is not one of the classes "
                f"{join_names(classes)} of '{name}' in {source}"
            )
    return codes
