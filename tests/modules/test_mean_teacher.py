"""A module that derives from SupervisedModule adds a loss, a second copy of the net, and a hook."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from project import load
from tests.components import Glyphs
from tests.conftest import TINY, Cli
from tests.modules.mean_teacher import MeanTeacher

TEACHER = TINY["model"] | {"type": "tests.modules.mean_teacher.MeanTeacher"}


class FewLabels(Glyphs):
    """Glyphs of which one in ten keeps its label."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        batch = super().__getitems__(indices)
        return batch | {"label": batch["label"].where(torch.tensor(indices) % 10 == 0, -100)}


@pytest.mark.slow
def test_mean_teacher_learns_from_few_labels(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    data = {"train": {"type": "tests.modules.test_mean_teacher.FewLabels", "split": "train"}}
    config = tiny({"model": TEACHER, "data": data, "trainer": {"limit_train_batches": 19, "max_epochs": 20}})
    ran = cli("fit", "--config", config, "--model.net.hidden", "64")
    assert ran.code == 0, ran.err
    assert "train/consistency" in (tmp_path / "experiments/tiny/log.txt").read_text()
    module = load(tmp_path / "experiments/tiny")
    assert isinstance(module, MeanTeacher)
    glyphs = Glyphs("val")
    batch = glyphs.__getitems__(list(range(len(glyphs))))
    with torch.no_grad():
        assert (module(batch)["logits"].argmax(1) == batch["label"]).float().mean() > 0.8
    net, teacher = module.net.state_dict(), module.teacher.module.state_dict()
    assert net.keys() == teacher.keys()
    assert not any(torch.equal(net[name], teacher[name]) for name in net)


def test_teacher_is_a_moving_average(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With decay 0, the teacher equals the model after the last step."""
    ran = cli("fit", "--config", tiny({"model": TEACHER}), "--model.decay", "0")
    assert ran.code == 0, ran.err
    module = load(tmp_path / "experiments/tiny")
    assert isinstance(module, MeanTeacher)
    net, teacher = module.net.state_dict(), module.teacher.module.state_dict()
    assert all(torch.equal(net[name], teacher[name]) for name in net)
