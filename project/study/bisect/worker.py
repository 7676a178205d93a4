"""A replay in a process of its own: `python -m ...worker RUN FIRST LAST OUTPUT [--trust]`.

The code of an earlier commit may do it for a newer command: the arguments and the form of the files do not change.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from project.core.config.settings import DigestSettings
from project.core.data.datamodule import DataModule, sample_namer
from project.core.digest_file import DIGESTS
from project.core.distributed.signals import die_with_parent
from project.core.errors import ConfigError, user_message
from project.core.files import write_text
from project.core.run.checkpoint_files import list_by_step
from project.core.run.lineage import read_lineage
from project.core.training.digests.recorder import DigestRecorder
from project.study.bisect.recorded import Comparison, add_digests, compare_curves, load_digests, load_saved
from project.study.bisect.state import digest_state, trained_state
from project.study.digests import read_digests
from project.study.events import read_curves
from project.study.replay.replaying import Replayed, replay_steps
from project.study.replay.stretches import Stretch, find_stretches
from project.study.replay.watching import StepWatcher

RESULT = "result.json"


class BatchSamples(StepWatcher):
    """Samples of each step, as the batch contains them: indices, with the names that the dataset gives them.

    Args:
        first: the first step.
        last: the last step.
    """

    def __init__(self, first: int, last: int) -> None:
        super().__init__(first, last)
        self.samples: dict[int, list[Any]] = {}
        self._seen: list[Any] = []

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        index = batch.get("index") if isinstance(batch, Mapping) else None
        indices = index.tolist() if isinstance(index, torch.Tensor) else []
        data: object = trainer.datamodule  # type: ignore[attr-defined]
        namer = sample_namer(trainer, "train", 0) if isinstance(data, DataModule) else None
        self._seen += [f"{namer(each)} ({each})" for each in indices] if namer else indices

    def after_step(self, trainer: pl.Trainer, module: pl.LightningModule, steps: range) -> None:
        self.samples |= dict.fromkeys(steps, self._seen)
        self._seen = []

    def drop(self) -> None:
        self._seen = []


def main(argv: Sequence[str]) -> int:
    """Replay steps of a run, and write what happened in them, and where that is not what the run recorded.

    Args:
        argv: run directory, first and last step, the directory to write to, and --trust.

    Returns:
        0, or 2 if the run cannot be replayed.
    """
    run, first, last, output = Path(argv[0]), int(argv[1]), int(argv[2]), Path(argv[3])
    saved = {step: path for path, step in list_by_step(run / "checkpoints").items() if first <= step <= last}
    samples = BatchSamples(first, last)
    digests = DigestRecorder(output / DIGESTS, DigestSettings(all=1))
    watchers, states = [digests, samples], {*saved, last}
    stretches, trusts = _find_stretches(run, first, last), "--trust" in argv[4:]
    replayed = replay_steps(run, first, last, watchers, states, stretches=stretches, trust=trusts)
    own = _compare_record(run, replayed, saved, last)
    add_digests(own, load_digests(run, own), read_digests(output / DIGESTS))
    end = digest_state(trained_state(replayed.states[last]))
    content = {"own": asdict(own), "samples": samples.samples, "end": end, "rounding": replayed.rounding}
    write_text(output / RESULT, json.dumps(content))
    return 0


def _find_stretches(run: Path, first: int, last: int) -> list[Stretch]:
    """Return the stretches that lead to steps of a run, of which its origin may have trained the first ones."""
    segment = read_lineage(run)[0]
    if segment.forked_from is None or first > segment.from_step:
        return find_stretches(run, first, last)
    own = find_stretches(run, segment.from_step + 1, last)
    return [*_find_stretches(Path(str(segment.forked_from.get("run"))), first, segment.from_step), *own]


def _compare_record(run: Path, replayed: Replayed, saved: Mapping[int, Path], last: int) -> Comparison:
    """Compare the curves and checkpoints of a run with those of its replay."""
    own = Comparison()
    compare_curves(read_curves(run), replayed.curves, own, replayed.first + 1, last)
    for step, path in sorted(saved.items()):
        if (checkpoint := load_saved(path, own)) is not None:
            own.add_states(step, trained_state(checkpoint.content), trained_state(replayed.states[step]))
    return own


if __name__ == "__main__":
    die_with_parent()
    try:
        code = main(sys.argv[1:])
    except ConfigError as error:
        print("error:", user_message(error), file=sys.stderr)
        code = 2
    sys.exit(code)
