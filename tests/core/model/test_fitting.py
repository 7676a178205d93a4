"""Components are fitted to the training set once, before the first step of a new run, and saved in the checkpoint."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from project.core.config.terms import LossTerm, NetTerm
from project.core.data.training_samples import TrainingSamples
from project.core.distributed.signals import Interruption, restoring_signals
from project.core.errors import ConfigError
from project.core.model.fitting import FitToTrainingSet
from project.core.model.module import BaseModule, SupervisedModule
from project.core.model.preparation import Preparation
from project.transforms.base import Transform
from tests.components import CrossEntropy
from tests.conftest import CONFIGS, Cli, slow_except
from tests.core.components import ImageOutputs
from tests.core.fitted_components import BUFFERS, FITTED, HERE, Standardize, buffers
from tests.core.random_components import Noisy
from tests.exactness import curves


class Wrapper(BaseModule):
    """Module of one's own."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part


def test_components_are_fitted_once_and_saved(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Validate and finetune use what the checkpoint contains; a component that it lacks is fitted."""
    config, run = tiny(FITTED), tmp_path / "experiments/tiny"
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    fitted = [line.split()[3] for line in ran.err.splitlines() if " fitted " in line and "to 42 samples in" in line]
    assert fitted == [
        *("model.prepare.standardize", "model.net", "model.loss.cross_entropy", "model.loss.renamed"),
        "model.metric.counted",
    ]
    found, samples = buffers(run), TrainingSamples(Noisy(42), seed=0)
    images = torch.stack([sample["image"] for sample in samples])
    assert found["prepare.standardize.mean"].item() == pytest.approx(images.double().mean().item(), rel=1e-6)
    assert torch.equal(found["net.center"], images.mean(0))
    counts = torch.tensor([5.0, 5.0, *[4.0] * 8])
    torch.testing.assert_close(found["losses.cross_entropy.weight"], 42 / (10 * counts))
    assert found["losses.renamed.total"] == sum(index % 10 for index in range(42))
    assert found["fitted_metrics.counted.count"] == 42
    assert cli("validate", "--ckpt_path", run / "checkpoints/last.ckpt", "--trust").code == 0
    validated = json.loads((run / "eval/validate/metrics.json").read_text())
    for name, points in curves(run).items():
        if name.startswith("val/"):
            assert validated[name.removeprefix("val/")] == pytest.approx(points[-1][1], rel=1e-6)
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    del state["prepare.standardize.std"]
    torch.save(state, tmp_path / "weights.pt")
    ran = cli("fit", "--config", config, "--name", "tuned", "--finetune", "weights.pt", "--data.train.length", "30")
    assert ran.code == 0, ran.err
    assert ran.err.count("to 30 samples in") == 1
    tuned = buffers(tmp_path / "experiments/tuned")
    assert [name for name in BUFFERS if not torch.equal(tuned[name], found[name])] == [*BUFFERS[:2]]


def test_net_sees_prepared_tensors_and_losses_the_dataset_s() -> None:
    loss = {"cross_entropy": LossTerm(CrossEntropy())}
    standardize: Any = {"standardize": Standardize(0.5, 0.25)}
    module = SupervisedModule(NetTerm(ImageOutputs()), torch.optim.AdamW, loss, prepare=standardize)
    batch = {"image": torch.rand(3, 1, 8, 8), "label": torch.zeros(3).long()}
    image = batch["image"].clone()
    assert torch.equal(module(batch)["same"], (image - 0.5) / 0.25)
    assert torch.equal(batch["image"], image)
    assert not [name for name in module.state_dict() if name.startswith("prepare")]


def test_prepare_applies_transforms_in_order() -> None:
    class Half(Transform):
        def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
            return sample | {"image": sample["image"] / 2}

    prepare = Preparation({"half": Half(), "standardize": Standardize(0.5, 0.25), "again": Half()})
    image = torch.rand(3, 1, 8, 8)
    assert torch.equal(prepare({"image": image})["image"], (image / 2 - 0.5) / 0.25 / 2)
    with pytest.raises(ConfigError, match="cannot be called 'forward'"):
        Preparation({"forward": Standardize()})


def test_given_values_are_not_fitted_and_parts_built_too_late_are_told() -> None:
    module, without_trainer = Wrapper(Standardize(0.5, 0.25)), cast(Any, None)
    callback = FitToTrainingSet(0, Interruption(), is_resumed=False)
    callback.setup(without_trainer, module, "fit")
    callback.on_fit_start(without_trainer, module)
    module.late = Standardize()
    with pytest.raises(ConfigError, match=r"^model\.late has a fit_to, but was built after fitting"):
        callback.on_fit_start(without_trainer, module)


def test_example_of_the_page_is_fitted() -> None:
    page = (CONFIGS.parent / "docs/fitting.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"Transform": Transform, "nn": nn, "torch": torch, "Any": Any, "Tensor": Tensor}
    exec(code, names)
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 2, 0], [0, 1, 3], [4, 0, 1]]
    )
    whiten = names["Whiten"]()
    whiten.fit_to([{"features": row} for row in features])
    assert whiten.matrix.shape == (3, 3)
    whitened = whiten.float()({"features": features})["features"]
    torch.testing.assert_close(whitened.T.cov(), torch.eye(3), rtol=0, atol=1e-3)


def test_signal_while_fitting_ends_the_run_at_once(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": f"{HERE}.Signalled"}}})
    interruption = Interruption()
    with restoring_signals():
        interruption.install()
        ran = cli("fit", "--config", config, interruption=interruption)
    assert ran.code == 75
    assert "stopped by SIGTERM before the first step; nothing was saved\n" in ran.err
    assert "no checkpoint was saved; the same command starts the run again\n" in ran.err
    assert not (tmp_path / "experiments/tiny/checkpoints").exists()


@pytest.mark.parametrize("workers", slow_except([0, 2], 0))
def test_samples_do_not_depend_on_workers_and_keep_the_generators(workers: int) -> None:
    dataset = Noisy(42)
    dataset.labels = [7] * 42  # type: ignore[attr-defined]
    state = torch.get_rng_state()
    samples = TrainingSamples(dataset, seed=3, num_workers=workers)
    images = [sample["image"] for sample in samples]
    assert all(torch.equal(samples[index]["image"], images[index]) for index in (41, 0, 17))
    assert len({float(image.sum()) for image in images}) == len(samples) == 42
    assert torch.equal(torch.get_rng_state(), state)
    assert samples.labels == [7] * 42
    renamed = TrainingSamples(dataset, 3, workers, {"label": "image"})
    assert torch.equal(renamed[5]["label"], images[5])
    assert not hasattr(renamed, "labels")
