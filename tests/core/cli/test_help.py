"""Help lists stages, options, settings, and the components that can be used at a config path."""

from collections.abc import Callable

import pytest

from project.core.cli.arguments import STAGES
from tests.conftest import Cli


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_the_stages(argv: list[str], cli: Cli) -> None:
    ran = cli(*argv)
    assert ran.code == 0
    assert ran.out.startswith("usage: python cli.py STAGE")
    assert all(f"\n  {stage} " in ran.out for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_lists_its_options_and_all_settings(stage: str, cli: Cli) -> None:
    ran = cli(stage, "--help")
    assert ran.code == 0
    for option in (
        "config",
        *STAGES[stage],
        "name",
        "progress",
        "model.optimizer",
        "data.batch_size",
        "trainer.max_epochs",
    ):
        assert f"\n  --{option} " in ran.out
    assert all(len(line) < 300 for line in ran.out.splitlines())


@pytest.mark.usefixtures("short_names")
@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        (
            ["--model.net.help", "MLP"],
            ["MLP: Multilayer perceptron", "  --model.net.hidden ", "(int, default 64)", "  --model.net.output "],
        ),
        (["--model.net.help"], ["model.net takes a model:", "  MLP ", "and any class of torch.nn"]),
        (
            ["--model.loss.help", "cross_entropy"],
            ["CrossEntropy: ", "  --model.loss.NAME.label_smoothing ", "  --model.loss.NAME.weight "],
        ),
        (["--model.clip.help"], ["settings of model.clip:", "  --model.clip.warmup_epochs "]),
        (["--model.groups.help"], ["  --model.groups.match "]),
        (["--model.optimizer.help", "SGD"], ["  --model.optimizer.momentum "]),
        (["--model.scheduler.help", "Poly"], ["  --model.scheduler.power "]),
        (["--model.help"], ["model takes a module:", "  SupervisedModule "]),
        (["--data.val.help", "Glyphs"], ["Glyphs: Ten random pictures", "  --data.val.split "]),
        (["--trainer.callbacks.help", "EarlyStopping"], ["  --trainer.callbacks.patience "]),
        (["--visual.help"], ["visual takes a visual:", "  Row "]),
    ],
)
def test_help_of_a_config_path(argv: list[str], lines: list[str], cli: Cli) -> None:
    ran = cli("fit", *argv)
    assert ran.code == 0, ran.err
    assert all(line in ran.out for line in lines), ran.out
    assert "--model.optimizer.params" not in ran.out


def test_types_of_settings_are_not_shortened(cli: Cli) -> None:
    shown = cli("fit", "--model.optimizer.help", "AdamW").out + cli("fit", "--help").out
    for takes in (
        "(float >= 0 | Tensor, default 0.001)",
        "(a visual, or several by name | null, default null)",
        "(a dataset, or several by name | null, default null)",
        "(a callback, or several | a callback | null, default null)",
    ):
        assert takes in shown
    assert "factory" not in shown


@pytest.mark.usefixtures("short_names")
def test_help_of_a_nested_entry(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--data.train.augmentation.help")
    assert "  RandomShift " in ran.out
    ran = cli("fit", "--config", tiny(), "--data.train.augmentation.random_shift.help", "random_shift")
    assert "  --data.train.augmentation.random_shift.pixels " in ran.out


@pytest.mark.usefixtures("short_names")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--modle.help"], "unknown config path 'modle'; did you mean 'model'?"),
        (["--model.nte.help"], "unknown config path 'model.nte'; did you mean 'net'?"),
        (
            ["--data.train.augmentation.help"],
            "the dataset of data.train is not set; use --data.train NAME, or --config",
        ),
        (["--seed.help"], "seed is a plain setting, not a component"),
        (["--model.net.help", "MPL"], "model.net: no model is called 'MPL'; did you mean 'MLP'?"),
    ],
)
def test_help_of_an_unknown_path_or_name_is_a_mistake(argv: list[str], message: str, cli: Cli) -> None:
    ran = cli("fit", *argv)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: {message}")
