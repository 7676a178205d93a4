"""Weights from elsewhere: the settings of `model.pretrained` and of the option `--finetune`."""

from dataclasses import dataclass


@dataclass
class Pretrained:
    """Weights that a new run starts with; a resumed run, and validate, test and predict have those of the checkpoint.

    Args:
        path: a .pt, .pth, .ckpt or .safetensors file, or a run directory.
        rename: regular expressions and their replacements, applied in this order to the names of the file's tensors.
        skip: names of tensors that are not loaded, or patterns such as net.head.*
        strict: whether each tensor of the net must be in the file, and each tensor of the file in the model.
        sha256: checksum of the file, which is then checked; null: config.yaml gets it when the run starts.

    Example::

        Pretrained("resnet18.pth", rename={r"^backbone\\.": "net."}, skip=["net.head.*"])
    """

    path: str
    rename: dict[str, str] | None = None
    skip: list[str] | None = None
    strict: bool = True
    sha256: str | None = None
