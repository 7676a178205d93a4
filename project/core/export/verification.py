"""The proof that exported files compute what the checkpoint computes."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from loguru import logger
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from project.core.data.datamodule import dataset_name, find_dataset
from project.core.data.tensors import Tensors, batch_size
from project.core.errors import ConfigError, causes, first_line, join_names
from project.core.export.differences import OutputDifference, differ, metrics_differ
from project.core.export.graph import WiredNet
from project.core.export.sizes import resize_free
from project.core.model.metrics import DatasetEvaluation
from project.core.model.module import SupervisedModule
from project.deploy.inputs import InputError
from project.deploy.model_card import ModelCard
from project.deploy.predictor import Predictor

CHECKPOINT = "checkpoint"  # public: among the names of files
_TEST_HOOKS = (
    *("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"),
    *("test_step", "on_test_start", "on_test_epoch_start", "on_test_epoch_end", "on_test_batch_start"),
)
Run = Callable[[Tensors], Tensors]  # from the inputs to all outputs, by their names in the graph
Locate = Callable[[int | None], str]  # from a row of a batch, or None for all of it, to words
WriteFiles = Callable[[Tensors, Any], tuple[ModelCard, Mapping[str, Path]]]


class Comparison(pl.LightningModule):
    """Module that sends each batch through a checkpoint and the files that are exported of it.

    Args:
        wired: the module of the checkpoint.
        write: writes the files, given the first batch and its dataset; returns their card, and their paths by name.

    Attributes:
        failures: why a file did not run, one line each.
        differences: how far the outputs of each file are from those of the checkpoint, by file and output.
        metrics: losses and metrics of the checkpoint and of each file, as `test` computes them.

    Example::

        comparison = Comparison(wire(module), write)
        trainer.test(comparison, datamodule)
        comparison.mistakes()  # empty if the files are right
    """

    def __init__(self, wired: SupervisedModule | WiredNet, write: WriteFiles) -> None:
        super().__init__()
        self.wired, self.write = wired, write
        self.card: ModelCard | None = None  # None before the first batch
        self.runs: dict[str, Run] = {}  # by file
        self.failures: list[str] = []
        self.differences: dict[str, dict[str, OutputDifference]] = {}
        self.evaluations: dict[str, list[DatasetEvaluation]] = {}  # by CHECKPOINT and file; empty without metrics
        self.metrics: dict[str, dict[str, float]] = {}
        self.counts: dict[int, int] = {}  # number of samples by dataset
        self.emptied: set[int] = set()  # datasets of which `collate` dropped whole batches
        self.example: Tensors = {}  # inputs of the first batch

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._compare(batch, "eval", dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._compare(batch, "predict", dataloader_idx)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._compare(batch, "val", dataloader_idx)

    def on_test_epoch_end(self) -> None:
        self._check_samples("eval")
        for name, evaluations in self.evaluations.items():
            assert isinstance(self.wired, SupervisedModule)
            self.wired.evaluations = evaluations
            for dataset in self.emptied:
                evaluations[dataset].has_empty_batches = True
            with isolate_rng():
                values = self.wired.compute_evaluations("eval")
            self.metrics[name] = {key.removeprefix("eval/"): float(value) for key, value in values.items()}

    def on_predict_epoch_end(self) -> None:
        self._check_samples("predict")

    def on_validation_epoch_end(self) -> None:
        self._check_samples("val")

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(self.counts.values())

    def compute(self, inputs: Tensors) -> Tensors:
        """Return the outputs and answers of the checkpoint, by their names in the graph."""
        return self._name(self.wired(inputs))

    def mistakes(self) -> list[str]:
        """Return what differs by more than is allowed, one line each."""
        lines = [*self.failures]
        for file, differences in self.differences.items():
            lines += [f"{file}: {name} {each.problem}" for name, each in differences.items() if each.excess > 1]
            metrics = self.metrics.get(file, {})
            lines += [
                f"{file}: {name} is {metrics.get(name)}, but that of the checkpoint {value}"
                for name, value in (self.metrics[CHECKPOINT] if metrics else {}).items()
                if metrics_differ(value, metrics.get(name, math.nan))
            ]
        return lines

    def _check_samples(self, split: str) -> None:
        if self.card is None:
            raise ConfigError(f"data.{split} has no samples; export compares the files with the checkpoint on them")

    def _compare(self, batch: Any, split: str, dataloader_idx: int) -> None:
        if not isinstance(batch, Mapping):
            raise ConfigError(f"a batch is a {type(batch).__name__}; export needs dicts of named tensors")
        batch = dict(batch)
        size = batch_size(batch)
        if size == 0:
            self.emptied.add(dataloader_idx)
            return
        if is_first := self.card is None:
            self._begin(batch, split, dataloader_idx)
        assert self.card is not None
        given = {name: batch[name] for name in self.card.inputs}
        output = self.wired(batch)
        expected = self._name(output)
        self._evaluate(CHECKPOINT, batch, output, dataloader_idx)
        locate = self._locate(batch, split, dataloader_idx)
        for file, values in self._run_files(given, locate(None)).items():
            self._add(file, expected, values, size, locate)
            output = {name: values[inside] for name, inside in self.card.outputs.items()}
            self._evaluate(file, batch, output, dataloader_idx)
        if is_first:
            self.example = {name: value[:32].clone() for name, value in given.items()}
            self._compare_others(given)
        self.counts[dataloader_idx] = self.counts.get(dataloader_idx, 0) + size

    def _begin(self, batch: Tensors, split: str, dataloader_idx: int) -> None:
        """Write the files and open them."""
        with isolate_rng():
            self.card, paths = self.write(batch, find_dataset(self.trainer, split, dataloader_idx))
            self.runs = {
                file: open_exported(path, list(self.card.inputs), torch.get_num_threads())
                for file, path in paths.items()
            }
        self.differences = {file: {} for file in self.runs}
        if split == "eval" and isinstance(self.wired, SupervisedModule) and not _has_own_test(self.wired):
            for name in (CHECKPOINT, *self.runs):
                self.wired.evaluations = []
                self.wired.reset_evaluations(len(self.trainer.num_test_batches))
                self.evaluations[name] = self.wired.evaluations

    def _compare_others(self, given: Tensors) -> None:
        """Compare a batch of one, or of two if it has one, and batches of other sizes, if sizes are free."""
        assert self.card is not None
        if batch_size(given) > 1:
            others = {"in a batch of one sample": {name: value[:1] for name, value in given.items()}}
        else:
            others = {
                "in a batch of two samples": {name: value.repeat_interleave(2, 0) for name, value in given.items()}
            }
        few = {name: value[:2] for name, value in given.items()}
        for resized in resize_free(few, self.card.inputs, self.card.shapes):
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in resized.items())
            others[f"with {shapes}, a size that `raw` leaves free"] = resized
        for where, inputs in others.items():
            try:
                expected = self.compute(inputs)
            except Exception as error:  # of the net, which does not take what was traced
                self.failures.append(f"the checkpoint does not run {where}, but the files do: {first_line(error)}")
                continue
            for file, values in self._run_files(inputs, where).items():
                self._add(file, expected, values, batch_size(inputs), partial(_everywhere, where))

    def _run_files(self, given: Tensors, where: str) -> dict[str, Tensors]:
        """Return what each file returns; one that fails is not run again."""
        values = {}
        for file, run in [*self.runs.items()]:
            try:
                with isolate_rng():
                    values[file] = run(given)
            except Exception as error:  # exported programs raise any exception
                self.failures.append(f"{file} does not run {where}: {first_line(error)}")
                del self.runs[file]
                self.evaluations.pop(file, None)
        return values

    def _name(self, output: Mapping[str, Tensor]) -> Tensors:
        """Return outputs and answers of the checkpoint by their names in the graph."""
        assert self.card is not None
        call = self.wired.call_predict
        answers = output if call is None else call({}, output)
        return {inside: output[name] for name, inside in self.card.outputs.items()} | {
            inside: answers[name] for name, inside in self.card.answers.items()
        }

    def _evaluate(self, name: str, batch: Tensors, output: Tensors, dataloader_idx: int) -> None:
        """Add a batch to the losses and metrics of the checkpoint or a file."""
        if name in self.evaluations:
            assert isinstance(self.wired, SupervisedModule)
            with isolate_rng():  # losses that draw random numbers draw the same for all
                self.evaluations[name][dataloader_idx].add(batch, output, self.wired.loss_values(batch, output))

    def _add(self, file: str, expected: Tensors, values: Tensors, size: int, locate: Locate) -> None:
        for name, difference in differ(expected, values, size, locate).items():
            self.differences[file][name] = self.differences[file].get(name, difference).merge(difference)

    def _locate(self, batch: Tensors, split: str, dataloader_idx: int) -> Locate:
        """Return a function from a row of a batch to the name of its sample, and from None to that of the batch."""
        name, indices = dataset_name(self.trainer, split, dataloader_idx), batch.get("index")
        path, first = f" of data.{split}.{name}" if name else "", self.counts.get(dataloader_idx, 0)

        def locate(row: int | None) -> str:
            number = first + (row or 0) if indices is None else int(indices[row or 0])
            return f"{'in the batch of' if row is None else 'at'} sample {number}{path}"

        return locate


def _has_own_test(module: SupervisedModule) -> bool:
    """Return whether `test` of a subclass does something else than the comparison, which calls the module itself."""
    own = [name for name in _TEST_HOOKS if is_overridden(name, module, SupervisedModule)]
    if own:
        name = type(module).__name__
        logger.warning(f"{name} has its own {join_names(own)}: losses and metrics of `test` are not compared")
    return bool(own)


def _everywhere(where: str, row: int | None) -> str:
    return where


def open_exported(path: Path, inputs: list[str], threads: int) -> Run:
    """Return a function that runs an exported file; one of torch.export uses torch's number of threads."""
    if path.suffix == ".onnx":
        try:
            predictor = Predictor(path, threads)
        except InputError as error:  # such as an operation that onnxruntime does not have for a dtype
            reason = first_line(causes(error)[-1])
            raise ConfigError(f"onnxruntime cannot run the exported net: {reason}\nUse `--formats pt2`") from error
        return lambda given: {
            name: torch.from_numpy(value)
            for name, value in predictor.run({name: given[name].contiguous().numpy() for name in inputs}).items()
        }
    program = torch.export.load(path).module()
    return lambda given: dict(program(*(given[name] for name in inputs)))
