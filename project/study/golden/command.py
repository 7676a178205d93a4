"""The command `golden`, from options to an exit code."""

from collections.abc import Sequence
from pathlib import Path

import torch

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.main import run_command
from project.core.config.paths import expand_paths
from project.core.config.references import ReferenceResolver
from project.core.config.yaml_files import Tree, merge_all, read_config
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.core.file_names import check_file_name
from project.core.installation import COMMAND
from project.core.run.numerics import numerics_fingerprint
from project.study.golden.curve import Difference, GoldenCurve, Losses, read_golden
from project.study.golden.training import STEPS, one_thread, train_losses

GOLDEN = "golden"
_SHOWN = 5  # steps of a message
_USAGE = f"""usage: {COMMAND} golden CONFIG ... [--PATH VALUE ...]

Write the losses of the first {STEPS} steps of each yaml to {GOLDEN}/NAME.json, as this machine computes them on the CPU
in one thread; `pytest tests/{GOLDEN}` compares them. Losses that changed are accepted by this command, and shown.

  {COMMAND} golden configs/digits.yaml
  {COMMAND} golden configs/digits.yaml --name wide --model.net.width 32
"""


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Write the first losses of configurations.

    Args:
        argv: `golden`, yaml files, and values of the yaml as options.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0, or 2 for a mistake in yaml or options; others are those of `fit`.

    Example::

        main(["golden", "configs/digits.yaml"])
    """
    return run_command(lambda: _command(argv), interruption)


def _command(argv: Sequence[str]) -> int:
    if {"-h", "--help"} & {*argv}:
        print_text(_USAGE)
        return 0
    configs, options = _split(argv[1:])
    for config in configs:
        print_text("".join(f"{line}\n" for line in _write(config, options)))
    return 0


def train(curve: GoldenCurve) -> tuple[str, Losses]:
    """Return the numerics fingerprint of this machine, and the losses that it computes for a golden curve.

    Raises:
        ConfigError: the configuration is missing, or not valid.
    """
    values = train_losses(_read(curve.config, curve.options)[1])
    with one_thread():
        return numerics_fingerprint(torch.device("cpu")), Losses(torch.__version__, values)


def check(path: Path) -> str:
    """Return what differs from a golden curve, and the command that accepts it; empty if nothing does.

    The curve is not exact, but within rounding, where the file has no losses of this machine's kind.
    """
    curve = read_golden(path)
    fingerprint, losses = train(curve)
    found = curve.compare(fingerprint, losses)
    if not found:
        return ""
    lines = [f"{path.name}: the losses of the first steps changed (expected -> got)", *_shown(found)]
    return "\n".join([*lines, f"If that is right, accept it: {curve.command}"])


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the yaml files and the options."""
    count = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    if not count:
        raise ConfigError("golden takes yaml files first, such as `golden configs/digits.yaml`")
    return list(words[:count]), list(words[count:])


def _read(config: str, options: Sequence[str]) -> tuple[str, Tree]:
    """Return the name of a run, and its merged yaml files and options."""
    arguments = _parse(config, options)
    tree = merge_all([*(expand_paths(read_config(path)) for path in arguments.configs), *arguments.settings])
    tree.pop("sweep", None)
    name = str(ReferenceResolver(tree).resolve("name").get("name"))
    check_file_name(name, "name")
    return name, tree


def _parse(config: str, options: Sequence[str]) -> Arguments:
    arguments = parse_arguments(["fit", "--config", config, *options])
    given = [*arguments.options, *arguments.finetune]
    if given or arguments.print_config or arguments.component_help or arguments.replace or arguments.trust:
        raise ConfigError("golden takes values of the yaml and --config, but no other options of fit")
    return arguments


def _write(config: str, options: Sequence[str]) -> list[str]:
    """Write the golden curve of a yaml; return what to print."""
    name, _ = _read(config, options)
    where, here = Path(config).absolute(), Path.cwd()
    if not where.is_relative_to(here):
        raise ConfigError(f"{config} is not in {here}: a golden curve refers to its yaml, which a test reads")
    path = Path(GOLDEN, f"{name}.json")
    curve = GoldenCurve(name, where.relative_to(here).as_posix(), list(options))
    if path.exists():
        before = read_golden(path)
        if before.config != curve.config and Path(before.config).exists():
            raise ConfigError(f"{path} is the golden curve of {before.config}: give {config} another name, or --name")
        curve.losses = before.losses
    fingerprint, losses = train(curve)
    is_known, found = curve.knows(fingerprint, losses), curve.compare(fingerprint, losses)
    stale = curve.accept(fingerprint, losses)
    curve.write(path)
    what = "changed" if found else "unchanged" if is_known else "added"
    lines = [f"{path}: {what}, {len(losses.values)} steps, numerics fingerprint {fingerprint}", *_shown(found)]
    if stale:
        lines.append(f"removed the losses of other machines, which differ by more than rounding: {', '.join(stale)}")
    return lines


def _shown(found: Sequence[Difference]) -> list[str]:
    lines = [f"  {difference}" for difference in found[:_SHOWN]]
    return [*lines, f"  and {len(found) - _SHOWN} later steps"] if len(found) > _SHOWN else lines
