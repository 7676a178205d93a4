"""Prediction with an exported model, without torch."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from project.deploy.inputs import InputError
from project.deploy.model_card import METADATA_KEY, ModelCard, printable, read_card

_MAX_BATCH = 32  # samples that go through the net together: larger batches need more memory, and are hardly faster
# Names of onnxruntime for types of tensors, and those of NumPy where they differ.
_DTYPES = {"float": "float32", "double": "float64"}
# Parts of onnxruntime's messages: the head of each, and an index that a table, such as an embedding, has no row for.
_ERROR_HEAD = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_INDEX_ERROR = re.compile(r"idx=(-?\d+) must be within the inclusive range \[-?\d+,(\d+)\]")


class Predictor:
    """An exported model that onnxruntime runs on the CPU.

    Its answers are those of the net's `predict`, or its outputs if it has none. Several threads of a program may use
    the same Predictor, and so may processes: a forked one has it, and one to which it is sent (pickled), such as those
    of a pool, opens the file itself.

    Args:
        path: the file that `cli.py export` wrote.
        threads: number of threads for each call. With 1, a server answers most requests per second; in a notebook, more
            are faster for large pictures and nets.

    Raises:
        InputError: the file is none of `export`, or damaged.
        ModuleNotFoundError: onnxruntime is not installed.

    Attributes:
        card: description of the model.

    Example::

        predictor = Predictor("model.onnx")
        answer = predictor.predict(image="seven.png")  # {"label": array(7), "probability": array(0.99, dtype=float32)}
        predictor.card.classes["label"][answer["label"]]  # "seven"
        answers = predictor.predict_batch([{"image": path} for path in paths])

    Where each sample has an error of its own, as in a server::

        arrays = predictor.read({"image": upload})  # raises InputError
        answers = predictor.predict_arrays([arrays, ...])
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path, self.threads = Path(path), threads
        self.session = _open_session(self.path, threads)
        try:
            metadata = self.session.get_modelmeta().custom_metadata_map
            if METADATA_KEY not in metadata:
                raise InputError(f"{path} has no model card: `cli.py export` did not write it")
            self.card, self.dtypes = self._read_card(metadata[METADATA_KEY])
        except UnicodeDecodeError as error:  # onnxruntime does not check the texts when it opens a file
            raise InputError(f"{path} is damaged: a text in it is not UTF-8") from error
        batch = self.session.get_inputs()[0].shape[0]
        # An output without a row for each sample, such as a mean, depends on the others: each sample goes alone.
        used = {*self.card.outputs.values(), *self.card.answers.values()}
        self._has_rows = {
            item.name: bool(item.shape) and item.shape[0] == batch
            for item in self.session.get_outputs()
            if item.name in used
        }
        self._max_batch = _MAX_BATCH if all(self._has_rows.values()) else 1

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def __reduce__(self) -> tuple[type["Predictor"], tuple[Path, int]]:
        return type(self), (self.path.absolute(), self.threads)  # a session cannot be pickled

    def _read_card(self, text: str) -> tuple[ModelCard, dict[str, np.dtype[Any]]]:
        """Return the card, and the dtypes of the inputs."""
        try:
            card = read_card(text)
            return card, _check_graph(card, self.session)
        except InputError as error:
            raise InputError(f"{self.path} cannot be used: {error}") from error

    def empty_answer(self, name: str) -> np.ndarray:
        """Return an array with the dtype and the dimensions of an answer of one sample; lengths that are free are 0."""
        output = self.card.answers[name]
        item = next(each for each in self.session.get_outputs() if each.name == output)
        shape = item.shape[1:] if self._has_rows[output] else item.shape
        return np.empty([length if isinstance(length, int) else 0 for length in shape], _to_dtype(item.type))

    def predict(self, /, **inputs: Any) -> dict[str, np.ndarray]:
        """Return the answers of one sample, by name, without the dimension of the batch.

        Args:
            inputs: files, bytes or arrays, by the names of the inputs.

        Raises:
            InputError: an input is missing, unknown or not valid.
        """
        return self.predict_arrays([self.read(inputs)])[0]

    def predict_batch(self, samples: Iterable[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
        """Return the answers of several samples, in their order; samples of the same shapes are computed together.

        Args:
            samples: inputs of each sample, as `predict` takes them.

        Raises:
            InputError: an input of a sample is not valid; the message begins with the number of the sample.
        """
        arrays = []
        for number, sample in enumerate(samples):
            try:
                arrays.append(self.read(sample))
            except InputError as error:
                raise type(error)(f"sample {number}: {error}") from error
        return self.predict_arrays(arrays)

    def read(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the arrays of one sample, with shapes and dtypes that the net takes.

        Args:
            inputs: files, bytes or arrays, by the names of the inputs.

        Raises:
            InputError: an input is missing, unknown or not valid.
        """
        known = list(self.card.inputs)
        for name in inputs:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else "."
                raise InputError(f"no input is called '{name}'{hint} The inputs are: {', '.join(known)}")
        arrays = {}
        for name, raw in self.card.inputs.items():
            if name not in inputs:
                raise InputError(f"the input '{name}' is missing. The inputs are: {', '.join(known)}")
            try:
                array = raw.read(inputs[name])
                self.card.check_shape(name, array.shape)
            except InputError as error:
                raise type(error)(f"{name}: {error}") from error
            arrays[name] = array.astype(self.dtypes[name], copy=False)
        return arrays

    def predict_arrays(self, samples: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """Return the answers of samples that `read` returned, in their order.

        Raises:
            InputError: the net does not take their shapes.
        """
        return [
            {name: outputs[output] for name, output in self.card.answers.items()}
            for outputs in self.run_samples(samples)
        ]

    def run_samples(self, samples: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """Return all outputs of the graph for each sample that `read` returned, by their names in it.

        Raises:
            InputError: the net does not take their shapes.
        """
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for number, sample in enumerate(samples):
            groups.setdefault(tuple(sample[name].shape for name in self.card.inputs), []).append(number)
        results: list[dict[str, np.ndarray]] = [{} for _ in samples]
        for group in groups.values():
            for start in range(0, len(group), self._max_batch):
                numbers = group[start : start + self._max_batch]
                batch = {name: np.stack([samples[number][name] for number in numbers]) for name in self.card.inputs}
                outputs = self.run(batch)
                self._check_rows(outputs, len(numbers))
                for row, number in enumerate(numbers):
                    results[number] = {
                        # Copied: a row would keep the whole batch in memory.
                        name: value[row, ...].copy() if self._has_rows[name] else value
                        for name, value in outputs.items()
                    }
        return results

    def _check_rows(self, outputs: Mapping[str, np.ndarray], count: int) -> None:
        for name, value in outputs.items():
            if self._has_rows[name] and value.shape[:1] != (count,):
                raise InputError(f"{self.path.name} returns '{name}' with the shape {value.shape} for {count} samples")

    def run(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all outputs of the graph, by their names in it.

        Args:
            batch: arrays `(B, ...)` by the names of the inputs, with their dtypes.

        Raises:
            InputError: the net does not take the batch.
        """
        names = list(dict.fromkeys([*self.card.outputs.values(), *self.card.answers.values()]))
        try:
            values = self.session.run(names, dict(batch))
        except Exception as error:  # onnxruntime has no common base class of its errors
            if index := _INDEX_ERROR.search(str(error)):  # a category or token that the net has no row for
                names = [name for name, array in batch.items() if array.dtype.kind in "iu" and int(index[1]) in array]
                where = " or ".join(names) or "an index"
                raise InputError(f"{where}: {index[1]} is not valid; it must be from 0 to {index[2]}") from error
            given = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in batch.items())
            raise InputError(f"{self.path.name} does not take {given}: {_first_line(error)}") from error
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _open_session(path: Path, threads: int) -> Any:
    """Return onnxruntime's session of a file."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "exported models need onnxruntime: pip install onnxruntime", name="onnxruntime"
        ) from error
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the CPU to others
    options.log_severity_level = 4  # fatal: errors are raised, and would be printed as well
    try:
        # Its fallback would print each error, and try the same again.
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except Exception as error:  # damaged files raise any exception
        raise InputError(f"{path} is damaged, or not an ONNX file: {_first_line(error)}") from error


def _check_graph(card: ModelCard, session: Any) -> dict[str, np.dtype[Any]]:
    """Return the dtypes of the inputs.

    Raises:
        InputError: a graph has not the inputs and outputs of its card.
    """
    inputs, outputs = session.get_inputs(), {item.name: item.type for item in session.get_outputs()}
    names = [item.name for item in inputs]
    if not names or not sorted(names) == sorted(card.inputs) == sorted(card.shapes):
        taken = printable(", ".join(names))
        raise InputError(f"its graph takes {taken}, but its model card describes {', '.join(card.inputs)}")
    for name in {*card.outputs.values(), *card.answers.values()}:
        if name not in outputs:
            raise InputError(f"its graph has no output '{printable(name)}', which its model card describes")
        if not _is_array_of_numbers(outputs[name]):
            raise InputError(f"its graph returns '{printable(name)}' as {outputs[name]}, which is no array of numbers")
    for item in inputs:
        if len(item.shape) != len(card.shapes[item.name]) + 1:
            described = len(card.shapes[item.name])
            raise InputError(
                f"'{item.name}' has {len(item.shape)} dimensions, but its model card describes {described}"
            )
    try:
        return {item.name: _to_dtype(item.type) for item in inputs}
    except TypeError as error:
        raise InputError(f"its graph takes an input of a type that NumPy does not know: {error}") from error


def _is_array_of_numbers(kind: str) -> bool:
    """Return whether NumPy has the type of an output; it has no bfloat16, for one."""
    try:
        return kind.startswith("tensor(") and _to_dtype(kind).kind in "biufc"
    except TypeError:
        return False


def _to_dtype(kind: str) -> np.dtype[Any]:
    """Return the dtype of a tensor that onnxruntime calls `tensor(float)`."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_DTYPES.get(name, name))


def _first_line(error: Exception) -> str:
    return printable(_ERROR_HEAD.sub("", str(error).strip()).partition("\n")[0])
