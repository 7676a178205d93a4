"""How a run starts, and what that does to its directory."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import BaseFinetuning

from project.core.config.construction import Component
from project.core.config.pretrained import Pretrained
from project.core.config.yaml_files import flatten, parse_yaml
from project.core.data.datamodule import DataModule
from project.core.errors import ConfigError
from project.core.files import write_text
from project.core.run.checkpoint_files import BEST, LAST, LoadedCheckpoint, checkpoint_name
from project.core.run.checkpoint_header import numeric_environment
from project.core.run.data_files import describe_data
from project.core.run.environment import describe_environment
from project.core.run.lineage import LINEAGE, Segment, add_segment, read_lineage
from project.core.run.loggers import restore_loggers
from project.core.run.pretrained import finetune_options
from project.core.run.run_directory import RunDirectory
from project.core.run.state_chain import cut_chain
from project.core.tensorboard import find_dedup_logger


@dataclass
class RunStart:
    """Start of a run: a new one, a new one with the weights of another run, or one resumed from a checkpoint.

    A run that is resumed under a new name gets a new directory.

    Args:
        directory: the run directory.
        replace: whether an existing run of this name may be moved.
        checkpoint: checkpoint that the run is resumed from.
        finetune: weights that `--finetune` names.
        is_fast_dev_run: whether the trainer only tries the code (`trainer.fast_dev_run`) and nothing is saved.
        components: components of the configuration, which may name data files.
    """

    directory: RunDirectory
    replace: bool = False
    checkpoint: LoadedCheckpoint | None = None
    finetune: Pretrained | None = None
    is_fast_dev_run: bool = False
    components: Sequence[Component] = ()

    @property
    def first_step(self) -> int:
        """The number of optimizer steps done before the run starts."""
        return self.checkpoint.step if self.checkpoint else 0

    @property
    def resumes_in_place(self) -> bool:
        """Whether the run resumes in the directory of the checkpoint."""
        return self.checkpoint is not None and self.checkpoint.run_directory == self.directory.path

    @property
    def logger_states(self) -> Mapping[str, Mapping[str, Any]]:
        """States of the loggers in the checkpoint of a run that resumes in its directory; loggers of others are new."""
        return self.checkpoint.header.loggers if self.checkpoint is not None and self.resumes_in_place else {}

    def changed_settings(self, config: str) -> list[str]:
        """Return the config paths at which a configuration differs from that of the checkpoint; none for a new run."""
        if self.checkpoint is None:
            return []
        before, now = (flatten(parse_yaml(text, "the config")) for text in (self.checkpoint.header.config, config))
        return [path for path in before | now if before.get(path) != now.get(path)]

    def check(self, pretrained: str | None = None) -> None:
        """Raise ConfigError, before anything is built, if the options contradict each other or a run would be lost.

        Args:
            pretrained: path in `model.pretrained`, if a new run starts with these weights.
        """
        if self.is_fast_dev_run:
            if self.checkpoint is not None:
                raise ConfigError("--resume continues a run, but trainer.fast_dev_run only tries the code")
            return
        sources = {"--finetune": self.finetune.path if self.finetune else None, "model.pretrained": pretrained}
        for where, source in sources.items():
            weights = Path(source or "/").absolute()
            if self.directory.path in (weights, *weights.parents):
                raise ConfigError(f"{where} starts another run than {self.directory.path}; use a different --name")
        if self.resumes_in_place:
            read_lineage(self.directory.path)  # damaged, it cannot be continued
        else:
            self.directory.check_free(self.replace)

    def acquire_directory(self, config: str, given: str) -> None:
        """Create the directory with its config.yaml, or lock the directory of a resumed run.

        Args:
            config: the whole configuration as yaml.
            given: what yaml files and options contained, as yaml; a resumed run does not depend on that alone.

        Raises:
            ConfigError: another process trains in it.
        """
        if self.resumes_in_place:
            self.directory.lock()
            return
        options = ["--resume", str(self.checkpoint.path.absolute())] if self.checkpoint else []
        options += finetune_options(self.finetune)
        self.directory.create(config, self.replace, options, None if self.checkpoint else given)

    def prepare_directory(self, config: str, trainer: pl.Trainer) -> None:
        """Prepare the directory of a resumed run; called last, when only the training itself can still fail.

        What the numbers may depend on is written for every run that trains: its devices are known now.
        """
        # A start may be killed at any moment. In the directory of its checkpoint, the record comes last: until then, no
        # step was trained, and what is recorded of the earlier ones is true. In a new directory, the checkpoint comes
        # last: a run that has it, but no record, would seem to have trained all steps itself.
        if self.checkpoint is not None and self.resumes_in_place:
            self._rewind_directory(self.checkpoint, config, trainer)
        if trainer.is_global_zero and not self.is_fast_dev_run:
            self._record(trainer)
        if self.checkpoint is not None and not self.resumes_in_place:
            name = checkpoint_name(self.checkpoint.epoch, self.checkpoint.step)
            cut_chain(self.directory.path, self.checkpoint.header.link, None)
            self.directory.start_from(self._source(self.checkpoint), name)

    def _record(self, trainer: pl.Trainer) -> None:
        """Write what the numbers of the steps that follow may depend on, and then that they follow."""
        segment = self._segment(trainer)
        environment = describe_environment(trainer, self.directory.git) | {"data": describe_data(self.components)}
        write_text(self.directory.path / segment.environment, f"{json.dumps(environment, indent=2)}\n")
        add_segment(self.directory.path, segment)

    def _segment(self, trainer: pl.Trainer) -> Segment:
        """Return what the steps that follow are computed from."""
        suffix, checkpoint = self.directory.suffix, self.checkpoint
        segment = Segment(self.first_step, f"config{suffix}.yaml", f"environment{suffix}.json")
        if checkpoint is None:
            first = getattr(trainer.lightning_module, "pretrained", None)
            pretrained = _located(first) if isinstance(first, Pretrained) else None
            weights = {key: pretrained[key] for key in ("path", "sha256")} if pretrained else None
            return replace(segment, pretrained=weights, finetuned=_located(self.finetune) if self.finetune else None)
        if self.resumes_in_place:
            return segment
        run, source = checkpoint.run_directory, self._source(checkpoint)
        with source.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        origin = {"run": str(run) if run else None, "checkpoint": str(source.absolute())}
        return replace(segment, forked_from=origin | {"step": checkpoint.step, "sha256": checksum})

    def _source(self, checkpoint: LoadedCheckpoint) -> Path:
        """Return the file of a checkpoint that is named by its step: last.ckpt may be another one soon.

        Raises:
            ConfigError: the origin, which still trains, has removed it.
        """
        path, named = checkpoint.path, checkpoint.path.with_name(checkpoint_name(checkpoint.epoch, checkpoint.step))
        if path.name in (BEST, LAST) and named.is_file():
            return named
        if not path.is_file() or path.stat().st_ino != checkpoint.inode:
            raise ConfigError(f"{path} was removed or replaced while this run started; resume a newer checkpoint")
        return path

    def _rewind_directory(self, checkpoint: LoadedCheckpoint, config: str, trainer: pl.Trainer) -> None:
        name, header = checkpoint_name(checkpoint.epoch, checkpoint.step), checkpoint.header
        archive = self.directory.rewind(config, checkpoint.path, name, checkpoint.step, header.event_sizes)
        restore_loggers(trainer, self.directory.path, header.loggers, checkpoint.step, archive)
        if (events := find_dedup_logger(trainer)) is not None:
            events.last_points = dict(header.points)
        cut_chain(self.directory.path, header.link, archive)

    def log_resume(self, trainer: pl.Trainer, datamodule: pl.LightningDataModule) -> None:
        """Log the checkpoint that a run is resumed from, with warnings about what is not exact."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            return
        logger.info(f"resuming from {checkpoint.path} (step {checkpoint.step}, epoch {checkpoint.epoch + 1})")
        if self.resumes_in_place and not (self.directory.path / LINEAGE).exists():
            logger.warning(
                f"an older version trained this run, without {LINEAGE}: its steps are taken to be those of "
                "config.yaml; earlier resumes, --finetune and the run that it was resumed from are not known"
            )
        for name, now in numeric_environment().items():
            before = checkpoint.header.environment.get(name, now)
            if before != now:
                logger.warning(f"{name} was {before} and is {now}: results may differ by rounding")
        if not isinstance(datamodule, DataModule):
            name = type(datamodule).__name__
            logger.warning(f"data ({name}) is read from its start: resuming within an epoch is not exact")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            # Its `on_train_epoch_start` changes its state, and is not called when a run resumes within an epoch.
            if isinstance(callback, BaseFinetuning):
                logger.warning(f"{type(callback).__name__} does not support exact resume; the result will differ")


def _located(settings: Pretrained) -> dict[str, Any]:
    """Return the settings of weights with an absolute path: a replay may be called from elsewhere."""
    return asdict(settings) | {"path": str(Path(settings.path).absolute())}
