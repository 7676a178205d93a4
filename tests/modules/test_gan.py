"""A GAN that derives from BaseModule trains with two optimizers and clipped gradients."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from project import load
from project.modules import gan
from tests.conftest import Cli
from tests.exactness import curves

GAN = {
    "type": "GAN",
    "generator": {"type": "tests.modules.test_gan.Mapper", "sizes": [16, 32, 64]},
    "discriminator": {"type": "tests.modules.test_gan.Mapper", "sizes": [64, 32, 1]},
    "generator_optimizer": {"type": "Adam", "lr": 0.001, "betas": [0.5, 0.9]},
    "discriminator_optimizer": {"type": "SGD", "lr": 0.01},
    "clip": {"value": 0.001},
}


class Mapper(nn.Sequential):
    """Multilayer perceptron."""

    def __init__(self, sizes: list[int]) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(len(sizes) - 1):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.LeakyReLU(0.2)]
        super().__init__(*layers[:-1])


def load_gan(run: Path) -> gan.GAN:
    module = load(run)
    assert isinstance(module, gan.GAN)
    return module


def test_gan_trains_with_two_optimizers(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": GAN, "data": {"val": None}, "trainer": {"limit_train_batches": 4, "log_every_n_steps": 2}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    directory = tmp_path / "experiments/tiny"
    assert {"train/generator", "train/discriminator", "lr-Adam", "lr-SGD"} <= curves(directory).keys()
    saved = torch.load(directory / "checkpoints/last.ckpt", weights_only=True)
    assert len(saved["optimizer_states"]) == 2
    assert load_gan(directory).generator(torch.zeros(2, 16)).shape == (2, 64)


def test_gan_clips_gradients(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """SGD with a clipped gradient cannot move further than steps * lr * clip."""
    config = tiny({"model": GAN, "data": {"val": None}, "trainer": {"limit_train_batches": 4}})
    assert cli("fit", "--config", config).code == 0
    initial_run = cli("fit", "--config", config, "--name", "initial", "--model.discriminator_optimizer.lr", "0")
    assert initial_run.code == 0, initial_run.err
    trained, initial = (load_gan(tmp_path / "experiments" / name).discriminator for name in ("tiny", "initial"))
    change = nn.utils.parameters_to_vector(trained.parameters()) - nn.utils.parameters_to_vector(initial.parameters())
    assert 0 < change.norm() <= 4 * 0.01 * 0.001 * 1.001
