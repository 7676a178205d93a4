"""What the plain servers share: the trained module of a run, and code for a picture such as most would write."""

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image

import project

MODES = {1: "L", 3: "RGB"}


class Net:
    """The net of a run in torch.

    Args:
        run: directory of the run, whose net takes one picture.
        channels: channels of the picture.
    """

    def __init__(self, run: str, channels: int) -> None:
        self.module, self.mode = project.load(run), MODES[channels]

    def answer(self, picture: bytes) -> dict[str, Any]:
        """Return what the net predicts of a picture, the file in bytes, as JSON can hold it."""
        pixels = np.array(Image.open(io.BytesIO(picture)).convert(self.mode), dtype=np.float32) / 255
        image = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)[None]
        with torch.no_grad():
            outputs = self.module({"image": image})
        if "logits" in outputs:
            probability, label = outputs["logits"].softmax(1)[0].max(0)
            return {"label": int(label), "probability": float(probability)}
        return {"prediction": _to_url(outputs["prediction"][0])}


def _to_url(picture: torch.Tensor) -> str:
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
