"""Errors in workers reach the main process, whatever they are; they do not make it wait, nor end the run silently."""

import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.data.loading import build_loader
from project.core.data.workers import prepare_worker
from project.core.errors import ConfigError, error_location, user_message
from tests.conftest import slow_except
from tests.core.components import IndexImages, IndexStream


class TwoArguments(Exception):
    """Error whose constructor has two arguments, so that it cannot be unpickled."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


class NamedMessage(Exception):
    """Error with the attribute that torch takes for an argument."""

    message = "text"


class Forgetful(Exception):
    """Error that keeps no text."""

    def __init__(self, text: str) -> None:
        super().__init__()


class Unprintable(Exception):
    """Error whose text cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("on purpose")


def local_error() -> Exception:
    """Return an error whose type cannot be pickled."""

    class Local(Exception):
        pass

    return Local("on purpose")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "local": local_error,
    "two arguments": lambda: TwoArguments("on", "purpose"),
    "message": lambda: NamedMessage("on purpose"),
    "forgetful": lambda: Forgetful("on purpose"),
    "unprintable": Unprintable,
    "group": lambda: ExceptionGroup("on purpose", [local_error()]),
    "SystemExit": lambda: SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt,
    "ValueError": lambda: ValueError("on purpose"),
}
UNSENDABLE: dict[str, Callable[[], Any]] = {
    "function": lambda: lambda: 0,
    "gradient": lambda: torch.ones(1, requires_grad=True) * 2,
    "error": lambda: TwoArguments("on", "purpose"),
}


class Broken(IndexImages):
    """Dataset that fails at a sample, or returns what cannot be sent."""

    def __init__(self, kind: str, at: int = 3) -> None:
        super().__init__()
        self.kind, self.at = kind, at

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index == self.at and self.kind in ERRORS:
            raise ERRORS[self.kind]()
        if index == self.at and self.kind == "exit":
            os._exit(0)
        return super().__getitem__(index)

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Any]:
        """Return a batch, with something else next to it."""
        batch: dict[str, Any] = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        is_broken = self.at in batch["image"][:, 0, 0, 0] and self.kind in UNSENDABLE
        return batch | ({"extra": UNSENDABLE[self.kind]()} if is_broken else {})


class BrokenStream(IndexStream):
    """Iterable dataset that ends the worker as if the run was done."""

    def __iter__(self) -> Any:
        raise SystemExit(0)


def error_of(dataset: Any, is_training: bool = False) -> BaseException:
    """Return the error of an iteration with a worker."""
    options: dict[str, Any] = {"num_workers": 1, "worker_init_fn": prepare_worker}
    with pytest.raises(Exception) as caught:  # noqa: PT011
        list(build_loader(dataset, "data.val", 2, 0, is_training, **options))
    traceback.clear_frames(caught.tb)  # ends the worker now: the garbage collector would wait 5 s for it later
    return caught.value


@pytest.mark.parametrize("kind", slow_except(ERRORS, "local", "forgetful", "SystemExit", "group"))
def test_error_arrives_with_its_location_and_traceback(kind: str) -> None:
    error = error_of(Broken(kind))
    assert error_location(error) == "raised in data.val (Broken), samples 2, 3"
    assert type(ERRORS[kind]()).__name__ in str(error)
    assert ", in __getitem__" in str(error)


@pytest.mark.parametrize("kind", slow_except([*UNSENDABLE, "exit"], "function"))
def test_what_cannot_be_sent_is_an_error_and_not_a_wait(kind: str) -> None:
    """What cannot be unpickled is found in the main process, which does not know the samples."""
    location = error_location(error_of(Broken(kind)))
    sent, received = "samples 2, 3, while a worker sent the batch", "by a worker or while its batch was received"
    expected = {"function": f", {sent}", "gradient": f", {sent}"}.get(kind, f", {received}")
    assert location == f"raised in data.val (Broken){expected}"


def test_exit_in_a_stream_is_an_error() -> None:
    error = error_of(BrokenStream())
    assert error_location(error) == "raised in data.val (BrokenStream), in `__iter__`"
    assert "SystemExit: 0" in str(error)


@pytest.mark.slow
def test_mistake_stays_a_mistake() -> None:
    class Mistaken(IndexImages):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            raise ConfigError("set data.train.size")

    assert user_message(error_of(Mistaken())) == "set data.train.size"
