"""Results of the evaluations of a run: metrics, confusion matrices, pictures and samples."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from project.study.files import list_directories, list_files
from project.study.grouping import drop_sums
from project.study.report.confusion import FILE as CONFUSION
from project.study.report.confusion import show_confusion
from project.study.report.embedding import Embedder, spread
from project.study.report.html import Html, join, section, tag
from project.study.report.pieces import grid, number_cell, read_json
from project.study.report.samples import show_samples
from project.study.runs import DURING_TRAINING, RunRow

_MAX_EVALUATIONS, _MAX_METRICS = 30, 200  # of a page: during training, and of stages; columns of their metrics
_MAX_TILES = 4


def show_evaluations(row: RunRow, losses: Sequence[str], embedder: Embedder) -> Iterator[Html]:
    """Yield sections about the directories in RUN/eval: the metrics of all, and each stage and the last epoch in full.

    Args:
        row: the run.
        losses: names of the losses.
        embedder: makes pictures, and receives problems.
    """
    directories = list_directories(row.path / "eval")
    if not directories:
        return
    during = [path for path in directories if DURING_TRAINING.fullmatch(path.name)]
    stages = [path for path in directories if not DURING_TRAINING.fullmatch(path.name)]
    if len(stages) > _MAX_EVALUATIONS:
        embedder.problems.append(f"{len(stages) - _MAX_EVALUATIONS} directories in eval are left out")
        stages = stages[:_MAX_EVALUATIONS]
    if table := _show_metrics(row, stages, spread(during, _MAX_EVALUATIONS), embedder.problems):
        left_out = len(during) - _MAX_EVALUATIONS
        yield section("Metrics", table, note=f"{left_out} evaluations are left out" if left_out > 0 else "")
    for stage in (*stages, *during[-1:]):
        parts = [*_show_datasets(stage, losses, embedder)]
        if parts:
            yield section(f"Results of {stage.name}", *parts)


def _show_metrics(row: RunRow, stages: Sequence[Path], during: Sequence[Path], problems: list[str]) -> Html | None:
    """Return a table with the metrics of stages, and of evaluations during training."""
    metrics: dict[str, dict[str, float]] = {stage.name: {} for stage in stages}
    for path, value in row.results.items():
        stage, _, name = path.partition("/")
        if stage in metrics:
            metrics[stage][name] = value
    for directory in during:
        values = read_json(directory / "metrics.json", problems) or {}
        metrics[directory.name] = {name: value for name, value in values.items() if isinstance(value, int | float)}
    metrics = {stage: values for stage, values in metrics.items() if values}
    names = [*dict.fromkeys(name for values in metrics.values() for name in values)]
    names = drop_sums(names, [*metrics.values()])
    if not names:
        return None
    if len(names) > _MAX_METRICS:
        problems.append(f"{len(names) - _MAX_METRICS} metrics are left out")
        names = names[:_MAX_METRICS]
    rows = (
        [tag("th", stage, scope="row"), *map(number_cell, map(values.get, names))] for stage, values in metrics.items()
    )
    head = ["evaluation", *(tag("th", name, class_="number") for name in names)]
    return grid("metrics of evaluations", head, rows)


def _show_datasets(stage: Path, losses: Sequence[str], embedder: Embedder) -> Iterator[Html]:
    """Yield what the results of a stage contain; each of several datasets has a directory and a heading."""
    yield from _show_results(stage, losses, embedder)
    for directory in [path for path in list_directories(stage) if (path / "samples.csv").is_file()][:_MAX_EVALUATIONS]:
        parts = [*_show_results(directory, losses, embedder)]
        if parts:
            yield join(tag("h3", f"Dataset {directory.name}", class_="dataset"), *parts)


def _show_results(directory: Path, losses: Sequence[str], embedder: Embedder) -> Iterator[Html]:
    confusion = show_confusion(directory, embedder.problems)
    if confusion:
        yield confusion
    samples = show_samples(directory, losses, embedder)
    if samples:
        yield samples
    pictures = [*list_files(directory, ".png"), *list_files(directory / "visual", ".png")]
    for file in sorted(pictures):
        if confusion and file.stem == CONFUSION.removesuffix(".json"):
            continue
        title = "First samples" if file.stem == "visual" else file.stem.replace("_", " ")
        if image := embedder.image(file, f"{title} of {directory.name}", class_="wide"):
            yield join(tag("h3", title), image)


def metric_tiles(results: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the metrics of the test, or else of other stages, that deserve a tile."""
    finite = {name: value for name, value in results.items() if math.isfinite(value) and not name.endswith("/sum")}
    chosen = [name for name in finite if name.startswith("test/")] or [*finite]
    return [(name, finite[name]) for name in chosen[:_MAX_TILES]]
