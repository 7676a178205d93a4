"""Names of other tools in yaml files and commands, what they are here, and the page for somebody who moves.

The pages are in docs/coming_from, and contain a row for each of these names.
"""

from collections.abc import Collection, Mapping

PAGES = "docs/coming_from"
# By page, and by config path or option as the other tool writes it: what completes `it is ... here`; then a remark.
OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "older_template": {
        "gpu_ids": "trainer.accelerator and trainer.devices",
        "dir": "root for the runs and data.data_dir for the data",
        "dir.data_dir": "data.data_dir",
        "dir.expr_dir": "root",
        "dir.eval_dir": "the option --results_dir of test",
        "dataset": "data",
        "loss": "model.loss",
        "metric": "model.metric",
        "optim": "model.optimizer, model.scheduler and model.clip",
        "clip_gradients": "model.clip.value with model.clip.algorithm value",
        "clip_warm": "model.clip.warmup_epochs",
        "clip_warmup": "model.clip.warmup_epochs",
        "clip_gradients_warmup": "model.clip.value_after",
        "progress.epoch": "trainer.max_epochs",
        "progress.epoch_val": "trainer.check_val_every_n_epoch",
        "progress.save_progress": "progress.train; a number of samples, 0 for none",
        "progress.save_progress_val": "progress.val; a number of samples, 0 for none",
        "progress.max_samples_val": "progress.val",
        "progress.local_progress": "progress.local",
        "progress.epoch_eval": "evaluation.every_n_epochs",
        "progress.init_eval": "evaluation.at_start",
        "progress.start_epoch": "the option --resume (-1) or --finetune (0)",
        "progress.save_time": "checkpoint.save_time",
        "dist": "seed, and the variables of Slurm or torchrun",
        "msg_level": "log_level",
        "configs": "the option --config",
        "model_pt": "the option --ckpt_path",
    },
    "lightning_cli": {
        "seed_everything": "seed",
        "ckpt_path": "the option --resume of fit, or --ckpt_path of test",
        "optimizer": "model.optimizer",
        "lr_scheduler": "model.scheduler",
        "init_args": "left out beside `type`; arguments are at its level",
        "dict_kwargs": "left out; arguments are at the level of `type`",
        "fit": "left out; its keys are at the top, and a stage takes those that it uses",
        "validate": "left out; its keys are at the top, and a stage takes those that it uses",
        "test": "left out; its keys are at the top, and a stage takes those that it uses",
        "predict": "left out; its keys are at the top, and a stage takes those that it uses",
        "return_predictions": "left out; predict writes files",
        "weights_only": "left out; only plain data is loaded",
    },
    "hydra_template": {
        "defaults": "base, or several --config",
        "_target_": "type",
        "_partial_": "not needed",
        "_recursive_": "not needed",
        "_convert_": "not needed",
        "_args_": "left out; give arguments by name",
        "task_name": "name",
        "tags": "left out; loggers in trainer.logger take tags",
        "train": "the stage fit",
        "test": "the stage test",
        "ckpt_path": "the option --resume of fit, or --ckpt_path of test",
        "callbacks": "trainer.callbacks",
        "logger": "trainer.logger",
        "paths": "root for the runs and data.data_dir for the data",
        "extras": "not needed",
        "hydra": "the command sweep",
        "experiment": "the option --config",
        "hparams_search": "the command sweep",
        "optimized_metric": "checkpoint.monitor",
        "debug": "the option --config configs/presets/debug.yaml",
        "multirun": "the command sweep",
        "-m": "the command sweep",
    },
    "mmengine": {
        "_base_": "base",
        "_delete_": "not needed; another `type` removes the arguments of the old one",
        "_scope_": "not needed",
        "train_dataloader": "data.train, with data.batch_size and data.num_workers",
        "val_dataloader": "data.val",
        "test_dataloader": "data.eval",
        "optim_wrapper": "model.optimizer, with model.clip and trainer.precision",
        "param_scheduler": "model.scheduler",
        "train_cfg": "trainer.max_epochs and trainer.check_val_every_n_epoch",
        "val_cfg": "not needed",
        "test_cfg": "not needed",
        "val_evaluator": "model.metric",
        "test_evaluator": "model.metric",
        "default_hooks": "checkpoint, progress and trainer.callbacks",
        "custom_hooks": "trainer.callbacks",
        "custom_imports": "not needed; files in the packages are found",
        "data_preprocessor": "model.prepare",
        "work_dir": "root and name",
        "experiment_name": "name",
        "load_from": "the option --finetune, or model.pretrained",
        "resume": "the option --resume",
        "launcher": "the variables of Slurm or torchrun",
        "env_cfg": "trainer; its arguments are those of Lightning",
        "log_processor": "trainer.log_every_n_steps",
        "visualizer": "visual and trainer.logger",
        "vis_backends": "trainer.logger",
        "randomness": "seed, with trainer.deterministic",
        "default_scope": "not needed",
        "model_wrapper_cfg": "trainer.strategy",
        "auto_scale_lr": "left out; set model.optimizer.lr",
        "cfg-options": "--PATH VALUE; each setting is an option",
        "work-dir": "root and name",
        "amp": "trainer.precision",
        "auto-scale-lr": "left out; set model.optimizer.lr",
    },
}
# Keys that other tools write in an entry at any config path.
ENTRY_KEYS = frozenset(("_target_", "_partial_", "_recursive_", "_convert_", "_args_", "_delete_", "_scope_")) | {
    "init_args",
    "dict_kwargs",
}
OTHER_STAGES = {"train": "fit", "eval": "test", "evaluate": "test", "val": "validate"}


def find_page(name: str, others: Collection[str] = ()) -> str | None:
    """Return the page of the tool that has a name, of several the one with most of the other names.

    Args:
        name: config path or option.
        others: further names that are given with it.
    """
    pages = [page for page, names in OTHER_NAMES.items() if name in names]
    return max(pages, key=lambda page: len(OTHER_NAMES[page].keys() & {*others}), default=None)


def explain_name(name: str, others: Collection[str] = ()) -> str | None:
    """Return what a name of another tool is here and the page about it, to follow the message that it is unknown.

    Args:
        name: config path or option.
        others: further names that are given with it.
    """
    page = find_page(name, others)
    if page is None:
        return None
    meaning, semicolon, remark = OTHER_NAMES[page][name].partition(";")
    return f": it is {meaning} here{semicolon}{remark}\n{see_page(page)}"


def see_page(page: str) -> str:
    """Return the line that names a page."""
    return f"see {PAGES}/{page}.md"
