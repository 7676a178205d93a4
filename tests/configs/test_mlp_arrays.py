"""configs/mlp_arrays.yaml learns from arrays in a file."""

from pathlib import Path

import numpy as np
import torch

from tests.conftest import CONFIGS, Cli


def test_mlp_learns_from_an_npz_file(cli: Cli, tmp_path: Path) -> None:
    """Each of the ten classes has a bright row of its own, which takes two epochs to learn."""
    label = np.arange(2048) % 10
    image = np.zeros((2048, 28, 28), dtype=np.uint8)
    image[np.arange(2048), 2 * label] = 255
    np.savez(tmp_path / "rows.npz", image=image, label=label)
    argv = ["fit", "--config", str(CONFIGS / "mlp_arrays.yaml"), "--data.train.path", str(tmp_path / "rows.npz")]
    ran = cli(*argv, "--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "1")
    assert ran.code == 0, ran.err
    (line,) = [line for line in ran.err.splitlines() if "epoch 2/2" in line]
    assert "train/accuracy 1 " in f"{line} "
    weights = torch.load(tmp_path / "experiments/mlp_arrays/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    shapes = [tuple(value.shape) for name, value in weights.items() if name.endswith("weight") and value.ndim == 2]
    assert shapes == [(64, 784), (128, 64), (64, 128), (10, 64)]
