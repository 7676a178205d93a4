"""Names of runs are safe as directories and in shell scripts, in every way in which they are given."""

from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.config.yaml_files import parse_yaml
from project.core.errors import ConfigError
from project.core.file_names import check_file_name
from project.core.run.run_directory import RunDirectory
from tests.conftest import Cli, slow_except

RULE = "; it takes up to 128 ASCII letters, digits, inner spaces and ._-+=@, but no . or - at its start"
WRONG = {
    "": "name '' is empty",
    "a/b": "name 'a/b' contains '/'",
    "..": "name '..' begins with '.'",
    ".hidden": "name '.hidden' begins with '.'",
    "-rf": "name '-rf' begins with '-'",
    " a": "name ' a' begins with ' '",
    "a ": "name 'a ' ends with ' '",
    " ": "name ' ' begins with ' '",
    "a\ntouch x": r"name 'a\ntouch x' contains '\n'",
    "a\tb": r"name 'a\tb' contains '\t'",
    "a\rb": r"name 'a\rb' contains '\r'",
    "*": "name '*' contains '*'",
    "`x`": "name '`x`' contains '`'",
    "$(x)": "name '$(x)' contains '$'",
    "%s": "name '%s' contains '%'",
    "{x}": "name '{x}' contains '{'",
    "a;b": "name 'a;b' contains ';'",
    "a\\b": r"name 'a\\b' contains '\\'",
    "größe": "name 'größe' contains 'ö'",
    "\u202ea": r"name '\u202ea' contains '\u202e'",
    "x" * 129: f"name '{20 * 'x'}...' has 129 characters",
    "x" * 300: f"name '{20 * 'x'}...' has 300 characters",
}
WRONG_ON_WINDOWS = ["con", "NUL", "aux.1", "com1", "a."]
RIGHT = ["a", "007", "1e5", "null", "true", "=", "@a", ",a", "+1", "2026-01-01", "a b", "A_b-c.d+e=f@g,h", "x" * 128]


@pytest.mark.parametrize(("name", "problem"), WRONG.items())
def test_wrong_name_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_file_name(name, "name")
    assert str(caught.value) == problem + RULE


@pytest.mark.parametrize("name", slow_except(WRONG, *list(WRONG)[::3]))
def test_name_is_refused_however_it_is_given(name: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    problem = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        RunDirectory(str(tmp_path), name).check_free(False)
    assert str(caught.value) == problem + RULE
    config = tiny({"name": name})
    before = sorted(tmp_path.rglob("*"))
    ways = [["--config", config]] if name else []  # in a yaml, "" is refused as a missing name
    for argv in (
        *ways,
        ["--config", config, "--name", name],
        ["--config", config, f"--name={name}", "--resume", "auto"],
    ):
        ran = cli("fit", *argv)
        assert (ran.code, ran.err) == (2, f"error: {problem}{RULE}\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", slow_except(RIGHT, "007", "null", "=", "a b", "x" * 128))
def test_name_is_used_as_it_is(name: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Also if yaml would take it for a number, a truth value or a special character."""
    argv = ["--config", tiny(), "--name", name, "--trainer.max_steps", "1", "--data.val", "null"]
    if name not in ("@a", "A_b-c.d+e=f@g,h"):
        printed = cli("fit", *argv, "--print_config")
        assert parse_yaml(printed.out, "printed")["name"] == name
        return
    ran = cli("fit", *argv)
    assert ran.code == 0, ran.err
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == [name]
    config = (tmp_path / "experiments" / name / "config.yaml").read_text()
    assert parse_yaml(config, "config")["name"] == name
    ran = cli("fit", "--resume", f"experiments/{name}", "--trainer.max_steps", "2")
    assert ran.code == 0, ran.err
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == [name]


def test_number_of_an_array_task_counts(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "12")
    config = tiny()
    before = sorted(tmp_path.rglob("*"))
    ran = cli("fit", "--config", config, "--name", "x" * 126)
    assert (ran.code, ran.err) == (2, f"error: name '{20 * 'x'}...' has 129 characters{RULE}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_run_with_a_name_of_an_older_version_is_resumed_and_tested(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny(), "--data.val", "null").code == 0
    (tmp_path / "experiments/tiny").rename(tmp_path / "experiments/lr(0.1)")
    ran = cli("fit", "--resume", "experiments/lr(0.1)", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/lr(0.1)").code == 0
    ran = cli("fit", "--config", tiny(), "--name", "lr(0.1)", "--resume", "auto", "--trainer.max_epochs", "3")
    assert ran.code == 0, ran.err
    ran = cli("fit", "--resume", "experiments/lr(0.1)", "--name", "lr(0.2)")
    assert (ran.code, ran.err.splitlines()[-1]) == (2, f"error: name 'lr(0.2)' contains '('{RULE}")


@pytest.mark.parametrize("name", WRONG_ON_WINDOWS)
def test_names_that_windows_cannot_create_are_refused_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_file_name(name, "name")
    with monkeypatch.context() as patched:
        patched.setattr("os.name", "nt")
        with pytest.raises(ConfigError, match=f"'{name}' is not possible on Windows; it takes"):
            check_file_name(name, "name")
