"""The result of a cross-validation: a row for each sample, of the run whose training set does not contain it."""

import csv
import io
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from project.core.cli.building import PartCLI
from project.core.config.configuration import build_config
from project.core.config.construction import build_dataset
from project.core.data.datamodule import DataModule
from project.core.data.seeding import seed_run
from project.core.distributed.signals import Interrupted
from project.core.errors import ConfigError, RunStopped
from project.core.files import write_text
from project.core.run.checkpoint_files import find_checkpoint, load_checkpoint
from project.core.run.resume import saved_tree
from project.study.sweep.definition import Definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.plan import PlannedRun, Trial, runs_of
from project.study.sweep.process import Children, run_stage
from project.study.sweep.separate import call_separately

DIRECTORY = "out_of_fold"
Row = dict[str, str]
_RESULTS = Path("eval") / "validate"  # of a run, by the stage validate


def finish(
    definition: Definition, directory: SweepDirectory, trial: Trial, seed: int | None, children: Children
) -> int:
    """Write the out-of-fold predictions of a trial and seed, if all their runs are finished and it is not yet done.

    They are ROOT/SWEEP/out_of_fold/TRIAL[_seedN]/samples.csv, the rows of the validation sets of all folds with their
    index in the whole dataset, and metrics.json, with mean, standard deviation and number of each metric.

    Args:
        definition: the sweep.
        directory: its directory.
        trial: the trial.
        seed: the seed; None for that of the yaml.
        children: passes signals on to the stages.

    Returns:
        0, or the exit code of a stage that failed or was stopped; the next call starts again.
    """
    runs = [run for run in runs_of(trial, definition) if run.seed == seed and run.fold is not None]
    if not runs or any(directory.state(run) != "finished" for run in runs):
        return 0
    name = f"{trial.number:04d}" + ("" if seed is None else f"_seed{seed}")
    target, log = directory.path / DIRECTORY / name, directory.log(runs[0])
    if _is_done(target, [directory.path / run.name for run in runs]):
        return 0
    lock = directory.claim(PlannedRun(f"{DIRECTORY}_{name}", trial, seed))
    if lock is None:  # another worker writes them
        return 0
    try:
        for run in runs:
            # The checkpoint is of this sweep's own yaml, which may name any class.
            argv = ["validate", "--trust", "--ckpt_path", str(directory.path / run.name)]
            code = run_stage(argv, directory.log(run), None, children)
            if code != 0 and children is not None and children.number:
                return code  # stopped by a signal
            if code != 0:
                logger.error(f"{target}: validate of {run.name} ended with exit code {code}; see {directory.log(run)}")
                return code
        write = partial(_write, target, [directory.path / run.name for run in runs])
        call_separately(write, f"joining the folds in {target}", log, children)
    except Interrupted as stopped:
        return stopped.code
    except (ConfigError, RunStopped) as error:
        logger.error(f"{target}: {error}")
        return 1
    finally:
        os.close(lock)
    logger.info(f"out-of-fold predictions are in {target}")
    return 0


def _is_done(target: Path, runs: Sequence[Path]) -> bool:
    """Return whether the results are there, and no run ended after them."""
    last = target / "metrics.json"  # written last
    return last.is_file() and all((run / "summary.json").stat().st_mtime <= last.stat().st_mtime for run in runs)


def _write(target: Path, runs: Sequence[Path]) -> None:
    """Write the results of all folds, in their order."""
    tables: dict[str, list[Row]] = {}  # by validation set
    sizes: dict[str, int] = {}
    for fold, run in enumerate(runs):
        for name, indices in _whole_indices(run).items():
            text = (run / _RESULTS / name / "samples.csv").read_text(encoding="utf-8")
            tables.setdefault(name, []).extend(_add_fold(text, indices, fold))
            sizes[name] = sizes.get(name, 0) + len(indices)
    for name, rows in tables.items():
        if (index := _find_repeated(rows)) is not None:
            logger.warning(
                f"{target / name} has no samples.csv: sample {index} is in the validation sets of several folds"
            )
            continue
        missing = sizes[name] - len({row["index"] for row in rows})
        if missing:
            logger.warning(f"{target / name}: {missing} of {sizes[name]} samples have no row")
        write_text(target / name / "samples.csv", _to_csv(rows))
    metrics = [json.loads((run / _RESULTS / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    write_text(target / "metrics.json", json.dumps(summarize(metrics), indent=2) + "\n")


def summarize(folds: Sequence[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean, standard deviation and number of the values of each metric.

    Args:
        folds: the metrics of each fold, by name.
    """
    values = {name: [fold[name] for fold in folds if name in fold] for name in folds[0]}
    return {
        name: {"mean": fmean(each), "std": stdev(each) if len(each) > 1 else None, "n": len(each)}
        for name, each in values.items()
    }


def _whole_indices(run: Path) -> dict[str, NDArray[np.int64]]:
    """Return the index in the whole dataset of each sample of a run's validation sets, by their names."""
    tree = saved_tree(load_checkpoint(find_checkpoint(run)), trusts=True)
    module = PartCLI(build_config(tree), "data").datamodule
    seed_run(int(tree.get("seed", 0)))
    if not isinstance(module, DataModule):
        raise ConfigError(f"sweep.folds needs data of type DataModule, not {type(module).__name__}")
    return {name: _indices(build_dataset(make, "data.val")) for name, make in module.splits["val"].items()}


def _indices(dataset: object) -> NDArray[np.int64]:
    """Return the index of each sample in the innermost of the datasets that views choose from."""
    indices = np.arange(len(dataset))  # type: ignore[arg-type]
    while (inner := getattr(dataset, "dataset", None)) is not None:
        if (chosen := getattr(dataset, "indices", None)) is not None:
            indices = np.asarray(chosen)[indices]
        elif len(inner) != len(dataset):  # type: ignore[arg-type]  # which samples it has is not known
            break
        dataset = inner
    return indices


def _add_fold(text: str, indices: NDArray[np.int64], fold: int) -> list[Row]:
    """Return the rows of a samples.csv, with the index in the whole dataset, and the fold."""
    rows = csv.DictReader(io.StringIO(text))
    return [{"index": str(indices[int(row["index"])]), "fold": str(fold)} | _without_index(row) for row in rows]


def _without_index(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "index"}


def _find_repeated(rows: Sequence[Row]) -> str | None:
    """Return the index of a sample that is in several folds; None if each is in one, as those of Fold are."""
    folds: dict[str, str] = {}
    return next((row["index"] for row in rows if folds.setdefault(row["index"], row["fold"]) != row["fold"]), None)


def _to_csv(rows: Sequence[Row]) -> str:
    """Return rows as a csv text, sorted by index, with the columns that all have."""
    missing = {name for row in rows for name in row.keys() ^ rows[0].keys()}
    output = io.StringIO()
    names = [name for name in rows[0] if name not in missing]
    writer = csv.DictWriter(output, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: int(row["index"])))
    return output.getvalue()
