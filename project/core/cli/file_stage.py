"""The stage `predict --files`: files in place of the datasets of the configuration."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loguru import logger

from project.core.cli.arguments import Arguments
from project.core.cli.building import PartCLI
from project.core.cli.file_datasets import Reading, find_reading, predict_command
from project.core.cli.stages import StageCLI
from project.core.config.configuration import Config, build_config
from project.core.data.datamodule import DataModule
from project.core.data.file_inputs import PictureFiles, describe_inputs, file_dataset
from project.core.data.number_files import OtherFilesError
from project.core.data.raw_inputs import class_names
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, RunStopped
from project.core.log import is_rank_zero
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.recorded_inputs import NetInputs, find_inputs

RESULTS = "predict_files"  # name of the directory of results
_KEPT = ("batch_size", "num_workers")  # settings of the data that still matter
_SPLITS = ("predict", "eval", "val", "train")
_MAX_NAMED = 20  # files that cannot be read


class FileStageCLI(StageCLI):
    """LightningCLI of the stage `predict` on files. No dataset of the configuration is built.

    Only for a checkpoint that does not say what the net takes, a dataset is built: that of the first split that can be.

    Args:
        arguments: the command line, with `files`.
        config: the configuration.
        checkpoint: the checkpoint, or exported model.
        interruption: receives the signals that ask the run to stop.
        stack: closes the logs.
        results: directory of the results.
    """

    datamodule: DataModule

    def __init__(
        self,
        arguments: Arguments,
        config: Config,
        checkpoint: LoadedCheckpoint,
        interruption: Interruption,
        stack: ExitStack,
        results: Path,
    ) -> None:
        self.files, self.given_config = arguments.options["files"], config
        self.net_inputs = NetInputs(checkpoint.inputs, checkpoint.classes)
        super().__init__(arguments, _without_datasets(config), checkpoint, interruption, stack, results)

    @property
    def results_config(self) -> str:
        return f"{_origin(self.files)}\n{super().results_config}"

    def run(self) -> None:
        """Run the stage.

        Raises:
            RunStopped: files cannot be read; the results have the others.
        """
        super().run()
        if is_rank_zero() and isinstance(self.dataset, PictureFiles):
            self._check_read(self.dataset)

    def _check_data(self) -> None:
        if not self.net_inputs.inputs:
            self.net_inputs = self._find_inputs()
            self.writer.classes = self.net_inputs.classes
        assert self.checkpoint is not None
        # A dataset that reads such files may scale their numbers, and then the net does not take them as they are.
        reading = find_reading(self.given_config.tree.get("data"), Path(self.files))
        try:
            self.dataset = file_dataset(
                Path(self.files), self.net_inputs.inputs, self.checkpoint.check_shape, any_names=reading is None
            )
        except OtherFilesError as error:
            raise self._with_command(error, reading) from error
        if "results_dir" not in self.arguments.options:
            assert self.results is not None
            _check_results(self.results, self.files)
        self.datamodule.predict_on(self.dataset)
        if isinstance(self.dataset, PictureFiles) and self.dataset.picture.size is None:
            self.datamodule.batch_size = 1  # they differ in size
        super()._check_data()

    def _with_command(self, error: OtherFilesError, reading: Reading | None) -> ConfigError:
        """Return the error with the command that predicts with the dataset which reads such files, if there is one."""
        if reading is None:
            return error
        first, *_ = str(error).splitlines()
        return ConfigError(
            f"{first}\nThe net takes {describe_inputs(self.net_inputs.inputs)}. If {reading.name} of this run can read "
            f"the file: {predict_command(self.arguments.ckpt_path, reading)}"
        )

    def _find_inputs(self) -> NetInputs:
        """Return what the net takes, of a checkpoint that does not say it."""
        assert self.checkpoint is not None
        path, name = self.checkpoint.path, type(self.model).__name__
        if not hasattr(self.model, "call_net"):
            raise ConfigError(f"--files: {path} does not say what {name} takes: predict with a dataset")
        data: Any = PartCLI(self.given_config, "data").datamodule
        reason = "its data module is not the engine's"
        for split in _SPLITS if isinstance(data, DataModule) else ():
            if not data.dataset_names(split):
                continue
            try:
                inputs = find_inputs(data, split, self.model)
                dataset, source = data.first_dataset(split)
            except (ConfigError, OSError) as error:  # its files are not here
                reason = str(error)
                continue
            if inputs:
                logger.info(f"{path} does not say what the net takes; took it from {source}")
                return NetInputs(inputs, class_names(dataset))
            reason = f"the samples of {source} lack what it takes"
        raise ConfigError(f"--files: {path} does not say what the net takes, and no dataset does\n{reason}")

    def _check_read(self, dataset: PictureFiles) -> None:
        assert self.results is not None
        read = set(self.writer.written.get(0, ()))
        reached = min(len(dataset), sum(map(int, self.trainer.num_predict_batches)) * self.datamodule.batch_size)
        errors = [dataset.find_error(index) for index in range(reached) if index not in read]
        if not (named := [error for error in errors if error is not None]):
            return
        if not read:
            (self.results / "samples.csv").unlink(missing_ok=True)  # of an earlier prediction
        lines = [f"{len(named)} of {reached} files cannot be read", *named[:_MAX_NAMED]]
        if len(named) > _MAX_NAMED:
            lines.append(f"... and {len(named) - _MAX_NAMED} more")
        raise RunStopped("\n".join(lines))


def _without_datasets(config: Config) -> Config:
    """Return a configuration with the engine's data module, without datasets."""
    data = config.tree.get("data")
    kept = {key: data[key] for key in _KEPT if key in data} if isinstance(data, dict) else {}
    return build_config(config.tree | {"data": kept})


def _origin(files: str) -> str:
    """Return the first line of config.yaml of the results of some files."""
    return f"# --files {json.dumps(str(Path(files).absolute()))}"


def _check_results(results: Path, files: str) -> None:
    """Raise ConfigError if a directory has results of other files."""
    config = results / "config.yaml"
    if not config.is_file():
        return
    first = config.read_text(encoding="utf-8").partition("\n")[0]
    if first != _origin(files):
        others = first.removeprefix("# --files ")
        raise ConfigError(
            f"{results} has the results of other files: {others}\n"
            f"Give these another directory: --results_dir {results}_2"
        )
