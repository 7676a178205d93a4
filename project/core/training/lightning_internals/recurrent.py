"""Recurrent layers as loops in exported programs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from project.core.training.lightning_internals.names import Feature, is_available


@contextmanager
def whole_recurrent_layers() -> Iterator[None]:
    """Let torch trace GRU and LSTM with a loop: step by step, it would fix the length of sequences.

    The layers stay operations of the program. torch.onnx.export does the same.
    """
    with ExitStack() as stack:
        if is_available(Feature.SEQUENCES):
            import torch.export._patches

            loops = torch.export._patches
            _enter(stack, torch.ops.aten.gru.input, loops.register_gru_while_loop_decomposition())
            _enter(stack, torch.ops.aten.lstm.input, loops.register_lstm_while_loop_decomposition())
        yield


def _enter(stack: ExitStack, operation: Any, registered: Any) -> None:
    stack.enter_context(registered)
    _forget_traces(operation)
    stack.callback(_forget_traces, operation)


def _forget_traces(operation: Any) -> None:
    """Clear what torch has cached of an operation, of which earlier traces used another implementation."""
    key = torch.DispatchKey.CompositeImplicitAutograd
    operation.py_impl(key)(operation.py_kernels.pop(key))
