from collections.abc import Callable
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from project import load
from tests.conftest import Cli

GAN = {
    "type": "tests.modules.gan.GAN",
    "generator": {"type": "tests.modules.test_gan.Mapper", "sizes": [16, 32, 64]},
    "discriminator": {"type": "tests.modules.test_gan.Mapper", "sizes": [64, 32, 1]},
    "generator_optimizer": {"type": "Adam", "lr": 0.001, "betas": [0.5, 0.9]},
    "discriminator_optimizer": {"type": "SGD", "lr": 0.01},
    "clip": {"value": 0.001},
}


class Mapper(nn.Sequential):
    """Linear layers."""

    def __init__(self, sizes: list[int]) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(len(sizes) - 1):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.LeakyReLU(0.2)]
        super().__init__(*layers[:-1])


def test_gan_trains(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": GAN, "data": {"val": None}, "trainer": {"limit_train_batches": 4, "log_every_n_steps": 2}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    assert {"train/generator", "train/discriminator", "lr-Adam", "lr-SGD"} <= set(events.Tags()["scalars"])
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert len(saved["optimizer_states"]) == 2
    assert load(tmp_path / "experiments/tiny").generator(torch.zeros(2, 16)).shape == (2, 64)


def test_gan_is_clipped(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """SGD with a clipped gradient cannot move further than steps * lr * clip."""
    config = tiny({"model": GAN, "data": {"val": None}, "trainer": {"limit_train_batches": 4}})
    assert cli("fit", "--config", config).code == 0
    before = cli("fit", "--config", config, "--name", "before", "--model.discriminator_optimizer.lr", "0")
    assert before.code == 0, before.err
    one, two = (load(tmp_path / "experiments" / name).discriminator for name in ("tiny", "before"))
    moved = nn.utils.parameters_to_vector(one.parameters()) - nn.utils.parameters_to_vector(two.parameters())
    assert 0 < moved.norm() <= 4 * 0.01 * 0.001 * 1.001
