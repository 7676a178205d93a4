from pathlib import Path

from project.core.arguments import parse_arguments
from project.core.yaml_files import Text


def test_taken_apart() -> None:
    arguments = parse_arguments(
        ["fit", "-c", "a.yaml", "--config=b.yaml", "--name", "x", "--model.net.width=8", "--replace", "--print_config"]
    )
    assert arguments.stage == "fit"
    assert arguments.configs == [Path("a.yaml"), Path("b.yaml")]
    assert arguments.overrides == [{"name": "x"}, {"model": {"net": {"width": "8"}}}]
    assert arguments.options == {}
    assert (arguments.print_config, arguments.replace, arguments.help) == (True, True, False)


def test_scalars_stay_text_and_the_rest_is_yaml() -> None:
    overrides = parse_arguments(
        ["fit", "--a", "-1", "--b", "null", "--c", "{d: [1e-3]}", "--e", "007", "--f="]
    ).overrides
    assert overrides == [{"a": "-1"}, {"b": None}, {"c": {"d": [0.001]}}, {"e": "007"}, {"f": None}]
    assert isinstance(overrides[0]["a"], Text)


def test_shallow_overrides_come_first() -> None:
    overrides = parse_arguments(["fit", "--model.net.hidden", "64", "--model.net", "MLP"]).overrides
    assert overrides == [{"model": {"net": "MLP"}}, {"model": {"net": {"hidden": "64"}}}]


def test_options_of_a_stage() -> None:
    arguments = parse_arguments(["test", "--ckpt_path", "run", "--results_dir=out"])
    assert arguments.options == {"ckpt_path": "run", "results_dir": "out"}
    assert arguments.overrides == []


def test_help() -> None:
    assert parse_arguments([]).help
    assert parse_arguments(["--help"]).help
    assert parse_arguments(["fit", "-h"]).help
    assert parse_arguments(["fit", "--model.net.help", "UNet"]).slot_help == ("model.net", "UNet")
    assert parse_arguments(["fit", "--model.net.help", "--name", "x"]).slot_help == ("model.net", "")
