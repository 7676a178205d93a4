"""What was typed: a stage, its options, and values for the yaml tree."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from project.core.errors import ConfigError, did_you_mean, listing
from project.core.yaml_files import Text, Tree, nest, parse_yaml

_TRAINED = {
    "ckpt_path": "checkpoint, or a run's folder (checkpoints/best.ckpt, else the newest)",
    "results_dir": "where the results go (default: RUN/eval/STAGE)",
}
# The options of each stage that are not values of the yaml; the rest of what `--` introduces is.
STAGES: dict[str, dict[str, str]] = {
    "fit": {
        "resume": "go on with a run: its folder, a checkpoint, or auto (where a run of this name stands, if any)",
        "finetune": "begin with the weights of a checkpoint or a run's folder, as far as names and shapes match",
        "replace": "move a run of this name to ROOT/.old/ and start anew",
    },
    "validate": _TRAINED,
    "test": _TRAINED,
    "predict": _TRAINED,
}
FLAGS = ("help", "print_config", "replace")


@dataclass
class Arguments:
    """A command line, taken apart."""

    stage: str
    configs: list[Path] = field(default_factory=list)
    overrides: list[Tree] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    help: bool = False
    print_config: bool = False
    replace: bool = False
    slot_help: tuple[str, str] | None = None


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Takes a command line apart; what `--model.net.width 8` means is left to the yaml tree.

    Raises:
        ConfigError: no such stage, a word that is not an option, or an option without its value.
    """
    stage = next(iter(argv), "")
    if stage in ("", "-h", "--help"):
        return Arguments("", help=True)
    if stage not in STAGES:
        raise ConfigError(f"no stage is called '{stage}'{did_you_mean(stage, STAGES)}\nknown: {listing(STAGES)}")
    arguments, values, words = Arguments(stage), [], list(argv[1:])
    while words:
        name, equals, value = words.pop(0).partition("=")
        name = {"-h": "--help", "-c": "--config"}.get(name, name)
        if not name.startswith("--") or name == "--":
            raise ConfigError(f"'{name}' is not an option; options begin with -- and take one value each")
        name = name[2:]
        _refuse_option_of_another_stage(name, stage)
        if name in FLAGS:
            if equals:
                raise ConfigError(f"--{name} takes no value")
            setattr(arguments, name, True)
        elif name.endswith(".help"):
            chosen = value or (words.pop(0) if words and not words[0].startswith("-") else "")
            arguments.slot_help = (name.removesuffix(".help"), chosen)
        else:
            if not equals:
                if not words or words[0].startswith("--"):
                    raise ConfigError(f"--{name} needs a value")
                value = words.pop(0)
            values.append((name, value))
    # `--model.net MLP` drops the old net's arguments, so it comes before `--model.net.hidden 64`, however typed.
    for name, value in sorted(values, key=lambda item: item[0].count(".")):
        if name == "config":
            arguments.configs.append(Path(value))
        elif name in STAGES[stage]:
            arguments.options[name] = value
        else:
            arguments.overrides.append(_override(name, value))
    return arguments


def _override(name: str, value: str) -> Tree:
    parsed = parse_yaml(value, f"--{name}") if value else None
    return nest(name, parsed if parsed is None or isinstance(parsed, dict | list) else Text(value))


def _refuse_option_of_another_stage(name: str, stage: str) -> None:
    stages = [other for other, options in STAGES.items() if name in options]
    if stages and stage not in stages:
        raise ConfigError(f"--{name} is an option of {listing(stages)}, not of {stage}")
