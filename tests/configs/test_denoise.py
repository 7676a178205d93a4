"""configs/denoise.yaml trains, shows its progress, and predicts pictures in a directory."""

from pathlib import Path

import torch
from PIL import Image

from project import load
from project.datasets.photographs import Photographs
from project.deploy.inputs import Picture
from tests.conftest import CONFIGS, Cli

DENOISE = str(CONFIGS / "denoise.yaml")


def test_progress_shows_input_output_and_target(cli: Cli, tmp_path: Path) -> None:
    ran = cli("fit", "--config", DENOISE, "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2")
    assert ran.code == 0, ran.err
    (file,) = (tmp_path / "experiments/denoise/progress/val").iterdir()
    picture = torch.from_numpy(Picture().read(file))
    target = picture[..., 2 * (160 + 4) :]
    torch.testing.assert_close(target, Photographs("val")[0]["target"], atol=1 / 255, rtol=0)
    noise = picture[..., :160] - target
    assert 0.08 < noise.std() < 0.1  # 0.098, reduced by clamping at black and white


def test_predict_on_a_directory_of_pictures(cli: Cli, tmp_path: Path) -> None:
    assert cli("fit", "--config", DENOISE, "--trainer.max_steps", "1", "--data.val", "null").code == 0
    for name, size in (("a.jpg", (30, 20)), ("deep/b.png", (24, 24))):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 50).convert("RGB").save(tmp_path / "mine" / name)
    ran = cli(
        "predict",
        *("--ckpt_path", "experiments/denoise", "--results_dir", "out", "--data.batch_size", "1"),
        *("--data.predict", "ImageFolder", "--data.predict.path", str(tmp_path / "mine")),
    )
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/samples.csv").read_text() == "index,name\n0,a.jpg\n1,deep/b.png\n"
    module = load(tmp_path / "experiments/denoise")
    for source, result in (("a.jpg", "a.png"), ("deep/b.png", "deep/b.png")):
        with torch.no_grad():
            expected = module({"image": torch.from_numpy(Picture().read(tmp_path / "mine" / source))[None]})[
                "prediction"
            ][0].clamp(0, 1)
        written = torch.from_numpy(Picture().read(tmp_path / "out/prediction" / result))
        torch.testing.assert_close(written, expected, atol=0.5 / 255 + 1e-6, rtol=0)
