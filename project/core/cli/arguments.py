"""Command-line arguments: a stage, its options, and values of the yaml."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from project.core.config.configuration import root_parameters
from project.core.config.other_tools import OTHER_STAGES, explain_name, see_page
from project.core.config.paths import expand_path, expand_paths
from project.core.config.reference_texts import mark_references
from project.core.config.yaml_files import Tree, merge_all, nest, parse_untyped, read_config
from project.core.errors import ConfigError, did_you_mean, join_names

_TRUST = "let the config saved in the checkpoint name any class and path: it then runs the code of whoever saved it"
_CKPT_PATH = "checkpoint, or run directory (checkpoints/best.ckpt, else the newest)"
_CHECKPOINT_OPTIONS = {
    "ckpt_path": f"{_CKPT_PATH}, or model.onnx; several runs, whose outputs are averaged: a pattern in quotes, or "
    "paths with commas between them",
    "results_dir": "directory of the results (default: RUN/eval/STAGE, of model.onnx eval/STAGE beside it)",
    "trust": _TRUST,
}
SWEEP_KEYS = ("grid", "space", "trials", "seeds", "folds", "pruner", "monitor", "mode", "name")  # see study/sweep
# The options of each stage that are not values of the yaml; all others are.
STAGES: dict[str, dict[str, str]] = {
    "fit": {
        "resume": "resume a run: its directory, a checkpoint, or auto (the run of this name, if there is one)",
        "finetune": "start with those weights of a file or run directory whose names and shapes match; "
        "--finetune.rename, .skip, .strict and .sha256 are those of model.pretrained",
        "replace": "move an existing run of this name to ROOT/.old/",
        "trust": _TRUST,
    },
    "validate": _CHECKPOINT_OPTIONS,
    "test": _CHECKPOINT_OPTIONS,
    "predict": _CHECKPOINT_OPTIONS
    | {
        "files": "predict on these files in place of data.predict: a picture, a directory of pictures, a pattern in "
        "quotes, or a .csv or .npz file of numbers; results go to RUN/eval/predict_files"
    },
    "export": {
        "ckpt_path": _CKPT_PATH,
        "formats": "onnx (default), pt2, or both as onnx,pt2",
        "export_dir": "directory of the exported files (default: RUN/export)",
        "trust": _TRUST,
    },
    "sweep": {
        "sweep": "yaml file of the sweep (default: the key `sweep` of the yaml); --sweep.KEY VALUE sets a key: "
        f"{', '.join(f'.{key}' for key in SWEEP_KEYS)}; .grid.PATH and .space.PATH set one of their settings",
        "jobs": "number of runs at a time, each with its share of the processors or a GPU (default: 1)",
        "dry_run": "print the runs, and start none",
        "retry_failed": "start failed runs again",
    },
    "find": {
        "steps": "number of optimizer steps of `find lr` (default: 100)",
        "output": "directory of lr.png and lr.csv (default: ROOT/.find/NAME)",
    },
}
# Commands that take options of their own: see commands.py.
COMMANDS = ("table", "report", "serve", "replay", "bisect", "verify", "golden", "schema", "completion")
FLAGS = ("help", "print_config", "replace", "trust", "dry_run", "retry_failed")


@dataclass
class Arguments:
    """Parsed command-line arguments.

    Args:
        stage: fit, validate, test, predict, export, sweep or find; empty for help about all stages, or the version.
        configs: values of --config.
        settings: values of the yaml, each as a tree.
        options: options of the stage with a value.
        finetune: the values of --finetune, as `path`, and of --finetune.KEY.
        help: whether --help was given.
        version: whether --version was given in place of a stage.
        print_config: whether --print_config was given.
        replace: whether --replace was given.
        trust: whether --trust was given.
        dry_run: whether --dry_run was given.
        retry_failed: whether --retry_failed was given.
        component_help: config path and name of --PATH.help NAME.
    """

    stage: str
    configs: list[Path] = field(default_factory=list)
    settings: list[Tree] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    finetune: Tree = field(default_factory=dict)
    help: bool = False
    version: bool = False
    print_config: bool = False
    replace: bool = False
    trust: bool = False
    dry_run: bool = False
    retry_failed: bool = False
    component_help: tuple[str, str] | None = None

    def read_files(self) -> list[Tree]:
        """Return the content of the yaml files; the key `sweep` is only for the command of this name.

        Raises:
            ConfigError: a file cannot be read, or is not a yaml file.
        """
        if python := next((path for path in self.configs if path.suffix == ".py"), None):
            raise ConfigError(f"--config {python}: a config is a yaml file, not Python\n{see_page('mmengine')}")
        files = [expand_paths(read_config(path)) for path in self.configs]
        return [{key: value for key, value in file.items() if key != "sweep" or self.stage == key} for file in files]

    @property
    def ckpt_path(self) -> str:
        """The value of --ckpt_path.

        Raises:
            ConfigError: it is missing.
        """
        if "ckpt_path" not in self.options:
            raise ConfigError(
                f"{self.stage} needs --ckpt_path, a checkpoint or a run directory such as experiments/NAME"
            )
        return self.options["ckpt_path"]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse command-line arguments; values such as the 8 of `--model.net.width 8` get their types later.

    Raises:
        ConfigError: the stage is unknown, a word is not an option, or an option has no value.
    """
    stage = next(iter(argv), "")
    if stage in ("", "-h", "--help"):
        return Arguments("", help=True)
    if stage == "--version":
        return Arguments("", version=True)
    if stage not in STAGES:
        raise _unknown_stage(stage)
    arguments, values, words = Arguments(stage), [], list(argv[1:])
    while words:
        name, equals, value = words.pop(0).partition("=")
        name = {"-h": "--help", "-c": "--config"}.get(name, name)
        if not name.startswith("--") or name == "--":
            raise _not_an_option(name, equals, value)
        name = name[2:]
        _check_option(name, stage)
        if name in FLAGS:
            if equals:
                raise ConfigError(f"--{name} takes no value")
            setattr(arguments, name, True)
        elif name.endswith(".help"):
            chosen = value or (words.pop(0) if words and not words[0].startswith("-") else "")
            arguments.component_help = (name.removesuffix(".help"), chosen)
        else:
            if not equals:
                if not words or words[0].startswith("--"):
                    raise ConfigError(f"--{name} needs a value")
                value = words.pop(0)
            values.append((name, value))
    for name, value in sorted(values, key=lambda item: merge_order(item[0])):
        if name == "config":
            arguments.configs.append(Path(expand_path(value, "--config")))
        elif name == "finetune":
            arguments.finetune["path"] = expand_path(value, "--finetune")
        elif name.startswith("finetune."):
            tree = nest(name.removeprefix("finetune."), parse_untyped(value, f"--{name}"))
            arguments.finetune = merge_all([arguments.finetune, expand_paths(tree, "--finetune")])
        elif name in STAGES[stage]:
            arguments.options[name] = expand_path(value, f"--{name}")
        else:
            arguments.settings.append(expand_paths(_parse_setting(name, value)))
    return arguments


def merge_order(path: str) -> int:
    """Return a key that sorts config paths so that merging their values keeps all of them, whatever their order was.

    An entry, and its `type`, remove the arguments of another type, so they go before the arguments.
    """
    return path.removesuffix(".type").count(".")


def _parse_setting(name: str, value: str) -> Tree:
    if name == "name":  # a text, also if it is no yaml, such as `*`, so that the message is about names
        return {name: mark_references(value)}
    parsed = parse_untyped(value, f"--{name}")
    for key in ("sweep.grid", "sweep.space"):  # whose keys are config paths, with dots
        if name.startswith(f"{key}."):
            return nest(key, {name.removeprefix(f"{key}."): parsed})
    return nest(name, parsed)


def _unknown_stage(stage: str) -> ConfigError:
    """Return the error of a first word that is no stage."""
    known = [*STAGES, *COMMANDS]
    if stage.startswith("-"):
        return ConfigError(f"{stage} is before the stage, which is the first word: fit {stage} ...")
    name, equals, value = stage.partition("=")
    if equals:
        return _not_an_option(name, equals, value)
    near = f"; did you mean '{OTHER_STAGES[stage]}'?" if stage in OTHER_STAGES else did_you_mean(stage, known)
    return ConfigError(f"no stage is called '{stage}'{near}\nknown: {join_names(known)}")


def _not_an_option(word: str, equals: str, value: str) -> ConfigError:
    """Return the error of a word that is not an option, also of `NAME=VALUE`, which another tool takes."""
    name, shown = word.lstrip("+~"), f"'{word}{equals}{value}'"
    if explained := explain_name(name):
        return ConfigError(f"{shown} is not an option{explained}")
    if equals or word != name:
        option = f"--{name} {value or 'null'}" if "." in name else "--config FILE"
        return ConfigError(f"{shown} is not an option: it is {option} here\n{see_page('hydra_template')}")
    if Path(word).suffix == ".py":
        return ConfigError(f"{shown} is not an option; a config is a yaml file\n{see_page('mmengine')}")
    return ConfigError(f"{shown} is not an option; options begin with -- and take one value each")


def _check_option(name: str, stage: str) -> None:
    """Raise ConfigError if a stage has no option of a name; the rest of a config path is checked later."""
    first = name.partition(".")[0].removesuffix("+")
    stages = [other for other, options in STAGES.items() if first in options]
    if stages and stage not in stages:
        explained = explain_name(name) if stage == "fit" else None
        raise ConfigError(f"--{name} is an option of {join_names(stages)}, not of {stage}{explained or ''}")
    known = dict.fromkeys([*STAGES[stage], "config", "print_config", "help", *root_parameters()])
    if first not in known and not name.endswith(".help"):
        if explained := explain_name(name) or explain_name(first):
            raise ConfigError(f"{stage} has no option --{name}{explained}")
        if stage == "sweep" and first in SWEEP_KEYS:
            raise ConfigError(f"sweep has no option --{name}: it is --sweep.{name}")
        raise ConfigError(f"{stage} has no option --{first}{did_you_mean(first, known)}\nknown: {join_names(known)}")
