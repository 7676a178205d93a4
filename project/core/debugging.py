"""Callbacks that look for what is wrong with a training; configs/presets/debug.yaml names them."""

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

from project.core.errors import Stopped, is_library
from project.core.saving import Checkpoints


class GradientMonitor(Callback):
    """Logs the norm of each parameter's gradient, before it is clipped, as `gradient/NAME`."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gradients = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
            norms = {f"gradient/{name}": gradient.norm().item() for name, gradient in gradients.items()}
            for logger in trainer.loggers:  # not through the module: there are too many for the line of an epoch
                logger.log_metrics(norms, trainer.global_step)


class NonFiniteStop(Callback):
    """Stops the run at the first loss or gradient that is infinite or NaN, before the weights change.

    It says which module or operation it came from and which parameter it reached, and saves non_finite.ckpt. It looks
    at every tensor, so a step takes several times as long.
    """

    def __init__(self) -> None:
        self.hooks: list[RemovableHandle] = []
        self.source = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Where each operation was called is kept for the backward pass; looking for NaN is left to the hooks below:
        # torch would stop before a parameter can be named.
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        for name, module in pl_module.named_modules():
            if name:
                self.hooks.append(module.register_forward_hook(partial(self._see_output, name)))

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        bad = [str(name) for name, value in batch.items() if not _finite(value)] if isinstance(batch, dict) else []
        self.source = f"; it began in the batch: {', '.join(bad)} is not finite" if bad else ""

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        bad = not loss.isfinite()
        if _any(trainer, bad):
            self._stop(trainer, f"the loss is {loss.item()}" if bad else "the loss of another rank is not finite")
        self.source = ""
        for node in _nodes(loss.grad_fn):
            node.register_hook(partial(self._see_gradient, node))

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # 16-mixed scales the loss until gradients overflow: it skips such a step itself
        bad = [name for name, p in pl_module.named_parameters() if p.grad is not None and not _finite(p.grad)]
        if _any(trainer, bool(bad)):
            others = f" and those of {len(bad) - 1} other parameters are" if len(bad) > 1 else " is"
            self._stop(trainer, f"the gradient of {bad[0] if bad else 'a parameter'}{others} not finite")

    def teardown(self, *_: Any, **__: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _see_output(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if module.training and not self.source and not _finite(output):
            weights = [f"{name}.{own}" for own, p in module.named_parameters(recurse=False) if not _finite(p)]
            why = f", whose parameter {weights[0]} is not finite" if weights else ""
            self.source = f"; it began in {name} ({type(module).__name__}){why}"

    def _see_gradient(self, node: Node, inputs: Any, outputs: Any) -> None:
        if not self.source and not _finite(inputs):
            self.source = f"; it began in {node.name()}{_place(node)}"

    def _stop(self, trainer: pl.Trainer, what: str) -> None:
        saved = ""
        keeper = next(
            (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Checkpoints)), None
        )
        if keeper is not None:
            path = keeper.folder.parent / "non_finite.ckpt"  # no run goes on from it
            trainer.save_checkpoint(path, weights_only=False)
            saved = f"; the weights before it are in {path}"
        raise Stopped(f"step {trainer.global_step}: {what}{self.source}{saved}")


def _finite(tensors: Any) -> bool:
    floats = (leaf for leaf in tree_leaves(tensors) if isinstance(leaf, Tensor) and leaf.is_floating_point())
    return all(bool(tensor.isfinite().all()) for tensor in floats)


def _any(trainer: pl.Trainer, bad: bool) -> bool:
    """Whether it is so on any rank: all of them must stop, and save, together."""
    return trainer.strategy.reduce_boolean_decision(bad, all=False)


def _nodes(root: Node | None) -> Iterator[Node]:
    """The operations behind a tensor."""
    waiting, seen = [root], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [parent for parent, _ in node.next_functions]


def _place(node: Node) -> str:
    """Where the operation was called: the innermost line that is no library's."""
    metadata: Any = node.metadata  # a dict, whatever its annotation says
    calls = [line.strip() for line in metadata.get("traceback_", [])]
    own = [call for call in calls if not is_library(Path(call.partition('"')[2].partition('"')[0]))]
    return ", called in " + " ".join(own[-1].split()) if own else ""
