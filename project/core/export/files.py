"""Files of an exported program: model.onnx and model.pt2."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from project.core.errors import ConfigError, causes, first_line, is_library, message_of
from project.core.export.graph import Graph, plain_computation
from project.core.export.pooling import decompose_pooling
from project.core.export.tracing import free_dimensions
from project.core.training.lightning_internals.recurrent import whole_recurrent_layers
from project.deploy.model_card import METADATA_KEY, Length, ModelCard

_LARGEST = 2**31 - 2**24  # bytes of weights: an ONNX file is a message of less than 2 GB, with the graph
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_NO_COUNTERPART = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.:]+)', overload='\w+'\)>")  # matched
_FILE = re.compile(r'File "(.+)", line (\d+)')  # matched: of a stack trace


def check_packages() -> None:
    """Raise ConfigError unless the packages of the extra `export` are installed; model.pt2 needs none of them."""
    if not all(map(find_spec, _PACKAGES)):
        raise ConfigError(
            "export needs the packages onnx, onnxscript and onnxruntime: pip install -c constraints.txt -e '.[export]'"
        )


def write_onnx(program: ExportedProgram, graph: Graph, card: ModelCard, path: Path) -> None:
    """Write a program and its card as an ONNX file, without example inputs and paths of this machine.

    Raises:
        ConfigError: an operation has no ONNX counterpart, or the file would exceed 2 GB.
    """
    import onnx

    weights = [*program.state_dict.values(), *program.constants.values()]
    size = sum(value.nbytes for value in weights if isinstance(value, torch.Tensor))
    if size > _LARGEST:
        raise ConfigError(
            f"the weights have {size / 1e9:.1f} GB, but an ONNX file takes at most 2 GB; use `--formats pt2`"
        )
    names = list(dict.fromkeys([*graph.outputs.values(), *graph.answers.values()]))
    table: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.embedding.default: _embed}
    try:
        # torch.onnx traces the program again.
        with plain_computation(weights), _quiet(), whole_recurrent_layers():
            exported = torch.onnx.export(
                decompose_pooling(program),
                input_names=graph.inputs,
                output_names=names,
                dynamo=True,
                verbose=False,
                custom_translation_table=table,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(_explain(error, graph, program)) from error
    assert exported is not None
    _rename_others(exported.model.graph, {*graph.inputs, *names})
    model = exported.model_proto
    _remove_traces(model)
    _name_dimensions(model, card)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_text()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConfigError(_explain(error, graph, program)) from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def _embed(weight: Any, indices: Any, *options: Any, **named: Any) -> Any:
    """Return the rows of an embedding, as operations of ONNX; the options are those of gradients.

    torch refuses an index below 0. ONNX counts it from the end: it becomes one that is too large.
    """
    from onnxscript import opset18

    op: Any = opset18
    too_large = op.CastLike(op.Constant(value_int=2**31 - 1), indices)
    is_negative = op.Less(indices, op.CastLike(op.Constant(value_int=0), indices))
    return op.Gather(weight, op.Where(is_negative, too_large, indices))


def replace_card(path: Path, card: ModelCard) -> None:
    """Write another card into an ONNX file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_text()})
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_pt2(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """Write a program and its card as a file of torch.export, without example inputs and paths of this machine."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    with path.open("wb") as file, _quiet():  # a file without a name: torch would store it
        torch.export.save(program, file, extra_files={f"{METADATA_KEY}.json": card.to_text()})


def _explain(error: Exception, graph: Graph, program: ExportedProgram) -> str:
    """Return in three lines which operation of a net ONNX does not have, and where the net calls it."""
    refusal = f"model.net ({type(graph.wired.net).__name__}) cannot be written as ONNX"
    missing = next(filter(None, (_NO_COUNTERPART.search(message_of(cause)) for cause in causes(error))), None)
    if missing is None:
        return f"{refusal}: {first_line(causes(error)[-1])}\nUse other operations, or `--formats pt2`"
    with _quiet():
        nodes = [node for node in program.run_decompositions().graph.nodes if missing[1] in str(node.target)]
    files = [file for node in nodes for file in _FILE.findall(node.meta.get("stack_trace", ""))]
    lines = [f"{file}:{line}\n" for file, line in files if not is_library(Path(file))]
    return f"{refusal}: it has no {missing[1]}\n{''.join(lines[-1:])}Use another operation, or `--formats pt2`"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch prints while it converts a program."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(max(before, logging.WARNING))
        try:
            yield
        finally:
            logging.disable(before)


def _remove_traces(message: Any) -> None:
    """Remove documentation and stack traces from a model and all its parts: they name files of this machine."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _remove_traces(part)


def _rename_others(graph: Any, names: Set[str]) -> None:
    """Rename values that are called like an input or output: torch names a value after its operation, such as cat."""
    own = {id(value) for value in (*graph.inputs, *graph.outputs)}
    for node in graph.all_nodes():
        for value in node.outputs:
            if value.name in names and id(value) not in own:
                value.name = f"{value.name}.value"  # no name of an operation or a parameter of Python has a dot


def _name_dimensions(model: Any, card: ModelCard) -> None:
    """Name the free dimensions of inputs, and those that depend on them: batch, height, width."""
    names: dict[str, str] = {}  # by what torch calls them
    for value in model.graph.input:
        titles, lengths = {0: "batch"} | free_dimensions(card.inputs[value.name]), (Length(), *card.shapes[value.name])
        for i, dimension in enumerate(value.type.tensor_type.shape.dim):
            if not dimension.dim_param or dimension.dim_param in names:
                continue
            title = titles[i].replace(" ", "_")
            name = f"{value.name}_{title}" if title in names.values() else title
            is_fixed = lengths[i].minimum == lengths[i].maximum
            names[dimension.dim_param] = str(lengths[i].minimum) if is_fixed else name
    symbols = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names, key=len, reverse=True)))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                name = symbols.sub(lambda found: names[found[0]], dimension.dim_param)
                if name.isdigit():
                    dimension.dim_value = int(name)
                else:
                    dimension.dim_param = name
