"""Lines about how far a long replay is: seldom, and with about the seconds that are left."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from project.study.replay.progress import ProgressLines


def test_line_is_printed_every_ten_seconds(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    trainer: Any = SimpleNamespace(global_step=20, is_global_zero=True)
    lines = ProgressLines(50)
    lines.on_train_start(trainer, trainer)
    for trainer.global_step in range(21, 51):
        now += 1.0
        lines.after_batch(trainer)
    assert capfd.readouterr().out == "step 30 of 50, about 20 s left\nstep 40 of 50, about 10 s left\n"


def test_only_the_first_process_prints(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    trainer: Any = SimpleNamespace(global_step=0, is_global_zero=False)
    lines = ProgressLines(50)
    lines.on_train_start(trainer, trainer)
    now, trainer.global_step = 60.0, 10
    lines.after_batch(trainer)
    assert capfd.readouterr().out == ""
