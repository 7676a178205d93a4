"""The command `golden`: what it writes, what it says of changes, and that nothing else changes the losses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from project.commands import main
from project.study.golden import command
from project.study.golden.command import check
from project.study.golden.curve import GoldenCurve, Losses, differences, read_golden
from project.study.golden.training import STEPS, train_losses
from tests.conftest import TINY

Golden = Callable[..., tuple[int, str, str]]
TRAINER = {"limit_train_batches": 4, "max_epochs": 10}


@pytest.fixture
def golden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tiny: Callable[..., str]
) -> Golden:
    """Return a function that calls the command for a tiny run with changed settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "numerics_fingerprint", lambda device: "here")

    def call(over: dict[str, Any] | None = None, *options: str) -> tuple[int, str, str]:
        tiny({"trainer": TINY["trainer"] | TRAINER} | (over or {}))
        capfd.readouterr()
        code = main(["golden", "tiny.yaml", *options])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the losses that the command gets, instead of those of a training; a test may change them."""
    losses = [2.0 - step / 30 for step in range(STEPS)]
    monkeypatch.setattr(command, "train_losses", lambda tree: [*losses])
    return losses


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "golden/tiny.json"


def test_file_has_the_losses_of_the_first_steps(golden: Golden, file: Path, tmp_path: Path) -> None:
    """In hexadecimal, each in a line, with what is needed to compute them again; nothing else is written."""
    code, out, _ = golden()
    assert (code, out) == (0, "golden/tiny.json: added, 20 steps, numerics fingerprint here\n")
    content = json.loads(file.read_text())
    values = content["losses"]["here"].pop("values")
    assert content == {
        "name": "tiny",
        "config": "tiny.yaml",
        "options": [],
        "losses": {"here": {"torch": torch.__version__}},
    }
    losses = [float.fromhex(value) for value in values]
    assert len(losses) == STEPS
    assert losses[0] == pytest.approx(2.3, abs=0.2)  # of ten classes that are equally likely
    assert losses[-1] < losses[0]
    assert len(file.read_text().splitlines()) == STEPS + 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.yaml", "golden", "tiny.yaml"]


@pytest.mark.slow
def test_unchanged_losses_leave_the_file_as_it_is(golden: Golden, file: Path) -> None:
    """Whatever the process computed before, and in how many threads."""
    golden()
    before, threads = file.read_bytes(), torch.get_num_threads()
    torch.rand(3)
    torch.set_num_threads(2)
    try:
        code, out, _ = golden()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (code, out) == (0, "golden/tiny.json: unchanged, 20 steps, numerics fingerprint here\n")
    assert file.read_bytes() == before


def test_changed_losses_are_named_and_accepted(golden: Golden, file: Path, computed: list[float]) -> None:
    """The steps are those of the curves; losses of other machines are removed, because they are no longer true."""
    golden()
    before = read_golden(file)
    stale = {"elsewhere": Losses("2.0", [value * (1 + 1e-7) for value in before.losses["here"].values])}
    GoldenCurve("tiny", "tiny.yaml", [], before.losses | stale).write(file)
    computed[1:] = [value * 0.99 for value in computed[1:]]
    code, out, _ = golden()
    now = read_golden(file)
    one, two = (curve.losses["here"].values[1] for curve in (before, now))
    assert code == 0
    assert out.splitlines() == [
        "golden/tiny.json: changed, 20 steps, numerics fingerprint here",
        f"  step 2: {one!r} -> {two!r}",
        *out.splitlines()[2:6],
        "  and 14 later steps",
        "removed the losses of other machines, which differ by more than rounding: elsewhere",
    ]
    assert list(now.losses) == ["here"]


@pytest.mark.usefixtures("computed")
def test_another_machine_adds_its_losses(golden: Golden, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are sorted, so that the file does not depend on who wrote first."""
    golden()
    monkeypatch.setattr(command, "numerics_fingerprint", lambda device: "elsewhere")
    assert golden()[1] == "golden/tiny.json: added, 20 steps, numerics fingerprint elsewhere\n"
    assert list(read_golden(file).losses) == ["elsewhere", "here"]


@pytest.mark.usefixtures("computed")
def test_curve_of_another_yaml_is_kept(golden: Golden, file: Path, tmp_path: Path, tiny: Callable[..., str]) -> None:
    """Two yaml files of one name would accept each other's losses; a yaml that was renamed keeps its own."""
    golden()
    before = file.read_bytes()
    (tmp_path / "tiny.yaml").rename(tmp_path / "renamed.yaml")
    assert main(["golden", "renamed.yaml"]) == 0
    assert file.read_bytes() == before.replace(b"tiny.yaml", b"renamed.yaml")
    code, _, err = golden()
    assert code == 2
    assert "golden/tiny.json is the golden curve of renamed.yaml: give tiny.yaml another name, or --name" in err


@pytest.mark.usefixtures("computed")
def test_check_is_exact_where_the_fingerprint_is_known(
    golden: Golden, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit is found there; elsewhere only what is more than rounding. The message has the step and the command."""
    golden(None, "--trainer.callbacks", "[]")  # a value that shells need in quotes
    curve = read_golden(file)
    values = curve.losses["here"].values
    computed = values[6]
    values[6] = computed * (1 + 2**-50)
    curve.write(file)
    assert check(file).splitlines() == [
        "tiny.json: the losses of the first steps changed (expected -> got)",
        f"  step 7: {values[6]!r} -> {computed!r}",
        "If that is right, accept it: python cli.py golden tiny.yaml --trainer.callbacks '[]'",
    ]
    monkeypatch.setattr(command, "numerics_fingerprint", lambda device: "elsewhere")
    assert check(file) == ""
    values[6] = computed * 1.02
    curve.write(file)
    assert "step 7: " in check(file)


def test_rounding_may_grow_after_five_steps() -> None:
    expected = [1.0] * 7
    got = [1 + 9e-6, 1 + 1.1e-5, 1.0, 1.0, 1 + 9e-3, 1 + 9e-3, 1 + 1.1e-2]
    assert [found.step for found in differences(expected, got, exact=False)] == [2, 5, 7]
    assert [found.step for found in differences(expected, got, exact=True)] == [1, 2, 5, 6, 7]
    nan = float("nan")
    assert differences([1.0, nan], [1.0, nan], exact=True) == []
    assert list(map(str, differences([1.0, 2.0], [1.0], exact=False))) == ["step 2: 2.0 -> none"]


VARIANTS: dict[str, dict[str, Any]] = {
    "schedule": {"model": {"scheduler": {"type": "WarmupCosine", "warmup": 2}, "interval": "step"}},
    "clipping": {"model": {"clip": {"value": 0.1}, "optimizer": {"type": "SGD", "lr": 0.1}}},
    "accumulation": {"trainer": {"accumulate_grad_batches": 2}},
    "augmentation": {"data": {"train": {"augmentation": {"shift": {"type": "tests.components.RandomShift"}}}}},
    "a callback": {"trainer": {"callbacks": [{"type": "tests.study.golden.test_golden_command.HalvesRate"}]}},
    "smoothing": {"model": {"loss": {"cross_entropy": {"label_smoothing": 0.1}}}},
}


class HalvesRate(pl.Callback):
    """Callback that halves the learning rate after each epoch."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] /= 2


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_training_path_is_part_of_the_losses(variant: str, tmp_path: Path, tiny: Callable[..., str]) -> None:
    """What a yaml sets changes the losses, so that a mistake in it would be found."""
    plain, changed = (_losses(tiny, over) for over in ({}, VARIANTS[variant]))
    assert len(changed) == STEPS
    assert changed != plain


@pytest.mark.slow
def test_training_that_ends_early_has_fewer_losses(tiny: Callable[..., str]) -> None:
    assert len(_losses(tiny, {"trainer": {"max_steps": 3}})) == 3


def _losses(tiny: Callable[..., str], over: dict[str, Any]) -> list[float]:
    trainer = TINY["trainer"] | TRAINER | over.get("trainer", {})
    return train_losses(command._read(tiny(over | {"trainer": trainer}), [])[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "golden takes yaml files first, such as `golden configs/digits.yaml`"),
        (["--seed", "1"], "golden takes yaml files first, such as `golden configs/digits.yaml`"),
        (["missing.yaml"], "missing.yaml"),
        (["tiny.yaml", "--resume", "auto"], "golden takes values of the yaml and --config, but no other options"),
        (["tiny.yaml", "--model.optimizer.lr", "fast"], "model.optimizer.lr"),
        (["/tiny.yaml"], "/tiny.yaml"),
    ],
)
def test_mistakes_are_told_and_write_nothing(
    words: list[str],
    message: str,
    golden: Golden,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    tiny: Callable[..., str],
) -> None:
    tiny()
    assert main(["golden", *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) <= 3
    assert not (tmp_path / "golden").exists()


@pytest.mark.usefixtures("computed")
def test_damaged_file_is_told(golden: Golden, file: Path) -> None:
    golden()
    file.write_text('{"losses": {"here": {"torch": 1, "values": ["0xq"]}}}')
    code, _, err = golden()
    assert code == 2
    assert "golden/tiny.json is damaged: " in err
