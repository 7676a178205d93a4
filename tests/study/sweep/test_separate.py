"""A function in a process of its own ends at the signals that its caller gets."""

import signal
import time

import pytest

from project.core.distributed.signals import Interrupted
from project.study.sweep.process import Children
from project.study.sweep.separate import call_separately


def test_signal_ends_the_function_and_is_no_failure_of_it() -> None:
    children = Children()
    children.number = signal.SIGTERM  # received just before
    with pytest.raises(Interrupted) as caught:
        call_separately(lambda: time.sleep(60), "a long check", children=children)
    assert caught.value.code == 75
