"""DigestRecorder: what it digests, in which order, at which steps, and that a difference is named where it began."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader

from project.core.config.settings import DigestSettings
from project.core.model.ema import AveragedModule
from project.core.training.digests.functions import HashDigester, SumDigester
from project.core.training.digests.recorder import DigestRecorder
from project.study.digests import Digests, first_difference, read_digests


class Regression(AveragedModule):
    """Module with weights, running statistics, and any optimizer."""

    def __init__(
        self, build: Callable[..., torch.optim.Optimizer] = torch.optim.Adam, ema: float | None = None
    ) -> None:
        super().__init__(ema)
        torch.manual_seed(0)
        self.build, self.gradients = build, dict[str, Tensor]()
        self.net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return torch.nn.functional.mse_loss(self.net(batch["x"]), batch["y"])

    def configure_optimizers(self) -> Any:
        return self.build(self.parameters(), lr=0.01)


class Pair(Regression):
    """Module with two optimizers, which it steps itself."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:  # type: ignore[override]
        optimizers: Any = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in self.net]


class Embedded(Regression):
    """Module with a sparse gradient."""

    def __init__(self) -> None:
        super().__init__(torch.optim.SGD)
        self.net = nn.Sequential(nn.Embedding(3, 2, sparse=True), nn.Linear(2, 1))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return self.net(batch["y"].long().flatten() % 3).square().mean()  # type: ignore[no-any-return]


class At(Callback):
    """Callback that calls a function in a hook of the batch that leads to a step."""

    def __init__(self, hook: str, step: int, function: Callable[[pl.Trainer, Any], object]) -> None:
        def call(trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
            if trainer.global_step == (step if hook == "on_train_batch_end" else step - 1):
                function(trainer, module)

        setattr(self, hook, call)


def samples(change: tuple[int, str] | None = None) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    found = [{"x": torch.randn(2, generator=generator), "y": torch.full((1,), float(n))} for n in range(32)]
    if change is not None:
        flip(found[change[0]][change[1]])
    return found


def fit(
    path: Path, settings: DigestSettings, *callbacks: Callback, module: Any = None, data: Any = None, **trainer: Any
) -> Digests:
    """Train 8 steps of 4 samples; return the digests."""
    module, data = Regression() if module is None else module, samples() if data is None else data
    arguments: dict[str, Any] = {"max_epochs": 1, "logger": False, "enable_checkpointing": False}
    arguments |= {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    recorder = DigestRecorder(path, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(**arguments | trainer, callbacks=[recorder, *callbacks]).fit(module, DataLoader(data, batch_size=4))
    return read_digests(path)


def flip(tensor: Tensor) -> None:
    """Flip the lowest bit of the first element, in place."""
    tensor.detach().view(-1)[:1].view(torch.int32).bitwise_xor_(1)


def digest(tensor: Tensor) -> int:
    return HashDigester()([tensor])[0]


ALL, PARAMETERS = DigestSettings(all=1), DigestSettings(parameters=1)
NAMES = ["net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias"]
BUFFERS = [f"buffer net.0.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")]
STATE = [f"optimizer 0 {key} {name}" for name in NAMES for key in ("exp_avg", "exp_avg_sq", "step")]
SETTINGS = ["lr 0.0", "betas 0.0.0", "betas 0.0.1", "eps 0.0", "weight_decay 0.0"]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """Return the digests of a training in which nothing is changed."""
    return fit(tmp_path_factory.mktemp("digests") / "d.bin", ALL)


def test_order_within_a_step_is_causal(one: Digests) -> None:
    first, second, *_ = one
    parameters, gradients = ([f"{kind} {name}" for name in NAMES] for kind in ("parameter", "gradient"))
    settings = [name for name in first.values if name in SETTINGS or name.startswith(("lr", "weight", "eps", "betas"))]
    rest = ["data x", "data y", "loss", *gradients]
    assert settings[0] == "lr 0.0"
    assert [*first.values] == [*parameters, *BUFFERS, *settings, *rest]
    assert [*second.values] == [*parameters, *BUFFERS, *STATE, *settings, *rest]
    assert (first.step, second.step, first.kind) == (1, 2, "xxh3")


def test_values_are_those_before_the_step_and_gradients_those_that_the_optimizer_got(tmp_path: Path) -> None:
    """Gradients are clipped after the last hook of callbacks."""
    seen: dict[str, Tensor] = {}

    class Sgd(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            loss = closure()
            for name, p in module.named_parameters():
                seen[f"gradient {name}"] = p.grad.clone()  # type: ignore[union-attr]
            super().step()
            return loss

    module = Regression(Sgd)
    before = {f"parameter {name}": p.detach().clone() for name, p in module.named_parameters()}
    batch = {f"data {name}": torch.stack([each[name] for each in samples()[:4]]) for name in ("x", "y")}
    first = next(iter(fit(tmp_path / "d.bin", ALL, module=module, max_steps=1, gradient_clip_val=1e-3)))
    expected = before | batch | seen | {"lr 0.0": torch.tensor(0.01, dtype=torch.float64)}
    assert {name: first.values[name] for name in expected} == {name: digest(each) for name, each in expected.items()}
    assert sum(float(each.square().sum()) for each in seen.values()) == pytest.approx(1e-6, rel=0.01)


INJECTIONS: dict[str, tuple[Callback | None, tuple[int, str] | None, int, str]] = {
    "weight": (At("on_train_batch_end", 4, lambda _, m: flip(m.net[1].weight)), None, 5, "parameter net.1.weight"),
    "buffer": (At("on_train_batch_end", 4, lambda _, m: flip(m.net[0].running_var)), None, 5, BUFFERS[1]),
    "moment": (
        At("on_train_batch_end", 2, lambda t, m: flip(t.optimizers[0].state[m.net[1].bias]["exp_avg"])),
        None,
        3,
        "optimizer 0 exp_avg net.1.bias",
    ),
    "gradient": (
        At("on_before_optimizer_step", 6, lambda _, m: flip(m.net[0].bias.grad)),
        None,
        6,
        "gradient net.0.bias",
    ),
    "learning rate": (
        At("on_before_optimizer_step", 3, lambda t, m: t.optimizers[0].param_groups[0].update(lr=0.011)),
        None,
        3,
        "lr 0.0",
    ),
    "sample": (None, (17, "x"), 5, "data x"),
    "label": (None, (3, "y"), 1, "data y"),
}


@pytest.mark.parametrize("kind", INJECTIONS)
def test_flipped_bit_is_named_by_step_and_tensor(kind: str, one: Digests, tmp_path: Path) -> None:
    callback, change, step, name = INJECTIONS[kind]
    two = fit(tmp_path / "two.bin", ALL, *([callback] if callback else []), data=samples(change))
    found = first_difference(one, two)
    assert (found.step, found.names[0]) == (step, name)


def test_equal_runs_have_equal_digests(one: Digests, tmp_path: Path) -> None:
    found = first_difference(one, fit(tmp_path / "d.bin", ALL))
    assert (found.step, found.steps, found.names) == (None, 8, ())


def test_settings_say_which_steps_are_digested(tmp_path: Path) -> None:
    digests = fit(tmp_path / "d.bin", DigestSettings(parameters=2, all=3))
    assert {each.step: len(each.values) for each in digests} == {2: 4, 3: 30, 4: 4, 6: 30, 8: 4}
    assert len(digests) == 5


def test_accumulated_batches_are_in_the_row_of_their_step(tmp_path: Path) -> None:
    digests = [*fit(tmp_path / "d.bin", ALL, accumulate_grad_batches=3)]
    assert [each.step for each in digests] == [1, 2, 3]
    batches = [[name for name in each.values if name.startswith(("data", "loss"))] for each in digests]
    two = ["data x", "data y", "loss", "data 1 x", "data 1 y", "loss 1"]
    assert batches == [[*two, "data 2 x", "data 2 y", "loss 2"]] * 2 + [two]  # 8 batches


def test_batch_with_several_optimizer_steps_is_one_row_in_the_order_of_computation(tmp_path: Path) -> None:
    digests = [*fit(tmp_path / "d.bin", ALL, module=Pair(), max_steps=6)]
    assert [each.step for each in digests] == [2, 4, 6]
    tail = ["loss", "gradient net.0.weight", "gradient net.0.bias"]
    assert [*digests[0].values][-6:] == [*tail, "loss 1", "gradient net.1.weight", "gradient net.1.bias"]
    assert {"lr 0.0", "lr 1.0"} <= {*digests[0].values}
    rare = fit(tmp_path / "rare.bin", DigestSettings(parameters=3), module=Pair(), max_steps=12)
    assert rare.steps.tolist() == [4, 6, 10, 12]  # the batches in which steps 3, 6, 9 and 12 are done


def test_optimizer_that_computes_a_step_several_times(tmp_path: Path) -> None:
    first = next(iter(fit(tmp_path / "d.bin", ALL, module=Regression(torch.optim.LBFGS), max_steps=1)))
    assert {"loss", "loss 1", "loss 2"} <= {*first.values}
    assert [name for name in first.values if name.startswith("gradient 1")] == []


@pytest.mark.parametrize("kind", ["model.ema", "WeightAveraging"])
def test_averages_are_state_from_their_first_update_on(kind: str, tmp_path: Path) -> None:
    module = Regression(ema=0.9 if kind == "model.ema" else None)
    callbacks = [] if module.average.decay else [EMAWeightAveraging(decay=0.9, update_starting_at_step=1)]
    digests = [*fit(tmp_path / "d.bin", ALL, *callbacks, module=module)]
    averages = [[name for name in each.values if name.startswith("average net.")] for each in digests]
    start = next(number for number, names in enumerate(averages) if names)
    assert start in (1, 2)
    assert {f"average {name}" for name in NAMES} <= {*averages[-1]}
    assert digests[-1].values["average net.1.bias"] != digests[-2].values["average net.1.bias"]


def test_sparse_tensors_are_left_out_with_one_warning(tmp_path: Path, messages: list[str]) -> None:
    last = [*fit(tmp_path / "d.bin", ALL, module=Embedded())][-1]
    assert [name for name in last.values if name.startswith("gradient")] == [
        "gradient net.1.weight",
        "gradient net.1.bias",
    ]
    assert "parameter net.0.weight" in last.values
    expected = "digests: gradient net.0.weight is left out: sparse, or a part of a tensor"
    assert [message for message in messages if "left out" in message] == [expected]


def test_parameter_that_is_replaced_is_digested(one: Digests, tmp_path: Path) -> None:
    def replace(_: pl.Trainer, module: Any) -> None:
        module.net[1].weight = nn.Parameter(module.net[1].weight.detach() + 1)

    found = first_difference(one, fit(tmp_path / "d.bin", PARAMETERS, At("on_train_batch_end", 3, replace)))
    assert (found.step, found.names) == (4, ("parameter net.1.weight",))


def test_rows_are_in_the_file_before_a_checkpoint_is_saved_and_after_an_exception(tmp_path: Path) -> None:
    """A killed run loses no row before its last checkpoint."""
    path, seen = tmp_path / "d.bin", list[list[int]]()

    def save(trainer: pl.Trainer, _: object) -> None:
        assert not path.exists()
        trainer.save_checkpoint(tmp_path / "saved.ckpt")
        seen.append(read_digests(path).steps.tolist())

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(path, PARAMETERS, At("on_train_batch_end", 3, save), At("on_before_zero_grad", 6, fail))
    assert seen == [[1, 2, 3]]
    assert read_digests(path).steps.tolist() == [1, 2, 3, 4, 5]


def test_sums_are_taken_where_the_root_device_is_no_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of GPUs, on the CPU."""
    names = "project.core.training.digests.recorder"
    monkeypatch.setattr(f"{names}.HashDigester", lambda: SumDigester(torch.device("cpu")))
    one = fit(tmp_path / "one.bin", ALL)
    two = fit(tmp_path / "two.bin", ALL, At("on_train_batch_end", 4, lambda _, m: flip(m.net[1].weight)))
    assert {each.kind for each in one} == {"sum"}
    found = first_difference(one, two)
    assert (found.step, found.names[0]) == (5, "parameter net.1.weight")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_flipped_bit_on_a_gpu_is_named(tmp_path: Path) -> None:
    one = fit(tmp_path / "one.bin", ALL, accelerator="gpu", devices=1)
    flipping = At("on_train_batch_end", 4, lambda _, m: flip(m.net[1].weight))
    two = fit(tmp_path / "two.bin", ALL, flipping, accelerator="gpu", devices=1)
    assert {each.kind for each in one} == {"sum"}
    found = first_difference(one, two)
    assert (found.step, found.names[0]) == (5, "parameter net.1.weight")
