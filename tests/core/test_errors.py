"""Errors: which are mistakes of the user, their locations, and the nearest match of a name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException

from project.core import errors
from project.core.errors import (
    ConfigError,
    add_location,
    constructor_error,
    did_you_mean,
    error_location,
    find_cause,
    is_user_error,
    join_names,
    located,
    missing_package,
    passed_user_code,
    user_message,
)


def test_did_you_mean_compares_normalized_names() -> None:
    assert did_you_mean("widht", ["depth", "width"]) == "; did you mean 'width'?"
    assert did_you_mean("cross_entrpy", ["CrossEntropy"]) == "; did you mean 'CrossEntropy'?"
    assert did_you_mean("zzz", ["depth", "width"]) == ""


def test_join_names() -> None:
    assert join_names(["one", "two"]) == "one, two"
    assert join_names([]) == "none"


def test_error_location_is_the_note_else_the_innermost_line_of_user_code() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("x")
    function = "test_error_location_is_the_note_else_the_innermost_line_of_user_code"
    assert error_location(caught.value).startswith(f"raised in {function} ({__file__}:")
    add_location(caught.value, "here")
    assert error_location(caught.value) == "raised in here"


def test_located_adds_the_location_except_to_mistakes() -> None:
    with pytest.raises(ZeroDivisionError) as caught, located("data.train"):
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["raised in data.train"]
    with pytest.raises(ConfigError) as mistake, located("data.train"):
        raise ConfigError("no pictures")
    assert not hasattr(mistake.value, "__notes__")
    with (
        pytest.raises(ConfigError, match=r"^a metric: it needs the package no_such: pip install no_such$"),
        located("a metric"),
    ):
        raise ModuleNotFoundError(name="no_such")
    with pytest.raises(RuntimeError, match="StopIteration was raised, which would end the epoch silently") as stop:
        add_location(StopIteration(), "data.train")
    assert error_location(stop.value) == "raised in data.train"


def caught_from(raise_error: Callable[[], Any]) -> Exception:
    """Return the exception that a function raises."""
    try:
        raise_error()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_cause_of_an_error_is_found_unless_suppressed() -> None:
    def chained(cause: Exception | None) -> None:
        try:
            raise ConfigError("the mistake")
        except ConfigError as error:
            raise RuntimeError("around it") from (error if cause is None else cause)

    error = caught_from(lambda: chained(None))
    assert str(find_cause(error, ConfigError)) == "the mistake"
    assert find_cause(error, OSError) is None
    assert is_user_error(error)
    assert user_message(error) == "the mistake"
    assert not is_user_error(caught_from(lambda: chained(OSError("another"))))


def test_worker_that_ended_is_no_error_of_the_code_that_runs_meanwhile() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    assert error_location(caught.value) == "raised in a worker of a DataLoader, which ended"


def test_user_message_is_short_and_drops_the_text_of_the_worker() -> None:
    assert user_message(ConfigError("1\n2\n3\n4")) == "1\n2\n3"
    assert user_message(ConfigError("no '\x1b[31mé日'")) == "no '\\x1b[31mé日'"  # a name in a stranger's file
    text = (
        "Caught ConfigError in DataLoader worker process 0.\nTraceback:\n  line\nproject.core.errors.ConfigError: bad"
    )
    assert user_message(ConfigError(text)) == "bad"
    text = "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\n  line\nRuntimeError: Odd: odd"
    assert user_message(RuntimeError(text)) == "Odd: odd"  # the reason in summary.json


def test_refusals_of_lightning_are_mistakes_unless_they_have_a_location() -> None:
    assert is_user_error(MisconfigurationException("any text"))
    assert is_user_error(RuntimeError("Early stopping conditioned on metric `x` which is not available"))
    assert is_user_error(ValueError(" `val_check_interval` (50) must be less"))
    assert not is_user_error(RuntimeError("CUDA error"))
    assert not is_user_error(caught_from(lambda: torch.zeros(2) @ torch.zeros(3)))
    located_refusal = MisconfigurationException("any text")
    add_location(located_refusal, "data.train")
    assert not is_user_error(located_refusal)


def test_texts_of_refusals_are_those_of_the_installed_libraries() -> None:
    """A text that a new version words differently would turn a mistake into a traceback."""
    folders = (Path(pl.__file__).parent, Path(torch.optim.__file__).parent)
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")]
    assert [text for text in errors._REFUSALS if not any(text in source for source in sources)] == []


def test_user_code_is_neither_engine_nor_library() -> None:
    def fail_in_user_code() -> None:
        yaml.safe_load("[")

    assert passed_user_code(caught_from(fail_in_user_code))
    assert not passed_user_code(caught_from(partial(did_you_mean, 3, ["a"])))  # type: ignore[arg-type]
    assert not passed_user_code(caught_from(partial(yaml.safe_load, "[")))


def test_constructor_error_is_a_mistake_unless_user_code_raised_it() -> None:
    def fail_in_user_code() -> None:
        torch.nn.Linear(-1, 2)

    where = "model.net (Linear)"
    refused = caught_from(partial(torch.nn.MultiheadAttention, 5, 2))
    mistake = constructor_error(refused, where)
    assert isinstance(mistake, ConfigError)
    assert str(mistake) == "model.net (Linear): AssertionError: embed_dim must be divisible by num_heads"
    assert str(constructor_error(ValueError("bad width"), where)) == "model.net (Linear): bad width"
    assert str(constructor_error(ValueError(), where)) == "model.net (Linear): ValueError"
    own = caught_from(fail_in_user_code)
    assert constructor_error(own, where) is own
    assert error_location(own) == "raised in model.net (Linear), while it was built"
    for text in ("x", "Linear: x", "model.net.layer: x"):  # the message may begin with the class, or have a path
        expected = text if text.startswith("model") else "model.net (Linear): x"
        assert str(constructor_error(ConfigError(text), where)) == expected


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ModuleNotFoundError("'wandb>=0.12.10' not met. HINT: Try running `pip install -U 'wandb>=0.12.10'`"),
            "needs the package wandb: pip install 'wandb>=0.12.10'",
        ),
        (
            ModuleNotFoundError("Either install as `pip install torchmetrics[image]` or `pip install torch-fidelity`."),
            "needs the package torch-fidelity: pip install torch-fidelity",
        ),
        (
            ModuleNotFoundError("install with `pip install torchmetrics[audio]`."),
            "needs the package torchmetrics[audio]: pip install 'torchmetrics[audio]'",
        ),
        (ModuleNotFoundError(name="no_such.part"), "needs the package no_such: pip install no_such"),
        (ModuleNotFoundError(name="project.nothing"), None),
        (ModuleNotFoundError("unknown"), None),
        (ValueError("pip install x"), None),
    ],
)  # fmt: skip
def test_missing_package(error: Exception, text: str | None) -> None:
    assert missing_package(error) == text
