"""CSV: the logger and its file."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.core.saving import save_hparams_to_yaml
from pytorch_lightning.utilities import rank_zero_only

from project.core.files import atomic_write


class MetricsFile:
    """A file metrics.csv, with a row for all values that are logged together.

    Lightning's writer deletes an existing file, and may lose it while it adds a column.

    Args:
        directory: directory of the file.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "metrics.csv"
        self.metrics: list[dict[str, Any]] = []  # rows that are not written; Lightning reads their number
        self.num_rows = 0  # in the file
        self._columns: list[str] = []
        self._hparams: dict[str, Any] = {}

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Write hyper-parameters to hparams.yaml."""
        self._hparams |= params
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_hparams_to_yaml(self.path.with_name("hparams.yaml"), self._hparams)

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Add a row."""
        values = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
        self.metrics.append(values | {"step": step})

    def save(self) -> None:
        """Write the rows; the file is written again, as a whole, if they have new columns."""
        if not self.metrics:
            return
        columns = sorted({*self._columns}.union(*self.metrics))
        if columns == self._columns:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns).writerows(self.metrics)
        else:
            self._write(columns, [*self._read(), *self.metrics])
        self.num_rows, self.metrics = self.num_rows + len(self.metrics), []

    def rewind(self, num_rows: int | None, step: int, archive: Path | None) -> None:
        """Cut the file to the state in which a checkpoint was saved.

        Args:
            num_rows: number of rows then; None if the checkpoint does not tell.
            step: step of the checkpoint; rows of later steps are cut if the number is unknown.
            archive: path of a copy of the whole file; None makes no copy.
        """
        if archive is not None and self.path.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.path, archive)
        rows = self._read()
        # Before the number was saved, the values of a step had the number of the step before.
        kept = rows[:num_rows] if num_rows is not None else [row for row in rows if int(row["step"]) < step]
        columns = {name for row in kept for name, value in row.items() if value}
        if rows:
            self._write(sorted(columns), kept)
        self.num_rows = len(kept)

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _write(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        self._columns = columns


class CSVLogger(pl.loggers.CSVLogger):
    """Logger that writes RUN/metrics.csv; a resumed run continues it as if it had never stopped.

    Args:
        save_dir: the run directory by default; another one must be of this run alone.
        name: directory in `save_dir`.
        version: directory in that one.
        prefix: put before the names of values.
        flush_logs_every_n_steps: as in Lightning; the trainer writes each row at once.

    Example::

        trainer: {logger: [{type: CSVLogger}]}
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "",
        version: int | str | None = "",
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        # A run has a directory of its own, so that it needs no number. Null is the default in older runs.
        super().__init__(save_dir, name, 0 if version is None else version, prefix, flush_logs_every_n_steps)
        self.file = MetricsFile(Path(self.log_dir))

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        return self.file

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()
