"""The jobs of Slurm and torchrun that trained in a run directory: a job that is restarted resumes its run."""

from collections.abc import Mapping
from pathlib import Path

from project.core.distributed.cluster import job_record
from project.core.files import write_text


def record_job(run: Path, environment: Mapping[str, str]) -> None:
    """Note in a run directory that this job trains in it."""
    if record := job_record(environment):
        file, job = run / record[0], record[1]
        write_text(file, "".join(f"{each}\n" for each in dict.fromkeys([*_jobs(file), job])))


def belongs_to_job(run: Path, environment: Mapping[str, str]) -> bool:
    """Return whether this job of Slurm or torchrun saved a checkpoint in a run directory before it was restarted."""
    record = job_record(environment)
    return record is not None and record[1] in _jobs(run / record[0]) and any((run / "checkpoints").glob("*.ckpt"))


def _jobs(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split() if file.is_file() else []
