"""Tests of the settings on a page."""

from pathlib import Path

import pytest

from project.study.report import configuration
from project.study.report.configuration import show_configuration
from tests.study.report.run_files import CONFIG, write_files

DEFAULTS = "seed: 0\nmodel: {type: SupervisedModule, clip: null}\ndata: {batch_size: 1}\ntrainer: {max_epochs: null}\n"


@pytest.fixture(autouse=True)
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"default.yaml": DEFAULTS, "run/config.yaml": CONFIG})
    monkeypatch.setattr(configuration, "find_shared", lambda name: tmp_path / "default.yaml")


def rows(shown: str) -> list[str]:
    return shown.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]


def test_what_was_set_is_shown_with_its_default(tmp_path: Path) -> None:
    """Settings that equal the defaults are left out, and a reference is shown with its value."""
    given = "name: x\nseed: 0\ndata: {batch_size: 8}\nmodel: {lr: '${vars.lr}', clip: ''}\ntrainer: {max_epochs: 3}\n"
    write_files(tmp_path, {"run/given.yaml": given})
    problems: list[str] = []
    shown = str(show_configuration(tmp_path / "run", {"model.lr": 0.003}, problems))
    assert problems == []
    assert [row.split("</th>")[0].rpartition(">")[2] for row in rows(shown)] == [
        *("data.batch_size", "model.lr", "model.clip", "trainer.max_epochs")
    ]
    assert "<td>8</td><td>1</td>" in shown
    assert '<td>0.003 <small class="dim">${vars.lr}</small></td>' in shown
    assert "<td>3</td><td>null</td>" in shown


def test_without_given_yaml_config_yaml_is_compared(tmp_path: Path) -> None:
    settings: dict[str, object] = {"seed": 0, "data.batch_size": 1.0, "model.net.width": 16, "model.net.blocks": "None"}
    shown = str(show_configuration(tmp_path / "run", settings, []))
    assert len(rows(shown)) == 1
    assert "model.net.width" in rows(shown)[0]
    assert "without given.yaml" in shown


def test_without_default_yaml_all_that_was_set_is_shown(tmp_path: Path) -> None:
    """An installed package may have no configs."""
    (tmp_path / "default.yaml").unlink()
    write_files(tmp_path, {"run/given.yaml": "seed: 0\n"})
    shown = str(show_configuration(tmp_path / "run", {}, []))
    assert len(rows(shown)) == 1
    assert "<th>default</th>" not in shown
    (tmp_path / "run/given.yaml").unlink()
    assert "configs/default.yaml" not in str(show_configuration(tmp_path / "run", {"seed": 0}, []))


@pytest.mark.parametrize("text", ["a: [", "", "5", "a: &x [*x]", "\0"])
def test_damaged_given_yaml_is_a_problem(tmp_path: Path, text: str) -> None:
    write_files(tmp_path, {"run/given.yaml": text})
    problems: list[str] = []
    shown = show_configuration(tmp_path / "run", {"x": 1}, problems)
    assert len(problems) == 1
    assert "given.yaml" in problems[0]
    assert len(rows(str(shown))) == 1


def test_a_long_configuration_is_cut(tmp_path: Path) -> None:
    write_files(tmp_path, {"run/config.yaml": "a: 1\n" * 50_000, "run/given.yaml": f"text: {'x' * 5000}\n"})
    shown = str(show_configuration(tmp_path / "run", {}, []))
    assert len(shown) < 110_000
    assert "only the first 100000 characters are shown" in shown


def test_the_defaults_of_the_engine_are_found() -> None:
    assert (Path(configuration.__file__).parents[3] / "configs/default.yaml").is_file()
