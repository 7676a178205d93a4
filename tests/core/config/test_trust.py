"""What the configuration of a checkpoint may name: what an honest one does, and nothing else."""

import json
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import BackboneFinetuning
from torch import Tensor, nn
from torch.nn import functional as F

from project.core.config.annotations import parameters_of
from project.core.config.trust import SavedText, check_plain, mark_saved, texts_in, trust_default
from project.core.errors import ConfigError
from tests.components import MLP
from tests.conftest import Cli


def own_activation(values: Tensor) -> Tensor:
    """Return positive values."""
    return values.clamp(min=0)


class Flexible(MLP):
    """Net with arguments that are functions and classes, which config.yaml contains by their import paths."""

    def __init__(
        self,
        activation: Callable[[Tensor], Tensor] = F.gelu,
        own: Callable[[Tensor], Tensor] = own_activation,
        layer: type[nn.Module] = nn.Linear,
        device: torch.device | str = "cpu",
        path: Path = Path("a/b"),
        anything: Any = None,
    ) -> None:
        super().__init__(64, 10)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "torch.nn.functional.relu", "layer": "torch.nn.Bilinear"},
        {"device": "cuda:0", "path": "/data/x", "anything": "../x"},
    ],
)
def test_honest_checkpoint_needs_no_trust(options: dict[str, Any], cli: Cli, tiny: Callable[..., str]) -> None:
    net = {"type": "tests.core.config.test_trust.Flexible"} | options
    ran = cli("fit", "--config", tiny({"model": {"net": net}}))
    assert ran.code == 0, ran.err
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    assert ran.code == 0, ran.err


SPEC = {"class_path": "torch.package.PackageExporter", "init_args": {"f": "x"}}


@pytest.mark.parametrize(
    ("value", "annotation", "path"),
    [
        ("os.system", Callable[..., Any], "model.net.activation"),
        ("os.system", Callable[..., Any] | None, "model.net.activation"),
        (["os.system"], list[Callable[[int], float]], "model.scheduler.lr_lambda"),
        ({"a": "os.system"}, dict[str, Callable[..., Any]], "model.net.activations"),
        ("torch.load", Callable[..., Any], "model.net.activation"),
        ("torch.hub.load", Callable[..., Any], "model.net.activation"),
        ("torch.nn.functional.warnings.sys.exit", Callable[..., Any], "model.net.activation"),
        ("project.core.files.os.system", Callable[..., Any], "model.net.activation"),
        ("project.core.files.link.__globals__", Callable[..., Any], "model.net.activation"),
        ("subprocess.Popen", type[nn.Module], "model.net.layer"),
        ("antigravity.x", torch.dtype, "model.net.dtype"),
        ("./config.yaml", nn.Module, "model.net.part"),
        (SPEC, Any, "model.net.anything"),
        (SPEC, Callable[..., Any], "model.net.activation"),
        ([SPEC], list[Any], "model.net.anything"),
        ({"a": {"b": SPEC}}, dict[str, Any], "model.net.anything"),
        ({"class_path": "torch.nn.Linear", "init_args": {"in_features": SPEC}}, Any, "model.net.anything"),
        (json.dumps(SPEC), Any, "model.net.anything"),
        (f"[{json.dumps(SPEC)}]", Parameter.empty, "model.net.anything"),
        ("a: {class_path: os.x}", Any, "model.net.anything"),
        ("project.core.cli.main.main", Callable[..., Any], "model.net.activation"),
        ("torch.utils.data.datapipes.iter.FileOpener", type[Any], "data.eval.part"),
        ("relative", Path, "trainer.callbacks.0.dirpath"),
        ("relative", str | Path | None, "trainer.default_root_dir"),
        ("/absolute", str, "trainer.profiler.filename"),
        ("a/../../b", str | None, "trainer.callbacks.0.filename"),
    ],
    ids=str,
)
def test_saved_text_that_names_anything_else_is_refused(value: Any, annotation: Any, path: str) -> None:
    check_plain(value, annotation, path)  # the user's own
    with pytest.raises(ConfigError, match=rf"^{path}.*: the config saved in the checkpoint names '.*\n.*add --trust"):
        check_plain(mark_saved(value, ()), annotation, path)


def test_texts_that_the_user_gives_are_not_marked() -> None:
    saved = {"a": ["x", 1, None], "b": {"type": "y"}}
    marked = mark_saved(saved, {"x", "b"})
    assert marked == saved
    assert [type(text) for text in (*marked, marked["a"][0], marked["b"]["type"])] == [SavedText, str, str, SavedText]
    assert texts_in(saved) == {"a", "b", "x", "type", "y"}


def test_default_of_an_argument_is_trusted() -> None:
    saved = SavedText("tests.core.config.test_trust.own_activation")
    assert type(trust_default(saved, own_activation)) is str
    assert type(trust_default(saved, F.gelu)) is SavedText
    path = "pytorch_lightning.callbacks.finetuning.multiplicative"
    default = parameters_of(BackboneFinetuning)["lambda_func"].default
    assert type(trust_default(SavedText(path), default)) is str
