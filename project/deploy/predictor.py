"""Prediction with an exported model, without torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from project.deploy.inputs import InputError
from project.deploy.model_card import METADATA_KEY, read_card


class Predictor:
    """An exported model that onnxruntime runs on the CPU.

    Args:
        path: the file that `cli.py export` wrote.
        threads: number of threads.

    Raises:
        InputError: the file is none of `export`.

    Attributes:
        card: description of the model.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise InputError(f"{path} has no model card: `cli.py export` did not write it")
        self.card = read_card(metadata[METADATA_KEY])

    def run(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all outputs of the graph, by their names in it.

        Args:
            batch: arrays `(B, ...)` by the names of the inputs, with their dtypes.
        """
        names = list(dict.fromkeys([*self.card.outputs.values(), *self.card.answers.values()]))
        return dict(zip(names, self.session.run(names, dict(batch)), strict=True))
