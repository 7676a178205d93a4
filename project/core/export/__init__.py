"""Export of a trained net to model.onnx and model.pt2, and exported models in the place of the net.

Imports `deploy`, `errors`, `files`, `config`, `data`, `model`, `run` and `training.lightning_internals`. Read
`exporting.py` first.
"""
