"""Training on a GPU: ResNet-50 and ViT-S/16 in bf16 and channels last, compiled or not, compared with a plain loop.

Both use the same loader, net and fused optimizer; the CLI also logs and shows progress as usual. Prints pictures per
second, medians over epochs of alternating runs, and their ratio.

    python -m benchmarks.gpu --rounds 3
"""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.common import CONFIG, Clock, alternate, arguments, now, report
from benchmarks.training import seconds
from project.core.cli.main import main
from project.core.data.loading import build_loader
from project.datasets.arrays import Arrays
from project.registry import MODEL_REGISTRY

NETS = {"ResNet-50": "ResNet50", "ViT-S/16": "ViT"}
COUNT, BATCH, SIDE, WORKERS, EPOCHS = 8192, 256, 224, 12, 5
DEVICE = "cuda"


def write_pictures(path: Path) -> None:
    """Write random RGB pictures of ten classes."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    np.savez(path, image=image, label=generator.integers(0, 10, COUNT))


def plain(path: Path, name: str, compiles: bool) -> list[float]:
    """Return the seconds of each epoch of a loop without a framework."""
    torch.compiler.reset()
    net: Any = MODEL_REGISTRY.resolve(name, "the benchmark")(in_channels=3, num_classes=10)
    net.to(DEVICE, memory_format=torch.channels_last)
    if compiles:
        net.compile()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    workers: dict[str, Any] = {
        "num_workers": WORKERS,
        "persistent_workers": WORKERS > 0,
        "pin_memory": DEVICE == "cuda",
    }
    loader = build_loader(Arrays(str(path)), "train", BATCH, seed=0, is_training=True, **workers)
    marks = []
    for _ in range(EPOCHS):
        marks.append(now())
        for batch in loader:
            image, label = (batch[key].to(DEVICE, non_blocking=True) for key in ("image", "label"))
            with torch.autocast(DEVICE, torch.bfloat16):
                loss = F.cross_entropy(net(image)["logits"], label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return seconds(marks)


def whole(path: Path, name: str, compiles: bool) -> list[float]:
    """Return the seconds of each epoch of `cli.py fit`, including logs and progress."""
    torch.compiler.reset()
    argv = ["fit", "--config", str(CONFIG), "--data.train.path", str(path), "--root", str(path.parent), "--replace"]
    argv += ["--model.net", f"{{type: {name}, in_channels: 3, num_classes: 10}}"]
    argv += ["--model.channels_last", "true", "--model.compile", str(compiles).lower()]
    argv += ["--data.batch_size", str(BATCH), "--data.num_workers", str(WORKERS)]
    argv += ["--trainer.accelerator", "gpu" if DEVICE == "cuda" else DEVICE, "--trainer.devices", "1"]
    argv += ["--trainer.precision", "bf16-mixed", "--trainer.max_epochs", str(EPOCHS)]
    argv += ["--checkpoint.every_n_epochs", str(EPOCHS)]  # an epoch here is a few seconds
    assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.common.Clock}]"]) == 0
    return seconds(Clock.marks[:EPOCHS])


def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        for (shown, name), compiles in itertools.product(NETS.items(), (False, True)):
            loops = {"plain torch": plain, "cli.py fit": whole}
            medians = alternate(
                {key: lambda loop=loop, n=name, c=compiles: loop(path, n, c) for key, loop in loops.items()},  # type: ignore[misc]
                rounds,
            )
            theirs, ours = (COUNT // BATCH * BATCH / median for median in medians.values())
            what = f"{shown}{', compiled' if compiles else ''}"
            report(f"{what:<20} plain {theirs:7.0f} pictures/s   cli.py fit {ours:7.0f}   ratio {ours / theirs:.3f}")


if __name__ == "__main__":
    given = arguments(__doc__)
    if torch.cuda.is_available():
        measure(given.rounds)
    else:
        report("gpu: there is no GPU")
