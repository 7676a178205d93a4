"""The README's commands and snippets work, in the order in which they stand."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
FENCE = r"^```(\w*)\n(.*?)^```$"
BLOCKS = re.findall(FENCE, README, re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]

# Runs several command lines in one process: importing torch takes seconds.
DRIVER = """
import runpy, shlex, sys
from project.core.main import main
for line in sys.argv[1:]:
    print("$", line, flush=True)
    _, script, *argv = shlex.split(line)
    assert (main(argv) if script == "cli.py" else runpy.run_path(script)["compare"](argv)) == 0, line
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
        known = (
            "python cli.py ",
            "python scripts/compare",
            "bash scripts/cpu.sh ",
            "pip install -c constraints.txt ",
            "tensorboard ",
            "pytest ",
        )
        assert line.startswith(known), line
    assert set(named_files()) == {
        "project/datasets/halves.py", "project/models/linear.py", "project/losses/entropy.py",
        "project/metrics/confidence.py", "project/transforms/random_gain.py", "project/visuals/framed_row.py",
        "configs/halves.yaml",
    }  # fmt: skip


def test_the_tour(copy: Path) -> None:
    first = COMMANDS[0].partition(" && ")[2]
    later = ("halves", "denoise", "--print_config")
    lines = [line for line in COMMANDS if line.startswith("python ") and not any(word in line for word in later)]
    shown = run(copy, "-c", DRIVER, first, *lines)
    accuracies = [float(value) for value in re.findall(r"│ (?:val|eval)/accuracy\D+(\d(?:\.\d+)?)", shown)]
    assert len(accuracies) == 3  # test, validate, test
    assert min(accuracies) >= 0.97
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "project.load" in text)
    assert run(copy, "-c", snippet + "print(logits.shape)") == "torch.Size([1, 10])\n"
    check_tensorboard(copy)
    (script,) = (line for line in COMMANDS if line.startswith("bash "))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(shlex.split(script), cwd=copy, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    assert (copy / "experiments/on_cpu/checkpoints/last.ckpt").exists()
    assert re.search(r"config  name: digits \| stopped\n(\d+) of \1 tensors equal, at steps 285 and 285\n", shown)
    assert (copy / "experiments/evaluated/eval/epoch_0003/samples.csv").exists()


def test_the_same_run_bit_for_bit(copy: Path) -> None:
    """docs/reproducibility.md: its commands, and what they are said to show."""
    text = (ROOT / "docs/reproducibility.md").read_text()
    lines = [line for _, block in re.findall(FENCE, text, re.M | re.S) for line in block.splitlines()]
    shown = run(copy, "-c", DRIVER, *(line for line in lines if line.startswith("python ")))
    assert "config  name: whole | killed\n" in shown
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(copy), "PATH": path}
    subprocess.run(["bash", "experiments/whole/job.sh"], cwd=copy, env=environment, check=True, capture_output=True)
    run(copy, "scripts/compare_runs.py", "experiments/whole", "experiments/whole_rerun")


def test_one_of_each_room(copy: Path) -> None:
    for name, text in named_files().items():
        (copy / name).write_text(text)
    run(copy, "-c", DRIVER, *(line for line in COMMANDS if "halves" in line))
    results = copy / "experiments/halves/eval/test"
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics.keys() == {"cross_entropy", "entropy", "sum", "accuracy", "confidence"}
    assert metrics["accuracy"] >= 0.97
    assert (results / "samples.csv").read_text().startswith("index,cross_entropy,entropy,accuracy\n")
    assert Image.open(results / "visual.png").size == (16 * 10, 10)


@pytest.mark.slow
def test_one_of_each_room_keeps_the_contracts_and_the_style(copy: Path) -> None:
    for name, text in named_files().items():
        (copy / name).write_text(text)
    command = next(shlex.split(line) for line in COMMANDS if line.startswith("pytest "))
    mine = "LinearNet or Entropy or Confidence or Halves or RandomGain or FramedRow"
    shown = run(copy, "-m", *command, "-v", "-k", f"({mine}) and not CrossEntropy")
    for name in mine.split(" or "):
        assert re.search(rf"{name}\S* PASSED", shown), shown
    for tool in ("ruff check project", "ruff format --check project", "mypy"):
        run(copy, "-m", *tool.split())


@pytest.mark.slow
def test_denoise(copy: Path) -> None:
    run(copy, "-c", DRIVER, *(line for line in COMMANDS if "denoise" in line))
    run_folder = copy / "experiments/denoise"
    metrics = json.loads((run_folder / "eval/test/metrics.json").read_text())
    assert metrics["psnr_of_noisy"] == pytest.approx(20.17, abs=0.05)  # 20 log10(1 / 0.098)
    assert metrics["psnr"] > metrics["psnr_of_noisy"] + 9
    assert (run_folder / "eval/predict/samples.csv").read_text() == "index,name\n0,china.jpg\n1,flower.jpg\n"
    assert sorted(path.name for path in (run_folder / "eval/predict/prediction").iterdir()) == [
        "china.jpg.png",
        "flower.jpg.png",
    ]


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
