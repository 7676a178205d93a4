"""Export of a checkpoint: the files, the proof that they are right, and the report."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.data.datamodule import DataModule
from project.core.data.raw_inputs import class_names, raw_inputs
from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, RunStopped
from project.core.export.exported_model import pack_state
from project.core.export.files import replace_card, write_onnx, write_pt2
from project.core.export.graph import Graph, WiredNet, wire
from project.core.export.measuring import measure_largest_picture, measure_speed
from project.core.export.options import FORMATS
from project.core.export.report import add_speeds, describe_export, log_report, write_report
from project.core.export.tracing import trace
from project.core.export.verification import CHECKPOINT, Comparison, open_exported
from project.core.model.module import SupervisedModule
from project.core.run.git import describe_commit
from project.deploy.model_card import ModelCard

_REPORT, _UNVERIFIED_REPORT = "export_report.json", "export_report.unverified.json"
_STAGES = {"eval": "test", "predict": "predict", "val": "val"}  # what Lightning calls a split


@dataclass(frozen=True)
class Origin:
    """Where an exported model comes from.

    Args:
        checkpoint: the checkpoint file.
        sha256: its checksum when it was loaded; a training may have replaced it since then.
        config: the configuration of the run as yaml.
    """

    checkpoint: Path
    sha256: str
    config: str


def export(
    module: pl.LightningModule,
    trainer: pl.Trainer,
    datamodule: pl.LightningDataModule,
    formats: Sequence[str],
    directory: Path,
    origin: Origin,
) -> None:
    """Write a module as model.onnx and model.pt2, if they are proved to compute what it computes.

    Args:
        module: the module, with the weights of the checkpoint.
        trainer: a trainer on the CPU, in the precision of the weights.
        datamodule: the data; the files are compared with the checkpoint on `eval`, or without it on `predict` or `val`.
        formats: onnx, pt2 or both.
        directory: directory of the files.
        origin: where the module comes from.

    Raises:
        ConfigError: the module cannot be exported.
        RunStopped: a file computes something else.
    """
    writer = _Writer(wire(module), [f"model.{suffix}" for suffix in formats], directory, origin)
    comparison = Comparison(writer.wired, writer.write)
    module.eval()  # the trainer leaves it as it was before
    with _removing_after_errors(writer):
        _compare(comparison, trainer, datamodule)
        report = describe_export(comparison, writer.paths, writer.seconds)
        if report["verified"]:
            runs = {file: open_exported(path, list(comparison.example), 1) for file, path in writer.paths.items()}
            with trainer.precision_plugin.forward_context():  # in float64, nets also create tensors in it
                speeds = measure_speed({CHECKPOINT: comparison.compute, **runs}, comparison.example)
            add_speeds(report, speeds)
        # Written first: were the disk full, an older report would describe the new files.
        write_report(report, directory / _UNVERIFIED_REPORT)
    if not report["verified"]:
        raise RunStopped(_explain(report["mistakes"], directory))
    for file, path in {**writer.paths, _REPORT: directory / _UNVERIFIED_REPORT}.items():
        path.replace(directory / file)
    for other in (directory / f"model.{suffix}" for suffix in FORMATS if suffix not in formats):
        if other.exists():
            logger.warning(f"{other} is of an earlier export; {_REPORT} does not describe it")
    log_report(report, directory)


class _Writer:
    """Writes the files of an export, under names that say that they are not verified.

    Args:
        wired: the module.
        files: names of the files.
        directory: their directory.
        origin: where the module comes from.

    Attributes:
        paths: where each file is.
        begun: paths of the files that were written, wholly or in part.
        seconds: the time that it took.
    """

    def __init__(
        self, wired: SupervisedModule | WiredNet, files: Sequence[str], directory: Path, origin: Origin
    ) -> None:
        self.wired, self.directory, self.origin, self.seconds = wired, directory, origin, 0.0
        self.begun: list[Path] = []
        self.paths = {file: directory / file.replace(".", ".unverified.") for file in files}

    def write(self, batch: Tensors, dataset: Any) -> tuple[ModelCard, Mapping[str, Path]]:
        """Trace the net with a batch of a dataset, and write the files; return their card and paths."""
        start = perf_counter()
        graph = Graph(self.wired, batch)
        inputs = raw_inputs(dataset, batch, graph.inputs)
        program, shapes = trace(graph, batch, inputs)
        card = ModelCard(
            inputs=inputs,
            shapes=shapes,
            outputs=graph.outputs,
            answers=graph.answers,
            config=self.origin.config,
            checkpoint={"file": self.origin.checkpoint.name, "sha256": self.origin.sha256},
            classes={name: names for name, names in class_names(dataset).items() if name in graph.answers},
            git_commit=describe_commit(),
            versions=_versions(),
            state=pack_state(self.wired) if isinstance(self.wired, SupervisedModule) else "",
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in (_UNVERIFIED_REPORT, *(f"model.unverified.{suffix}" for suffix in FORMATS)):
            (self.directory / name).unlink(missing_ok=True)  # of an export that failed
        for path in sorted(self.paths.values()):  # ONNX first: the card of the other has the measured size as well
            self.begun.append(path)
            if path.suffix == ".onnx":
                write_onnx(program, graph, card, path)
                self.seconds = perf_counter() - start
                largest = measure_largest_picture(path, card)
                card = replace(card, largest_picture=largest)
                if largest is not None:
                    replace_card(path, card)
                start = perf_counter() - self.seconds
            else:
                write_pt2(program, card, path)
        self.seconds = perf_counter() - start
        return card, self.paths


def _compare(comparison: Comparison, trainer: pl.Trainer, datamodule: pl.LightningDataModule) -> None:
    """Run the comparison on the eval set, or without one on the predict or the val set."""
    split = _choose_split(datamodule)
    if split == "eval":
        trainer.test(comparison, datamodule, verbose=False)
    elif split == "predict":
        trainer.predict(comparison, datamodule, return_predictions=False)
    else:
        trainer.validate(comparison, datamodule, verbose=False)
    if comparison.card is None:
        raise ConfigError(f"trainer.limit_{_STAGES[split]}_batches is 0; export needs batches to compare")


def _choose_split(datamodule: pl.LightningDataModule) -> str:
    if isinstance(datamodule, DataModule):
        found = [split for split in _STAGES if datamodule.dataset_names(split)]
    else:
        loaders = {split: f"{stage}_dataloader" for split, stage in _STAGES.items()}
        found = [split for split in loaders if is_overridden(loaders[split], datamodule, pl.LightningDataModule)]
    if not found:
        raise ConfigError(
            "export compares the files with the checkpoint on a dataset; set data.eval, such as --data.eval NAME"
        )
    return found[0]


@contextmanager
def _removing_after_errors(writer: _Writer) -> Iterator[None]:
    """Remove the files, and the directory if it was created, after an error that comes before the end of the proof."""
    created = [path for path in (writer.directory, *writer.directory.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in writer.begun:
            path.unlink(missing_ok=True)
        for directory in created:
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
        raise


def _explain(mistakes: Sequence[str], directory: Path) -> str:
    more = f"; and {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
    return (
        f"the exported model computes something else than the checkpoint: {mistakes[0]}{more}\n"
        f"It stays under the name model.unverified, and {directory / _UNVERIFIED_REPORT} lists all differences"
    )


def _versions() -> dict[str, str]:
    own = __name__.partition(".")[0]
    versions = {}
    for name in (own, "torch", "onnx", "onnxscript", "onnxruntime", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # model.pt2 needs no onnx
    return versions
