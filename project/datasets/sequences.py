"""Sequences of different lengths."""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from loguru import logger
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from project.datasets.base import Dataset, Numbers, Transform
from project.datasets.components.labels import check_distinct
from project.registry import DATASET_REGISTRY, join_names

_TEXT_TOKENS = 257  # the bytes + 1


@DATASET_REGISTRY.register()
class Sequences(Dataset):
    """Sequences of different lengths, from a file with a JSON object in each line: {"sequence": ..., "label": ...}.

    A sequence is a text, whose UTF-8 bytes become the tokens 1 to 256, a list of integers >= 0, which are tokens, or a
    list of floats or of vectors. A line may have a `label`, a text or an integer, and a `target`, a number or a list.

    A sample has `sequence`, tokens (T,) int64 or vectors (T, F) float32, `label` () int64 and `target` (...) float32. A
    batch has `sequence` (B, T) or (B, T, F), padded with zeros, and `mask` (B, T), false in the padding.

    Args:
        path: the file (.jsonl), relative to `data_dir`.
        classes: labels (texts) with the numbers 0, 1, ...; null means all, sorted. Needed if a set lacks classes.
        augmentation: transforms by name, applied in this order to each sample.
        data_dir: directory that contains `path`, unless it is absolute.
        num_tokens: number of tokens, which are 0 to `num_tokens` - 1; null means the largest + 1. Needed if another set
            has larger ones; `${data.num_tokens}` is that of the training set. No effect on vectors.

    Attributes:
        num_tokens, num_features: the largest token + 1 (257 for texts), 0 for vectors; F, 0 for tokens.
        classes, num_classes: names of the classes, empty if labels are integers; their number.
    """

    example: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).with_name("number_words.jsonl"))}

    def __init__(
        self,
        path: str,
        classes: list[str] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
        num_tokens: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        super().__init__(augmentation)
        check_distinct(classes or (), "Sequences.classes")
        self.path = Path(data_dir, path)
        records = _read_records(self.path)
        self.lines = list(records)
        sequences = self._encode_all([record.get("sequence") for record in records.values()])
        # In one tensor, which worker processes share.
        self.values = torch.cat(sequences)
        self.starts = [0, *torch.tensor([len(sequence) for sequence in sequences]).cumsum(0).tolist()]
        self.num_features = 0 if self.values.ndim == 1 else self.values.shape[1]
        is_text = isinstance(records[self.lines[0]]["sequence"], str)
        self.num_tokens = 0 if self.num_features else self._count_tokens(sequences, is_text, num_tokens)

        vectors = Numbers((None, self.num_features))
        tokens = Numbers((None,), "int64")
        self.raw = {"sequence": vectors if self.num_features else tokens, "mask": Numbers((None,), "bool")}
        self.classes: list[str] = []
        self.num_classes = 0
        self.labels = self.targets = None
        if (labels := self._entries(records, "label")) is not None:
            self.labels = self._number(labels, classes)
        if (targets := self._entries(records, "target")) is not None:
            self.targets = self._to_floats(targets)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = {"sequence": self.values[self.starts[index] : self.starts[index + 1]]}
        if self.labels is not None:
            sample["label"] = self.labels[index]
        if self.targets is not None:
            sample["target"] = self.targets[index]
        return self.augment(sample)

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Pad `sequence` to the longest of the batch, and add its `mask`."""
        sequences = [sample["sequence"] for sample in samples]
        padded = pad_sequence(sequences, batch_first=True)
        mask = torch.arange(padded.shape[1]) < torch.tensor([len(sequence) for sequence in sequences])[:, None]
        others = [{name: value for name, value in sample.items() if name != "sequence"} for sample in samples]
        return {"sequence": padded, "mask": mask, **default_collate(others)}

    def name(self, index: int) -> str:
        """Return where the sequence is in the file: `line 1`."""
        return f"line {self.lines[index]}"

    def _error(self, row: int, problem: str) -> OSError:
        return OSError(f"{self.path}, line {self.lines[row]}: {problem}")

    def _encode_all(self, values: list[Any]) -> list[Tensor]:
        """Return sequences as tokens (T,), or as vectors (T, F) if one of them has a float or a vector."""
        sequences = []
        for row, value in enumerate(values):
            sequence = _encode(value)
            if sequence is None:
                raise self._error(row, "`sequence` must be a text, or a list of numbers or of vectors, and not empty")
            if isinstance(value, str) is not isinstance(values[0], str):
                raise self._error(row, "`sequence` is a text in some lines and a list in others")
            sequences.append(sequence)
        if not any(sequence.is_floating_point() or sequence.ndim == 2 for sequence in sequences):
            for row, sequence in enumerate(sequences):
                if sequence.min() < 0:
                    raise self._error(row, "a token is negative; write numbers that are no tokens as floats: -1.0")
            return sequences
        vectors = [sequence.float().reshape(len(sequence), -1) for sequence in sequences]
        for row, vector in enumerate(vectors):
            if vector.shape[1] != vectors[0].shape[1]:
                raise self._error(row, f"vectors of {vector.shape[1]} numbers; earlier ones have {vectors[0].shape[1]}")
            if not vector.isfinite().all():
                raise self._error(row, "`sequence` has a number that is not finite")
        return vectors

    def _count_tokens(self, sequences: list[Tensor], is_text: bool, given: int | None) -> int:
        largest = int(self.values.max())
        as_floats = f"write them as floats: {largest}.0"
        if given is None:
            if not is_text:
                logger.info(
                    f"{self.path}: lists of whole numbers are tokens, here up to {largest}; if they are measurements, "
                    f"{as_floats}"
                )
            return _TEXT_TOKENS if is_text else largest + 1
        if largest >= given:
            row = next(row for row, sequence in enumerate(sequences) if sequence.max() >= given)
            wrong = int(sequences[row].max())
            hint = "" if is_text else f"\nWhole numbers are tokens; if they are measurements, {as_floats}"
            expected = f"so that the largest token is {given - 1}" if given else "as for lists of floats or of vectors"
            raise self._error(row, f"token {wrong}, but num_tokens is {given}, {expected}{hint}")
        return given

    def _entries(self, records: dict[int, dict[str, Any]], key: str) -> list[Any] | None:
        """Return an entry of each line, or None if no line has it."""
        values = [record.get(key) for record in records.values()]
        if all(value is None for value in values):
            return None
        if None in values:
            raise self._error(values.index(None), f"`{key}` is missing, which other lines have")
        return values

    def _number(self, labels: list[Any], classes: list[str] | None) -> Tensor:
        is_text = isinstance(labels[0], str)
        for row, label in enumerate(labels):
            if type(label) is not (str if is_text else int) or (label == "" if is_text else int(label) < 0):
                raise self._error(row, f"`label` is {label!r}; it must be a text in each line, or an integer >= 0")
        if not is_text:
            self.num_classes = len(classes or []) or max(labels) + 1
            for row, label in enumerate(labels):
                if label >= self.num_classes:
                    raise self._error(row, f"`label` is {label}, but there are {self.num_classes} `classes`")
            return torch.tensor(labels)
        self.classes = classes or sorted(set(labels))
        self.num_classes = len(self.classes)
        number = {name: index for index, name in enumerate(self.classes)}
        for row, label in enumerate(labels):
            if label not in number:
                raise self._error(row, f"'{label}' is not one of the classes {join_names(self.classes)}")
        return torch.tensor([number[label] for label in labels])

    def _to_floats(self, targets: list[Any]) -> Tensor:
        try:
            numbers = torch.tensor(targets, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise OSError(f"{self.path}: each `target` must be a number, or each a list of as many numbers") from error
        for row in (~numbers.isfinite()).nonzero()[:1, 0].tolist():
            raise self._error(row, "`target` has a number that is not finite")
        return numbers


def _read_records(path: Path) -> dict[int, dict[str, Any]]:
    """Return the JSON objects of a file by their lines, which count from 1; empty lines are skipped."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    records: dict[int, dict[str, Any]] = {}
    with path.open("rb") as file:  # json decodes a line, also after a byte order mark
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                records[number] = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise OSError(f"{path}, line {number} is no JSON: {error}") from error
            if not isinstance(records[number], dict):
                raise OSError(
                    f'{path}, line {number}: it must be an object, such as {{"sequence": [1, 2], "label": 0}}'
                )
    if not records:
        raise OSError(f"{path} has no lines")
    return records


def _encode(value: Any) -> Tensor | None:
    """Return a sequence as a tensor, or None if it is none."""
    if not isinstance(value, str | list) or not value:
        return None
    if isinstance(value, str):
        return torch.frombuffer(bytearray(value, "utf-8"), dtype=torch.uint8).long() + 1
    try:
        sequence = torch.tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return sequence if sequence.ndim in (1, 2) and sequence.numel() and sequence.dtype != torch.bool else None
