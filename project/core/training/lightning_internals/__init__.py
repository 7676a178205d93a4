"""Private names of Lightning, torchmetrics, jsonargparse and torch.export: all that the engine uses is here.

`names.py` lists them by the feature that needs them; they are checked when a trainer is built. Where one is missing,
the feature is lost with a warning, or the run is refused. `loops.py` makes a resumed run exact, and an epoch end with
its data (`fetching.py`); `skipping.py` leaves steps out; `fast_steps.py` and `hooks.py` save time at each batch;
`averaging.py` corrects averages of the weights that have not started; `step_log.py` gives logged values their steps;
`recurrent.py` serves `export`; `access.py` has the rest. Read `names.py` first.
"""

from collections.abc import Callable, Collection

import pytorch_lightning as pl

from project.core.training.lightning_internals.names import Feature, is_available


def replace_loops(
    trainer: pl.Trainer, after_batch: Callable[[pl.Trainer, bool], None], skipped: Collection[int] = ()
) -> None:
    """Replace Lightning's loops where the private names exist that the new ones need; log at optimizer steps.

    Args:
        trainer: its loops are replaced.
        after_batch: called after each training batch, with the trainer and whether a validation follows; not called
            by Lightning's own loop.
        skipped: optimizer steps that are left out; Lightning's own loop leaves out none.
    """
    from project.core.training.lightning_internals.step_log import StepLog

    step_log = StepLog(trainer)
    if is_available(Feature.EXACT_LOOPS):
        from project.core.training.lightning_internals.loops import FitLoop

        trainer.fit_loop = FitLoop(trainer, after_batch, step_log, skipped)
    replace_evaluation_loops(trainer)


def replace_evaluation_loops(trainer: pl.Trainer) -> None:
    """Replace Lightning's loops of evaluations where the private names exist that the new ones need."""
    if is_available(Feature.FAST_STEPS):
        from project.core.training.lightning_internals.fast_steps import EvaluationLoop

        epoch_loop = trainer.fit_loop.epoch_loop
        epoch_loop.val_loop = EvaluationLoop(epoch_loop.val_loop)
        trainer.validate_loop = EvaluationLoop(trainer.validate_loop)
        trainer.test_loop = EvaluationLoop(trainer.test_loop)
