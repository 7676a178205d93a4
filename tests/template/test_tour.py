"""Tests that the commands of the tour and of docs/index.md work, in order."""

import io
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Cli
from tests.template.conftest import ROOT, run
from tests.template.how_to.reader import FENCE
from tests.template.serving import serving

BLOCKS = re.findall(FENCE, (ROOT / "docs/tour.md").read_text(encoding="utf-8"), re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]

# Runs several commands in one process, since the import of torch takes seconds.
DRIVER = """
import runpy, shlex, sys
from project.commands import main
for line in sys.argv[1:]:
    print("$", line, flush=True)
    _, script, *argv = shlex.split(line, comments=True)
    assert (main(argv) if script == "cli.py" else runpy.run_path(script)["compare"](argv)) == 0, line
"""


def test_every_command_is_run_here_or_by_ci() -> None:
    assert [line for line in COMMANDS if line.startswith("pip ")] == [
        "pip install -c constraints.txt -e '.[export,serve]'"
    ]
    known = ("python cli.py ", "python scripts/compare", "bash scripts/cpu.sh ", "pip ", "tensorboard ")
    assert [line for line in COMMANDS if not line.startswith(known)] == []


def test_the_site_begins_as_the_readme() -> None:
    """The commands and the picture of docs/index.md are those of the README, whose commands CI runs."""
    readme, index = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/index.md"))
    (block,) = re.findall(FENCE, index, re.M | re.S)
    assert block == re.findall(FENCE, readme, re.M | re.S)[0]
    assert re.findall(r"!\[(.*)\]\(", index) == re.findall(r"^!\[(.*)\]\(", readme, re.M)


@pytest.mark.slow
def test_the_tour(copy: Path) -> None:
    later = ("denoise", "--print_config", "cli.py serve ", "lr.yaml", "experiments/lr")
    lines = [line for line in COMMANDS if line.startswith("python ") and not any(word in line for word in later)]
    shown = run(copy, sys.executable, "-c", DRIVER, *lines)
    accuracies = [float(value) for value in re.findall(r"│ (?:val|eval)/accuracy\D+(\d(?:\.\d+)?)", shown)]
    assert len(accuracies) == 4  # test, validate, test, test of the exported model
    assert min(accuracies) >= 0.97
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "project.load" in text)
    assert run(copy, sys.executable, "-c", snippet + "print(logits.shape)") == "torch.Size([1, 10])\n"
    check_tensorboard(copy)
    check_demo(copy)
    check_study(copy)
    (script,) = (line for line in COMMANDS if line.startswith("bash "))
    run(copy, *shlex.split(script))
    assert (copy / "experiments/on_cpu/checkpoints/last.ckpt").exists()
    assert re.search(r"config  name: digits \| stopped\n(\d+) of \1 tensors equal, at steps 285 and 285\n", shown)
    assert (copy / "experiments/evaluated/eval/epoch_0003/samples.csv").exists()


@pytest.mark.slow
def test_commands_of_the_reproducibility_page(copy: Path) -> None:
    """Runs the commands of docs/reproducibility.md and checks their output."""
    text = (ROOT / "docs/reproducibility.md").read_text()
    lines = [line for _, block in re.findall(FENCE, text, re.M | re.S) for line in block.splitlines()]
    later = re.compile("FILE| verify ")  # tests/study/verify and the tour run these
    lines = [line for line in lines if line.startswith("python ") and not later.search(line)]
    shown = run(copy, sys.executable, "-c", DRIVER, *lines)
    assert "config  name: whole | killed\n" in shown
    run(copy, "bash", "experiments/whole/job.sh")
    run(copy, sys.executable, "scripts/compare_runs.py", "experiments/whole", "experiments/whole_rerun")


@pytest.mark.slow
def test_commands_of_denoise(copy: Path) -> None:
    run(copy, sys.executable, "-c", DRIVER, *(line for line in COMMANDS if "denoise" in line))
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
        assert runs == b'[".", "hparams"]'
    finally:
        process.kill()
        process.communicate()


def check_demo(copy: Path) -> None:
    """Start the server of the tour, get its page, and send it a digit."""
    from project.datasets.digits import Digits

    (command,) = (line for line in COMMANDS if " serve " in line)
    sample, digit = Digits(split="test")[0], io.BytesIO()
    Image.fromarray((255 * sample["image"][0]).round().byte().numpy()).save(digit, "png")
    with serving(copy, command) as port:
        url = f"http://127.0.0.1:{port}"
        assert b"<html" in urllib.request.urlopen(url, timeout=30).read()
        request = urllib.request.Request(f"{url}/predict", digit.getvalue(), {"Content-Type": "image/png"})
        (prediction,) = json.load(urllib.request.urlopen(request, timeout=30))["predictions"]
    assert prediction["class_names"]["label"] == str(sample["label"].item())


def check_study(copy: Path) -> None:
    """Run the commands of the study in processes of their own: the others have used torch's threads."""
    sweep, table, report = (shlex.split(line)[1:] for line in COMMANDS if "lr.yaml" in line or "experiments/lr" in line)
    run(copy, sys.executable, *sweep, "--trainer.max_epochs", "1")  # for all, a minute longer
    assert len([*(copy / "experiments/lr").glob("*/eval/test/metrics.json")]) == 9
    lines = run(copy, sys.executable, *table).splitlines()
    assert [line.split()[0] for line in lines if "±" in line] == ["0.001", "0.003", "0.01"]
    run(copy, sys.executable, *report)
    assert "0002_seed2" in (copy / "experiments/lr/report.html").read_text(encoding="utf-8")


def test_error_message_of_the_tour(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = next(text for kind, text in BLOCKS if text.startswith("$ python cli.py"))
    command, _, message = text.partition("\n")
    monkeypatch.chdir(ROOT)
    ran = cli(*shlex.split(command)[3:])
    assert (ran.code, ran.err) == (2, message)


def test_print_config_of_the_tour_prints_all_settings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    line = next(line for line in COMMANDS if "--print_config" in line)
    python, script, *argv = shlex.split(line)
    assert (python, script) == ("python", "cli.py")
    monkeypatch.chdir(ROOT)
    ran = cli(*argv)
    assert ran.code == 0
    assert ran.out.startswith("name: digits\n")
    assert "max_epochs: 15" in ran.out
