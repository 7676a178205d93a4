"""The configs folder, table and segment run, and reach the scores that their first comment states."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.conftest import CONFIGS, Cli

ROOT = CONFIGS.parent


def draw_shapes(folder: Path, count: int) -> None:
    """Write pictures of discs, squares and triangles of different sizes, each in the directory of its class."""
    random = np.random.RandomState(0)
    for name in ("disc", "square", "triangle"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            width, height = random.randint(100, 200, 2)
            picture = Image.fromarray(random.randint(0, 120, (height, width, 3), dtype=np.uint8))
            radius = random.randint(20, 35)
            x, y = width // 2 + random.randint(-10, 11), height // 2 + random.randint(-10, 11)
            color, box = tuple(random.randint(100, 256, 3).tolist()), [x - radius, y - radius, x + radius, y + radius]
            painter = ImageDraw.Draw(picture)
            if name == "triangle":
                painter.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=color)
            else:
                (painter.ellipse if name == "disc" else painter.rectangle)(box, fill=color)
            picture.save(folder / name / f"{number}.jpg")


@pytest.fixture
def arguments(name: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of a config, called in the directory of the repository, as its comments say."""
    monkeypatch.chdir(ROOT)
    own = ["--data.data_dir", str(tmp_path / "pictures"), "--data.num_workers", "0"] if name == "folder" else []
    return ["fit", "--config", f"configs/{name}.yaml", "--root", str(tmp_path), *own]


@pytest.mark.parametrize("name", ["folder", "table", "segment"])
def test_config_runs(name: str, arguments: Sequence[str], cli: Cli, tmp_path: Path) -> None:
    draw_shapes(tmp_path / "pictures", 5)
    small = ["--data.batch_size", "4", "--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu"]
    ran = cli(*arguments, *small)
    assert ran.code == 0, ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "at_least", "at_most", "stated"),
    [
        ("folder", {"accuracy": 0.9}, {}, ["at least 90 %"]),
        ("table", {"accuracy": 0.95}, {"mae": 320}, ["at least 95 %", "at most 320 g"]),
        ("segment", {"iou": 0.9}, {}, ["at least 0.9."]),
    ],
)
def test_config_reaches_its_score(
    name: str,
    at_least: dict[str, float],
    at_most: dict[str, float],
    stated: list[str],
    arguments: Sequence[str],
    cli: Cli,
    tmp_path: Path,
) -> None:
    draw_shapes(tmp_path / "pictures", 60)
    comment = (CONFIGS / f"{name}.yaml").read_text().partition("\nbase:")[0].replace("\n#", "")
    assert all(text in comment for text in stated)
    ran = cli(*arguments)
    assert ran.code == 0, ran.err
    stage = "validate" if name == "folder" else "test"
    assert cli(stage, "--ckpt_path", str(tmp_path / name)).code == 0
    metrics = json.loads((tmp_path / name / f"eval/{stage}/metrics.json").read_text())
    assert all(metrics[key] >= value for key, value in at_least.items()), metrics
    assert all(metrics[key] <= value for key, value in at_most.items()), metrics
