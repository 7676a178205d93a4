"""Each registered callback takes part in a training, and in the training resumed from it."""

from collections.abc import Callable
from typing import Any

import pytest

from project.registry import CALLBACK_REGISTRY
from tests.conftest import Cli
from tests.contract.samples import registered


@pytest.mark.parametrize("cls", registered(CALLBACK_REGISTRY))
def test_callbacks_train_and_resume(cls: Any, cli: Cli, tiny: Callable[..., str]) -> None:
    callback = {"type": f"{cls.__module__}.{cls.__qualname__}"} | getattr(cls, "example", {})
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [callback]}}))
    assert ran.code == 0, ran.err
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
