"""Tracing of a graph with torch.export."""

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from math import gcd
from typing import Any

import torch
from loguru import logger
from torch import SymInt, Tensor
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, find_user_frame, first_line
from project.core.export.graph import Graph, plain_computation
from project.core.export.guards import GuardLog
from project.core.training.lightning_internals.recurrent import whole_recurrent_layers
from project.deploy.inputs import Input, Picture
from project.deploy.model_card import Length

_TRIED = 1024  # lengths of a free dimension that are tried
_GUARDS = "_guards_fn"  # documented: name of the submodule of `ExportedProgram.module()` that checks sizes


def trace(
    graph: Graph, batch: Tensors, inputs: Mapping[str, Input]
) -> tuple[ExportedProgram, dict[str, tuple[Length, ...]]]:
    """Return the program of a graph, and the lengths of the dimensions of each input after the batch.

    Args:
        graph: the graph.
        batch: at least one sample `(B, ...)` of each input.
        inputs: raw inputs by name. The height and width of a picture of any size are free, as are dimensions None.

    Raises:
        ConfigError: the net cannot be exported, or fixes the size of the batch.
    """
    free = {name: free_dimensions(inputs[name]) for name in graph.inputs}
    examples = tuple(_example(batch[name], free[name]) for name in graph.inputs)
    # An explicit dimension: torch would fix one of Dim.AUTO at the size of the example without a word.
    rows = Dim("batch", min=1)
    shapes = tuple({0: rows} | dict.fromkeys(free[name], Dim.AUTO) for name in graph.inputs)
    guards = GuardLog()
    try:
        with plain_computation(examples), _quiet(), guards, whole_recurrent_layers():
            program = torch.export.export(graph, examples, dynamic_shapes={"tensors": shapes}, strict=False)
            lengths = _Lengths(program).by_input(graph.inputs)
            program = _decompose(program)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(_explain(error, graph, guards)) from error
    program.example_inputs = None  # they are somebody's data
    _remove_unused(program)
    for position, name in enumerate(graph.inputs):
        for dimension, title in free[name].items():
            length, line = lengths[name][dimension - 1], guards.find_line(position, dimension)
            if length.minimum == length.maximum:
                logger.warning(f"the net fixes the {title} of {name} at {length.minimum}{line and f', in {line}'}")
            elif length.step > 1:
                logger.warning(f"the net takes only some sizes: the {title} of {name} must be {length.describe()}")
    return program, lengths


def free_dimensions(raw: Input) -> dict[int, str]:
    """Return the free dimensions of a tensor `(B, ...)`, and what each is called."""
    if isinstance(raw, Picture):
        return {2: "height", 3: "width"} if raw.size is None else {}
    return {i: f"dimension {i}" for i, length in enumerate(raw.shape, 1) if length is None}


def _example(tensor: Tensor, free: Mapping[int, str]) -> Tensor:
    """Return two rows of a tensor; no free dimension has the length 1, which torch would take for a constant."""
    tensor = tensor[:2]
    for dimension in (0, *free):
        if tensor.shape[dimension] == 1:
            tensor = torch.cat([tensor, tensor], dimension)
    return tensor.clone(memory_format=torch.contiguous_format)  # a view would bring the sizes of its base


def _explain(error: Exception, graph: Graph, guards: GuardLog) -> str:
    """Return in three lines why a net cannot be exported, where, and what to do."""
    refusal = f"model.net ({type(graph.wired.net).__name__}) cannot be exported"
    reason = first_line(error, 200)
    if reason.startswith("Constraints violated"):  # matched: the batch is the only dimension that is explicit
        line = next(filter(None, (guards.find_line(position, 0) for position in range(len(graph.inputs)))), "")
        return (
            f"{refusal}: it works only for some numbers of samples in a batch{line and f', at {line}'}\n"
            "Write x.shape[0] in place of len(x) and int(x.shape[0]), and no loop over samples"
        )
    frame = find_user_frame(error)
    line = f"{frame.filename}:{frame.lineno}: {frame.line}" if frame else "in code of a library"
    remedy = "torch.export cannot trace this line; compute it in another way"
    if isinstance(error, GuardOnDataDependentSymNode):
        reason = "the values of a tensor decide what it computes"
        remedy = "Write torch.where in place of `if`; no assert of values, float(x), .item(), .tolist() or .numpy()"
    return f"{refusal}: {reason}\n{line}\n{remedy}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch prints: warnings about its own code, and the graph in which an error occurred."""
    with warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _decompose(program: ExportedProgram) -> ExportedProgram:
    """Return a program without operations of the project's `ops`, which other programs do not have."""
    table: dict[Any, Any] = getattr(sys.modules.get("ops"), "DECOMPOSITIONS", {})
    if any(node.target in table for node in program.graph.nodes):
        program = program.run_decompositions(table)
    return program


def _remove_unused(program: ExportedProgram) -> None:
    """Remove parameters and buffers that are not used, such as those of losses."""
    signature, graph = program.graph_signature, program.graph
    nodes = {node.name: node for node in graph.find_nodes(op="placeholder")}
    kept = []
    for spec in signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and not node.users:
            graph.erase_node(node)
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)  # a buffer that no checkpoint has
        else:
            kept.append(spec)
    signature.input_specs[:] = kept
    program.graph_module.recompile()


class _Lengths:
    """Lengths that the dimensions of a program's inputs may have, found by trying.

    Args:
        program: the program.
    """

    def __init__(self, program: ExportedProgram) -> None:
        values = {node.name: node.meta["val"] for node in program.graph.find_nodes(op="placeholder")}
        self.shapes = [values[name].shape for name in program.graph_signature.user_inputs]
        self.ranges = program.range_constraints
        self.check = dict(program.module().named_children()).get(_GUARDS)  # None if there are no conditions
        sizes = [size for shape in self.shapes for size in shape[1:]]
        self.symbols = {symbol for size in sizes for symbol in _symbols(size)}

    def by_input(self, names: Iterable[str]) -> dict[str, tuple[Length, ...]]:
        """Return the lengths of the dimensions after the batch, by the name of the input."""
        return {name: tuple(map(self._of_size, shape[1:])) for name, shape in zip(names, self.shapes, strict=True)}

    def _of_size(self, size: int | SymInt) -> Length:
        if not _symbols(size):
            return Length(_evaluate(size, {}), _evaluate(size, {}))
        if len(_symbols(size)) > 1:
            return Length()  # such as the sum of two others
        (symbol,) = _symbols(size)
        lower, upper = self.ranges[symbol].lower, self.ranges[symbol].upper
        tried = range(int(lower), int(min(upper, lower + _TRIED)) + 1)
        allowed = [number for number in tried if self._allows(symbol, number)]
        lengths = [_evaluate(size, {symbol: number}) for number in allowed] or [_evaluate(size, {})]
        step = gcd(*(length - lengths[0] for length in lengths)) or 1
        goes_on = upper > tried[-1] and allowed and allowed[-1] + step > tried[-1]
        return Length(lengths[0], None if goes_on else lengths[-1], step)

    def _allows(self, symbol: Any, number: int) -> bool:
        """Return whether all conditions hold for a number, with the sizes of the example or with the number for all."""
        return self._holds({symbol: number}) or self._holds(dict.fromkeys(self.symbols, number))

    def _holds(self, numbers: Mapping[Any, int]) -> bool:
        if self.check is None:
            return True
        shapes = ([_evaluate(size, numbers) for size in shape] for shape in self.shapes)
        try:
            self.check(*(torch.empty(shape, device="meta") for shape in shapes))
        except AssertionError:
            return False
        return True


def _symbols(size: int | SymInt) -> set[Any]:
    return set() if isinstance(size, int) else set(size.node.expr.free_symbols)


def _evaluate(size: int | SymInt, numbers: Mapping[Any, int]) -> int:
    """Return a size for some numbers of its symbols; without them, that of the example."""
    if isinstance(size, int):
        return size
    return int(size.node.expr.subs(numbers)) if _symbols(size) & numbers.keys() else int(size.node.hint)
