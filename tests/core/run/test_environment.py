"""environment.json tells what the numbers of a run may depend on, and nothing secret."""

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from project.core.run import environment, numerics
from project.core.run.environment import describe_environment
from project.core.run.git import GitState
from tests.conftest import Cli

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


def describe() -> dict[str, dict[str, Any]]:
    """Return the environment of a run on one CPU."""
    trainer: Any = SimpleNamespace(world_size=1, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    return describe_environment(trainer, GitState("1f", ""))


def test_values_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("TORCH_API_TOKEN", "secret")
    monkeypatch.setenv("HOME_TOKEN", "secret")
    found = describe()
    assert found["packages"]["numpy"] == version("numpy")
    assert found["packages"]["torch"] == version("torch")
    assert found["numerics"] == {"fingerprint": numerics.numerics_fingerprint(torch.device("cpu"))}
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["variables"]["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "secret" not in json.dumps(found)
    assert found["git"] == {"commit": "1f", "is_dirty": False}
    assert found["gpu"] == {}
    assert all(isinstance(value, str | int | None) for group in found.values() for value in group.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: A: B\nflags\t\t: fpu avx2 sse4_1\n\nmodel name\t: C\n", ("A: B", "avx2 sse4_1")),
        ("processor\t: 0\nFeatures\t: fp asimd sve\n", (None, "asimd sve")),
        ("", (None, None)),
    ],
    ids=["x86", "arm", "empty"],
)
def test_processor_is_the_first_one(
    text: str, expected: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(numerics, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(environment, "read_processor", numerics.read_processor.__wrapped__)
    processor = describe()["processor"]
    assert (processor["model"], processor["instruction_sets"]) == expected


def test_run_on_gpus_names_those_that_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", "GPU {}".format)
    monkeypatch.setattr(environment, "numerics_fingerprint", str)
    trainer: Any = SimpleNamespace(
        world_size=8, strategy=SimpleNamespace(root_device=torch.device("cuda", 2)), device_ids=[2, 3]
    )
    found = describe_environment(trainer, GitState(None, None))
    assert found["numerics"] == {"fingerprint": "cuda:2"}
    assert found["gpu"] == {
        "cuda:2": "GPU 2",
        "cuda:3": "GPU 3",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


@pytest.mark.slow
def test_each_start_of_a_run_keeps_its_own(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A resume may run other code on another machine; given.yaml is that of the first start."""
    subprocess.run([*GIT, "init", "-q"], check=True)
    (tmp_path / "code.py").write_text("first\n")
    (tmp_path / ".gitignore").write_text("*.yaml\nexperiments\n")
    subprocess.run([*GIT, "add", "."], check=True)
    subprocess.run([*GIT, "commit", "-qm", "x"], check=True)
    config = tiny({"vars": {"rate": 0.01}})
    assert cli("fit", "--config", config, "--model.optimizer.lr", "${vars.rate}").code == 0
    (tmp_path / "code.py").write_text("second\n")
    assert cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2").code == 0
    run = tmp_path / "experiments/tiny"
    first, second = (json.loads((run / f"environment{each}.json").read_text()) for each in ("", ".resume1"))
    assert [each["git"]["is_dirty"] for each in (first, second)] == [False, True]
    assert first["git"]["commit"] == second["git"]["commit"]
    assert not (run / "git.diff").exists()
    assert "+second" in (run / "git.resume1.diff").read_text()
    given = (run / "given.yaml").read_text()
    assert "lr: ${vars.rate}" in given
    assert "max_epochs: 1\n" in given
    assert cli("fit", "--config", str(run / "given.yaml"), "--name", "again").code == 0
    again = (tmp_path / "experiments/again/config.yaml").read_text()
    assert again.replace("again", "tiny") == (run / "config.yaml").read_text()
