"""The printed scripts complete commands, options, their values and files in real shells."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import project
from project.commands import main
from project.core.cli.arguments import COMMANDS, STAGES
from project.editor import words as words_module
from project.editor.shells import SHELLS
from project.editor.words import Words, completion_words
from tests.conftest import slow_except

NAME = project.__name__
INSTALLED = [shell for shell in SHELLS if shell != "zsh" and shutil.which(shell)]
_BASH = """source {script}; COMP_WORDS=({line}{last}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_{name}; printf '%s\\n' "${{COMPREPLY[@]}}" """


@pytest.fixture(scope="module")
def words() -> Words:
    return completion_words()


def complete(shell: str, words: Words, line: str, folder: Path) -> set[str]:
    """Return the words that a shell offers at the end of a line; nothing where bash itself would offer files."""
    script = folder / f"completion.{shell}"
    script.write_text(SHELLS[shell](NAME, words))
    last = ' ""' if line.endswith(" ") else ""
    command = _BASH.format(script=script, line=line, last=last, name=NAME)
    if shell == "fish":
        command = f"source {script}; complete -C '{line}'"
    environment = os.environ | {"HOME": str(folder)}  # fish writes there
    done = subprocess.run(
        [shell, "-c", command], capture_output=True, text=True, cwd=folder, env=environment, check=True
    )
    assert done.stderr == ""
    return {each.partition("\t")[0] for each in done.stdout.splitlines()} - {""}


@pytest.mark.parametrize("shell", slow_except(INSTALLED, "bash"))
def test_completes_in_a_shell(shell: str, words: Words, tmp_path: Path) -> None:
    for line, expected in {
        "python cli.py fi": {"fit", "find"},
        f"{NAME} verif": {"verify"},
        f"python -m {NAME} repl": {"replay"},
        "python cli.py fit --checkpoint.mo": {"--checkpoint.monitor", "--checkpoint.mode"},
        "python cli.py fit --checkpoint.mode ": {"min", "max"},
        "python cli.py fit --replace --na": {"--name"},
        "python cli.py fit --no_such_option": set(),
        "python cli.py table --format m": {"md"},
        "python cli.py completion f": {"fish"},
    }.items():
        assert (line, complete(shell, words, line, tmp_path)) == (line, expected)


@pytest.mark.parametrize("shell", slow_except(INSTALLED, "bash"))
def test_offers_files_elsewhere(shell: str, words: Words, tmp_path: Path) -> None:
    """Other programs in Python are completed as before."""
    (tmp_path / "mine.yaml").touch()
    offered = {"mine.yaml"} if shell == "fish" else set()  # bash does it itself: `complete -o default`
    for line in ("python cli.py fit --config mi", "python other.py mi", "python mi"):
        assert complete(shell, words, line, tmp_path) == offered


def test_values_that_a_shell_would_change_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are in double quotes of a script: `$(...)` would run."""
    values = ["a-b", "two words", "$(id)", "`id`", '"', "val/loss"]
    monkeypatch.setattr(words_module, "experiment_schema", lambda: {"properties": {"x": {"enum": values}}})
    assert completion_words()["--x"] == ["a-b", "val/loss"]


def test_words_have_settings_of_components_and_their_values(short_names: None) -> None:
    words = completion_words()
    assert {"--model.net.hidden", "--model.optimizer.lr", "--trainer.max_epochs", "--visual.type"} <= {
        *words["settings"]
    }
    assert {"--model.loss.cross_entropy.label_smoothing", "--data.train.split"} <= {*words["settings"]}
    assert "MLP" in words["--model.net"]
    assert words["--trainer.fast_dev_run"][:2] == ["true", "false"]
    assert words["commands"] == [*STAGES, *COMMANDS]
    assert {"--ckpt_path", "--trust", "--help", "--config"} <= {*words["test"]}
    assert {"--replace", "--pdb", "--dry_run"} <= {*words["flags"]}


@pytest.mark.parametrize("shell", SHELLS)
def test_words_need_no_quotes(shell: str, words: Words) -> None:
    for name, each in words.items():
        assert all(word.isascii() and not {*word} & {*" \"'$`\\;&|<>()*?~#"} for word in [name, *each]), name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["completion"], "completion takes the name of a shell\nknown: bash, zsh, fish"),
        (["completion", "bsh"], "completion knows no shell 'bsh'; did you mean 'bash'?\nknown: bash, zsh, fish"),
        (["schema", "x"], "schema takes no 'x'; it prints the schema: python cli.py schema > schema.json"),
    ],
)
def test_mistakes(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("command", ["schema", "completion"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: python cli.py {command}")


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.startswith('{"$schema": "https://json-schema.org/draft/2020-12/schema"')
