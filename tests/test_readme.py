"""The README's commands and snippets work, in the order in which they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]

# Runs several command lines in one process: importing torch takes seconds.
DRIVER = """
import shlex, sys
from project.core.main import main
for line in sys.argv[1:]:
    print("$", line, flush=True)
    assert main(shlex.split(line)[2:]) == 0, line
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git tracks, or would."""
    target = tmp_path_factory.mktemp("readme") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def run(copy: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def named_files() -> dict[str, str]:
    """The blocks whose first line is a comment that names a file."""
    return {match[1]: text for _, text in BLOCKS if (match := re.match(r"# (\S+\.(?:py|yaml))\n", text))}


def test_every_command_is_run_here_or_by_ci() -> None:
    for line in COMMANDS:
        assert line.startswith(("python cli.py ", "pip install -c constraints.txt ", "tensorboard ")), line
    assert set(named_files()) == {"project/models/linear.py", "project/losses/entropy.py", "configs/linear.yaml"}


def test_the_tour(copy: Path) -> None:
    first = COMMANDS[0].partition(" && ")[2]
    lines = [first, *(line for line in COMMANDS if line.startswith("python cli.py "))]
    later = [line for line in lines if "linear" in line]
    shown = run(copy, "-c", DRIVER, *(line for line in lines if line not in later and "--print_config" not in line))
    accuracies = [float(value) for value in re.findall(r"(?:val|eval)/accuracy\D+(\d\.\d+)", shown)]
    assert len(accuracies) == 3  # test, validate, test
    assert min(accuracies) >= 0.97
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "project.load" in text)
    assert run(copy, "-c", snippet + "print(logits.shape)") == "torch.Size([1, 10])\n"
    for name, text in named_files().items():
        assert not (copy / name).exists()
        (copy / name).write_text(text)
    shown = run(copy, "-c", DRIVER, *later)
    assert "eval/entropy" in shown
    assert (
        (copy / "experiments/linear/eval/test/samples.csv")
        .read_text()
        .startswith("index,cross_entropy,entropy,accuracy\n")
    )
    check_tensorboard(copy)


def check_tensorboard(copy: Path) -> None:
    command = next(line for line in COMMANDS if line.startswith("tensorboard "))
    arguments = [*shlex.split(command)[1:], "--port", "0", "--load_fast", "false"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *arguments], cwd=copy, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        address = next(match[0] for line in process.stderr if (match := re.search(r"http://localhost:\d+", line)))
        runs = urllib.request.urlopen(f"{address}/data/runs", timeout=30).read()
        assert runs == b'["."]'
    finally:
        process.kill()
        process.communicate()


def test_the_mistake_that_it_shows(copy: Path) -> None:
    text = next(text for kind, text in BLOCKS if text.startswith("$ python cli.py"))
    command, _, message = text.partition("\n")
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[2:]], cwd=copy, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, message)


def test_print_config_of_the_readme_is_whole(copy: Path) -> None:
    line = next(line for line in COMMANDS if "--print_config" in line)
    shown = run(copy, *shlex.split(line)[1:])
    assert shown.startswith("name: digits\n")
    assert "max_epochs: 15" in shown
