"""`~` and `${VARIABLE}` are expanded where a setting or option is a path, and nowhere else."""

from pathlib import Path

import pytest

from project.core.config.paths import expand_path, expand_paths
from project.core.config.yaml_files import parse_untyped
from project.core.errors import ConfigError


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DISK", "/disk one")
    monkeypatch.delenv("NOWHERE", raising=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/x", "/home/me/x"),
        ("~", "/home/me"),
        ("${HOME}/x", "/home/me/x"),
        ("${DISK}/${DISK}", "/disk one//disk one"),
        ("a/~/b", "a/~/b"),
        ("./~x", "./~x"),
        ("$HOME/x", "/home/me/x"),
        ("a{b}/$NOWHERE/%d", "a{b}/$NOWHERE/%d"),
        ("${}/x", "${}/x"),
        ("", ""),
    ],
)
def test_path_is_expanded(text: str, path: str) -> None:
    assert expand_path(text, "root") == path


def test_unknown_variable_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        expand_path("${NOWHERE}/x", "--resume")
    assert str(caught.value) == "--resume is '${NOWHERE}/x', but the environment variable NOWHERE is not set"


def test_only_paths_are_expanded() -> None:
    train = "[{path: '${DISK}'}, {paths: ~/p}, {dirpath: '~'}]"
    text = f"{{root: ~/r, name: ~/n, data: {{data_dir: ~/d, train: {train}}}, seed: 3, path: 3}}"
    assert expand_paths(parse_untyped(text, "here")) == {
        "root": "/home/me/r",
        "name": "~/n",
        "data": {"data_dir": "/home/me/d", "train": [{"path": "/disk one"}, {"paths": "~/p"}, {"dirpath": "/home/me"}]},
        "seed": "3",
        "path": "3",
    }


def test_message_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"^data\.train\.path is '\$\{NOWHERE\}', but"):
        expand_paths({"data": {"train": {"path": "${NOWHERE}"}}})


def test_path_of_an_option_is_expanded() -> None:
    from project.core.cli.arguments import parse_arguments

    arguments = parse_arguments(["test", "--config", "~/a.yaml", "--ckpt_path=~/b", "--root", "~/c", "--name", "~"])
    assert arguments.configs == [Path("/home/me/a.yaml")]
    assert arguments.options == {"ckpt_path": "/home/me/b"}
    assert arguments.settings == [{"root": "/home/me/c"}, {"name": "~"}]
