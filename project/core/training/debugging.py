"""Callbacks that find out why a training fails; configs/presets/debug.yaml uses them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from project.core.errors import RunStopped, is_library
from project.core.training.lightning_internals.access import log_to_loggers, should_log


class GradientMonitor(Callback):
    """Callback that logs the norm of each parameter's gradient, before it is clipped, as `gradient/NAME`.

    Example::

        trainer: {callbacks: [{type: GradientMonitor}]}
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if should_log(trainer):
            own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
            gradients = {name: p.grad for name, p in pl_module.named_parameters() if p in own and p.grad is not None}
            self.norms |= {f"gradient/{name}": gradient.norm().item() for name, gradient in gradients.items()}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        # Only now all optimizers have stepped. Not by `log_dict`: too many values for the line of an epoch.
        if self.norms:
            log_to_loggers(trainer, self.norms)
        self.norms = {}


class NonFiniteStop(Callback):
    """Callback that stops the run at the first loss or gradient that is infinite or NaN, before the weights change.

    The message says in which module or operation the value first occurred and which parameter it reached; the weights
    are saved in RUN/non_finite.ckpt. All tensors are checked, so a step takes several times as long.

    Args:
        run_directory: given by the engine.

    Example::

        trainer: {callbacks: [{type: NonFiniteStop}]}
    """

    def __init__(self, run_directory: str = ".") -> None:
        self.run_directory = Path(run_directory).absolute()
        self.hooks: list[RemovableHandle] = []
        self.source = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Anomaly mode records where each operation was called. The hooks below look for NaN themselves, because torch
        # would raise before a parameter can be named.
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        for name, module in pl_module.named_modules():
            if name:
                self.hooks.append(module.register_forward_hook(partial(self._check_output, name)))

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, _: int) -> None:
        bad = [str(name) for name, value in batch.items() if not _is_finite(value)] if isinstance(batch, dict) else []
        self.source = f"; it began in the batch: {', '.join(bad)} is not finite" if bad else ""

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        bad = not loss.isfinite()
        if _any_rank(trainer, bad):
            self._stop(trainer, f"the loss is {loss.item()}" if bad else "the loss of another rank is not finite")
        self.source = ""
        for node in _nodes(loss.grad_fn):
            node.register_hook(partial(self._check_gradient, node))

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # 16-mixed scales the loss until gradients overflow, and skips such a step itself
        bad = [name for name, p in pl_module.named_parameters() if p.grad is not None and not _is_finite(p.grad)]
        if _any_rank(trainer, bool(bad)):
            others = f" and those of {len(bad) - 1} other parameters are" if len(bad) > 1 else " is"
            self._stop(trainer, f"the gradient of {bad[0] if bad else 'a parameter'}{others} not finite")

    def teardown(self, *_: object, **__: object) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _check_output(self, name: str, module: nn.Module, inputs: object, output: object) -> None:
        if module.training and not self.source and not _is_finite(output):
            weights = [f"{name}.{own}" for own, p in module.named_parameters(recurse=False) if not _is_finite(p)]
            reason = f", whose parameter {weights[0]} is not finite" if weights else ""
            self.source = f"; it began in {name} ({type(module).__name__}){reason}"

    def _check_gradient(self, node: Node, inputs: object, outputs: object) -> None:
        if not self.source and not _is_finite(inputs):
            self.source = f"; it began in {node.name()}{_call_site(node)}"

    def _stop(self, trainer: pl.Trainer, reason: str) -> None:
        saved = ""
        if trainer.checkpoint_callback is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = self.run_directory / "non_finite.ckpt"  # not in checkpoints/: no run is resumed from it
            trainer.save_checkpoint(path, weights_only=False)
            saved = f"; the weights before this step are in {path}"
        raise RunStopped(f"step {trainer.global_step + 1}: {reason}{self.source}{saved}")


def _is_finite(tensors: object) -> bool:
    floats = (leaf for leaf in tree_leaves(tensors) if isinstance(leaf, Tensor) and leaf.is_floating_point())
    return all(bool(tensor.isfinite().all()) for tensor in floats)


def _any_rank(trainer: pl.Trainer, bad: bool) -> bool:
    """Return whether any rank found something: all must stop and save together."""
    return trainer.strategy.reduce_boolean_decision(bad, all=False)


def _nodes(root: Node | None) -> Iterator[Node]:
    """Yield the operations from which a tensor was computed, given its `grad_fn`."""
    waiting, seen = [root], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [parent for parent, _ in node.next_functions]


def _call_site(node: Node) -> str:
    """Return where an operation was called: the innermost line that is no library's."""
    metadata: Any = node.metadata  # a dict, whatever its annotation says
    calls = [line.strip() for line in metadata.get("traceback_", [])]
    own = [call for call in calls if not is_library(Path(call.partition('"')[2].partition('"')[0]))]
    return ", called in " + " ".join(own[-1].split()) if own else ""
