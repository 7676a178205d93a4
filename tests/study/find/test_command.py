"""Mistakes in the options of `find` get a message and exit code 2."""

from collections.abc import Callable
from pathlib import Path

import pytest

from project.commands import main


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "find takes what to find first, such as `find lr --config FILE`; known: lr, batch_size"),
        ("--config CONFIG", "find takes what to find first, such as `find lr --config FILE`; known: lr, batch_size"),
        ("batchsize", "find has no 'batchsize'; did you mean 'batch_size'?\nknown: lr, batch_size"),
        ("lr --config CONFIG --steps 3", "--steps is 3; it takes a number of at least 10"),
        ("batch_size --config CONFIG --steps 30", "--steps is an option of find lr, not of find batch_size"),
        ("lr --config CONFIG --name a/b", "name"),
        ("lr --config CONFIG --output CONFIG", "results cannot be written to CONFIG"),
        ("lr --config CONFIG --model.net.width 3", "model.net (MLP) has no setting 'width'"),
        ("batch_size --config CONFIG --model.net.width 3", "model.net (MLP) has no setting 'width'"),
        (
            "lr --config CONFIG --model tests.study.find.components.TwoOptimizers",
            "find lr needs one optimizer that Lightning steps; model (TwoOptimizers) has 2 or steps them itself: "
            "compare learning rates with a sweep",
        ),
        (
            "lr --config CONFIG --model.optimizer.lr 0",
            "find lr needs an optimizer with a learning rate; set model.optimizer.lr to any above 0",
        ),
    ],
)
def test_mistake_gets_its_message_and_leaves_no_files(
    argv: str, message: str, tiny: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tiny({"root": str(tmp_path / "runs")})
    before = sorted(tmp_path.rglob("*"))
    assert main(["find", *argv.replace("CONFIG", config).split()]) == 2
    output, errors = capfd.readouterr()
    lines = [line for line in errors.splitlines() if not line[:2].isdigit()]  # log lines begin with the time
    assert "\n".join(lines).startswith(f"error: {message.replace('CONFIG', config)}")
    assert (output, len(lines) <= 3) == ("", True)
    assert sorted(tmp_path.rglob("*")) == before
