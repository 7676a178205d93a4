"""The run of wandb ends with the training that started it."""

import sys
from types import SimpleNamespace

import pytest

from project.core.trackers import ending_wandb_run


def test_wandb_run_of_a_training_ends_with_it_and_says_whether_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next training of the process would log to it; a run that was there before is not ended."""
    codes: list[int] = []
    wandb = SimpleNamespace(run=None)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run = SimpleNamespace(finish=lambda exit_code: codes.append(exit_code))

    def train(error: Exception | None) -> None:
        with ending_wandb_run():
            wandb.run = run
            if error:
                raise error

    train(None)
    train(None)  # in a run that was there
    wandb.run = None
    with pytest.raises(OSError, match="full"):
        train(OSError("full"))
    assert codes == [0, 1]
