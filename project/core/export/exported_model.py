"""Exported models in the place of a checkpoint, for validate, test and predict."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from project.core.config.changes import changed_by_options
from project.core.config.configuration import Config
from project.core.config.yaml_files import Tree
from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, did_you_mean, join_names, missing_package
from project.core.model.fitting import adopt_shapes
from project.core.model.module import SupervisedModule
from project.core.run.checkpoint_files import EXPORTED, LoadedCheckpoint
from project.core.run.checkpoint_header import CONFIG
from project.core.run.run_directory import is_run
from project.deploy.inputs import Input, InputError
from project.deploy.predictor import Predictor

ONNX = EXPORTED[0]
_STATEFUL = ("losses.", "fitted_metrics.")  # parts of a SupervisedModule that are not in the graph
_MAX_STATE = 16 * 2**20  # bytes of their tensors that model.onnx contains
_FIXED = ("model.type", "model.net", "model.prepare")  # config paths of what the file contains
_FULL = ("32-true", "32", 32, "64-true", "64", 64, None)  # precisions that do not round the batch


@dataclass
class ExportedModel(LoadedCheckpoint):
    """A file model.onnx that onnxruntime runs, on the CPU, in the place of the net and `model.prepare`.

    Its configuration is that of the checkpoint from which it was exported. The net that this names is built, but not
    used.
    """

    predictor: Predictor

    @property
    def inputs(self) -> dict[str, Input]:
        return dict(self.predictor.card.inputs)

    @property
    def classes(self) -> Mapping[str, list[str]]:
        return self.predictor.card.classes

    @property
    def check_shape(self) -> Callable[[str, tuple[int, ...]], None]:
        return self.predictor.card.check_shape

    def load_weights(self, module: nn.Module) -> None:
        """Have a module take outputs and predictions from the file; load the state of its losses and metrics.

        Raises:
            ConfigError: the module is no SupervisedModule, or its losses or metrics have other weights.
        """
        if not isinstance(module, SupervisedModule):
            raise ConfigError(
                f"{self.path} can be evaluated only in a SupervisedModule, and model is a {type(module).__name__}: use "
                "the checkpoint"
            )
        self._load_state(module)
        session = _Session(self.predictor, module)
        module.forward = session.forward  # type: ignore[method-assign]
        module.call_predict = session.predict if module.call_predict is not None else None  # type: ignore[assignment]
        module.net.forward = session.refuse  # type: ignore[method-assign]

    def _load_state(self, module: SupervisedModule) -> None:
        state = self.content["state_dict"]
        own = [name for name in module.state_dict() if name.startswith(_STATEFUL)]
        if missing := [name for name in own if name not in state]:
            part = ".".join(missing[0].split(".")[:2]).replace("losses.", "loss.").replace("fitted_metrics.", "metric.")
            raise ConfigError(f"model.{part} has weights that {self.path} does not contain: evaluate the checkpoint")
        adopt_shapes(module, state)
        self.match_precision(module)
        try:
            module.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise self.mismatch(error) from error


class _Session:
    """What a module calls in the place of its `forward` and its net's `predict`.

    Args:
        predictor: the exported model.
        module: the module.
    """

    def __init__(self, predictor: Predictor, module: SupervisedModule) -> None:
        self.predictor, self.module = predictor, module
        self.dtypes = {name: getattr(torch, dtype.name) for name, dtype in predictor.dtypes.items()}
        self.output: Tensors = {}  # what `forward` returned last
        self.answers: Tensors = {}

    def forward(self, batch: Tensors) -> Tensors:
        """Return the outputs of the net for a batch `(B, ...)`.

        Raises:
            ConfigError: the batch has not the inputs of the net.
        """
        given = {name: self._to_array(batch, name, dtype) for name, dtype in self.dtypes.items()}
        try:
            values = {name: self._to_tensor(value) for name, value in self.predictor.run(given).items()}
        except InputError as error:
            raise ConfigError(str(error)) from error
        card = self.predictor.card
        self.output = {name: values[output] for name, output in card.outputs.items()}
        self.answers = {name: values[output] for name, output in card.answers.items()}
        return self.output

    def predict(self, _: Mapping[str, Tensor], output: Mapping[str, Tensor]) -> Tensors:
        """Return the result of the net's `predict`, which the graph computed from its output.

        Raises:
            ConfigError: `output` is not what `forward` returned.
        """
        if output is not self.output:
            self.refuse()
        return self.answers

    def refuse(self, *_: object, **__: object) -> Tensors:
        """Raise ConfigError where a subclass would use the net of the module, which is not trained."""
        raise ConfigError(
            f"{type(self.module).__name__} calls its net in a way that {self.predictor.path} does not contain: "
            "evaluate the checkpoint"
        )

    def _to_array(self, batch: Tensors, name: str, dtype: torch.dtype) -> Any:
        if not isinstance(batch.get(name), Tensor):
            near = did_you_mean(name, batch)
            raise ConfigError(
                f"{self.predictor.path} needs '{name}', which the batch does not contain{near}\n"
                f"batch: {join_names(batch)}"
            )
        return batch[name].detach().to("cpu", dtype).contiguous().numpy()

    def _to_tensor(self, array: Any) -> Tensor:
        """Return an output on the device of the module, in float64 where the trainer computes in that."""
        value = torch.from_numpy(array)
        return value.to(self.module.device, torch.get_default_dtype() if value.dtype is torch.float32 else value.dtype)


def load_exported(path: Path) -> ExportedModel:
    """Load an exported model.

    Raises:
        ConfigError: `export` did not write the file, it is damaged, or onnxruntime is not installed.
    """
    try:
        predictor = Predictor(path, threads=torch.get_num_threads())
        state = _unpack(predictor.card.state, path)
    except InputError as error:
        raise ConfigError(str(error)) from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path} {missing_package(error)}") from error
    return ExportedModel(path, {CONFIG: predictor.card.config, "state_dict": state}, predictor)


def pack_state(module: nn.Module) -> str:
    """Return the tensors of losses and metrics for `ModelCard.state`; empty if there are none, or too many.

    Args:
        module: a SupervisedModule.
    """
    state = {name: value for name, value in module.state_dict().items() if name.startswith(_STATEFUL)}
    if not state or sum(value.nbytes for value in state.values()) > _MAX_STATE:
        return ""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def _unpack(text: str, path: Path) -> dict[str, Tensor]:
    if not text:
        return {}
    try:
        state = torch.load(io.BytesIO(base64.b64decode(text)), map_location="cpu", weights_only=True)
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
            raise TypeError("a state is not a tensor")
        return dict(state)
    except Exception as error:  # damaged files raise any exception
        raise InputError(f"{path} cannot be used: the state of its losses and metrics is damaged") from error


def origin_directory(path: Path) -> Path:
    """Return the run directory in which `export` wrote a file; the file's own directory if it was moved elsewhere."""
    run = path.absolute().parent.parent
    return run if is_run(run) else path.parent


def results_directory(path: Path, stage: str) -> Path:
    """Return the default directory of the results of an exported model, which is none of a checkpoint's."""
    directory = path.parent / "eval"
    has_other_results = is_run(path.parent) or any(path.parent.glob("*.ckpt"))
    return directory / path.stem / stage if has_other_results else directory / stage


def in_full_precision(tree: Tree) -> list[Tree]:
    """Return settings to merge over a configuration, so that the trainer does not round batches for the graph."""
    trainer = tree.get("trainer")
    precision = trainer.get("precision") if isinstance(trainer, dict) else None
    return [] if precision in _FULL else [{"trainer": {"precision": "32-true"}}]


def check_unchanged(saved: Tree, config: Config, path: Path) -> None:
    """Raise ConfigError if options change what an exported model contains."""
    for changed in changed_by_options(saved, config.tree, config):
        if any(f"{changed}.".startswith(f"{fixed}.") for fixed in _FIXED):
            raise ConfigError(f"{changed} cannot be changed: {path} contains the net; change it with the checkpoint")
