"""Research project: components that its owner writes, and an engine that turns one yaml file into a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

    from project.deploy.predictor import Predictor as Predictor
    from project.study.events import Curves
    from project.study.replay.notebook import ReplayedStep
    from project.study.runs import Runs
else:

    def __getattr__(name: str) -> type:
        """Import `Predictor` when it is first used: it needs numpy, and not torch."""
        if name != "Predictor":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from project.deploy.predictor import Predictor

        return Predictor


def runs(root: str | Path) -> "Runs":
    """Return the runs in a directory as rows, without torch; `print` shows their names and metrics.

    Args:
        root: directory of runs, such as experiments, or a run directory.

    Raises:
        ConfigError: it does not exist.

    Example::

        for run in project.runs("experiments"):
            print(run.name, run.state, run.results.get("test/accuracy"))
        frame = project.runs("experiments").to_pandas()
    """
    from project.study.runs import read_runs

    return read_runs(Path(root))


def curves(run: str | Path) -> "Curves":
    """Return the curves of a run, without torch: by name, the steps, values and times of its points, arrays `(N,)`.

    Args:
        run: a run directory.

    Example::

        steps, values, seconds = project.curves("experiments/digits")["val/accuracy"]
    """
    from project.study.events import read_curves

    return read_curves(Path(run))


def load(run: str | Path, trust: bool = False) -> "LightningModule":
    """Load the trained module of a run, in evaluation mode, on the CPU.

    Args:
        run: a run directory (loads checkpoints/best.ckpt, else the newest one) or a checkpoint.
        trust: build any class that the configuration in the checkpoint names; without it, only registered components
            and classes of torch, torchmetrics and Lightning.

    Raises:
        ConfigError: the checkpoint does not exist or cannot be read.

    Example::

        module = project.load("experiments/digits")
        logits = module({"image": torch.zeros(1, 1, 8, 8)})["logits"]
    """
    from project.core.cli.building import load_module

    return load_module(Path(run), trust)


def replay(run: str | Path, step: int, changes: Mapping[str, Any] | None = None, trust: bool = False) -> "ReplayedStep":
    """Train a run again up to a step, and return the module before the step, its batch and its seeds.

    The run directory is not touched.

    Args:
        run: a run directory.
        step: the optimizer step, as the x of the curves: 1 is the first one.
        changes: values of the yaml that replace those of the run, such as {"trainer": {"accelerator": "cpu"}}.
        trust: build any class that the configuration of the run names; without it, only registered components and
            classes of torch, torchmetrics and Lightning.

    Raises:
        ConfigError: the run has no such step, or cannot be replayed.

    Example::

        step = project.replay("experiments/digits", 120)
        loss = step.run()  # the same bits as in the run
        loss.backward()
        step.module(step.batch)["logits"]
    """
    from project.study.replay.notebook import replay_step

    return replay_step(Path(run), step, changes, trust)
