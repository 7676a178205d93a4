"""Command-line arguments are split into stage, files, options, and values of the yaml."""

from pathlib import Path

import pytest

from project.core.cli.arguments import parse_arguments
from project.core.config.yaml_files import PlainScalar
from project.core.errors import ConfigError

KNOWN = (
    "known: resume, finetune, replace, trust, config, print_config, help, name, root, seed, log_level, timeout, "
    "vars, visual, progress, checkpoint, evaluation, digests, skip_steps, model, data, trainer"
)


def test_arguments_are_split_by_kind() -> None:
    arguments = parse_arguments(
        ["fit", "-c", "a.yaml", "--config=b.yaml", "--name", "x", "--model.net.width=8", "--replace", "--print_config"]
    )
    assert arguments.stage == "fit"
    assert arguments.configs == [Path("a.yaml"), Path("b.yaml")]
    assert arguments.settings == [{"name": "x"}, {"model": {"net": {"width": "8"}}}]
    assert arguments.options == {}
    assert (arguments.print_config, arguments.replace, arguments.help) == (True, True, False)


def test_scalars_stay_text_and_other_values_are_yaml() -> None:
    argv = ["fit", "--seed", "-1", "--visual", "null", "--data", "{d: [1e-3]}", "--root", "007", "--model="]
    settings = parse_arguments(argv).settings
    assert settings == [{"seed": "-1"}, {"visual": None}, {"data": {"d": ["1e-3"]}}, {"root": "007"}, {"model": None}]
    assert isinstance(settings[0]["seed"], PlainScalar)


@pytest.mark.parametrize(("path", "net"), [("model.net", "MLP"), ("model.net.type", {"type": "MLP"})])
def test_settings_are_ordered_by_depth(path: str, net: object) -> None:
    """`--model.net MLP` and `--model.net.type MLP` remove the arguments of another net, so they must come first."""
    settings = parse_arguments(["fit", "--model.net.hidden", "64", f"--{path}", "MLP"]).settings
    assert settings == [{"model": {"net": net}}, {"model": {"net": {"hidden": "64"}}}]


def test_options_of_a_stage_are_not_settings() -> None:
    arguments = parse_arguments(["test", "--ckpt_path", "run", "--results_dir=out"])
    assert arguments.options == {"ckpt_path": "run", "results_dir": "out"}
    assert arguments.settings == []
    assert parse_arguments(["fit", "--resume="]).options == {"resume": ""}


def test_path_of_finetune_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for option in ("--finetune", "--finetune.path"):
        assert parse_arguments(["fit", option, "~/net.pth"]).finetune == {"path": "/home/me/net.pth"}


def test_value_may_contain_an_equals_sign() -> None:
    assert parse_arguments(["fit", "--name=a=b"]).settings == [{"name": "a=b"}]


def test_help_options() -> None:
    assert parse_arguments([]).help
    assert parse_arguments(["--help"]).help
    assert parse_arguments(["fit", "-h"]).help
    assert parse_arguments(["fit", "--model.net.help", "UNet"]).component_help == ("model.net", "UNet")
    assert parse_arguments(["fit", "--model.net.help=UNet"]).component_help == ("model.net", "UNet")
    assert parse_arguments(["fit", "--model.net.help", "--name", "x"]).component_help == ("model.net", "")
    assert parse_arguments(["fit", "--name", "x"]).component_help is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["train"],
            "no stage is called 'train'; did you mean 'fit'?\nknown: fit, validate, test, predict, export, "
            "sweep, find, table, report, serve, replay, bisect, verify, golden, schema, completion",
        ),
        (["fit", "--"], "'--' is not an option; options begin with -- and take one value each"),
        (["fit", "--name", "--seed", "1"], "--name needs a value"),
        (["fit", "--resum", "auto"], f"fit has no option --resum; did you mean 'resume'?\n{KNOWN}"),
        (["fit", "--print_confg"], f"fit has no option --print_confg; did you mean 'print_config'?\n{KNOWN}"),
        (["fit", "--modle.net", "MLP"], f"fit has no option --modle; did you mean 'model'?\n{KNOWN}"),
        (["fit", "--help=yes"], "--help takes no value"),
        (["predict", "--resume", "auto"], "--resume is an option of fit, not of predict"),
        (["fit", "--sweep.folds", "3"], "--sweep.folds is an option of sweep, not of fit"),
        (["test", "--finetune.skip", "x"], "--finetune.skip is an option of fit, not of test"),
        (["fit", "--model", "["], "--model, line 1, column 2: did not find expected node content"),
    ],
)
def test_mistake_in_arguments_is_reported(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arguments(argv)
    assert str(caught.value) == message
