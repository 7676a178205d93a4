"""The command `sweep`, from options to an exit code."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.help import stage_help
from project.core.cli.main import report_error
from project.core.config.references import ReferenceResolver
from project.core.config.settings import DEFAULT_ROOT
from project.core.config.values import to_type
from project.core.config.yaml_files import Tree, merge_all, read_config
from project.core.console import print_text
from project.core.distributed.signals import Interruption, restoring_signals
from project.core.errors import ConfigError, show_value
from project.core.file_names import check_file_name
from project.core.log import logging_to_console
from project.core.writable import check_writable
from project.study.runs import STATE
from project.study.sweep.checks import SweepCheck, check_definition
from project.study.sweep.definition import read_definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.dry_run import describe_runs
from project.study.sweep.frozen import FrozenSweep
from project.study.sweep.jobs import parse_jobs, run_workers
from project.study.sweep.process import Children
from project.study.sweep.ranks import connect_ranks
from project.study.sweep.separate import call_separately
from project.study.sweep.trials import choose_trials
from project.study.sweep.worker import Sweep


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Begin a sweep, or continue it.

    Args:
        argv: `sweep` and its options.
        interruption: receives the signals that ask the sweep to stop; None creates one.

    Returns:
        0 if all runs are finished, 1 if one failed, 2 for a mistake in yaml or options, 75 if a signal stopped it with
        everything saved.
    """
    with ExitStack() as stack:
        stack.enter_context(logging_to_console("INFO"))
        stack.enter_context(restoring_signals())
        try:
            arguments = parse_arguments(argv)
            if arguments.help:
                print_text(f"{stage_help(arguments.stage)}\n")
                return 0
            return _run(arguments, [*argv[1:]], interruption)
        except BaseException as error:
            return report_error(error)


def _run(arguments: Arguments, words: list[str], interruption: Interruption | None) -> int:
    if arguments.print_config or arguments.component_help is not None:
        raise ConfigError("sweep prints no settings; --print_config and --PATH.help are options of fit")
    jobs, children = parse_jobs(arguments.options.get("jobs", "1")), Children()
    children.install()
    children.number = interruption.number if interruption is not None else 0
    tree, experiment, name = _read(arguments)
    seed, root = _resolve(experiment, "seed", 0), _resolve(experiment, "root", DEFAULT_ROOT)
    definition = read_definition(tree, _first_seed(seed))
    check_definition(definition, experiment, arguments.settings)
    directory = SweepDirectory(Path(str(root)) / name)
    frozen = FrozenSweep(directory.path, tree, experiment)
    is_begun = frozen.check()
    trials = choose_trials(definition, directory.path / STATE, experiment)
    sweep = Sweep(definition, directory, experiment, _options_of_fit(words), trials)
    if not is_begun:
        check = SweepCheck(definition, experiment, sweep.options).check
        call_separately(check, "the check of the first run", children=children)
    if arguments.dry_run:
        print_text(describe_runs(definition, sweep.trials.known(), directory if is_begun else None))
        return 0
    check_writable(directory.path, "--root")
    ranks = connect_ranks(os.environ, jobs)
    if ranks is None or ranks.rank == 0:
        directory.create()
        with directory.locked():
            frozen.write()
    return run_workers(sweep, jobs, arguments.retry_failed, children, ranks)


def _read(arguments: Arguments) -> tuple[Tree, Tree, str]:
    """Return the tree of the sweep, that of the experiment, and the name of the sweep.

    --sweep takes precedence over the key `sweep` of the yaml files, and options such as --sweep.seeds over both.
    """
    files, file = arguments.read_files(), arguments.options.get("sweep")
    experiment = merge_all([*files, *(tree for tree in arguments.settings if "sweep" not in tree)])
    own = experiment.pop("sweep", None)
    options = [option["sweep"] for option in arguments.settings if "sweep" in option]
    if file is None and own is None and not options:
        raise ConfigError(
            "sweep needs --sweep FILE, or the key `sweep` in the experiment's yaml, or its keys as options, such as\n"
            "--sweep.folds 5, --sweep.seeds 3, --sweep.grid.model.optimizer.lr '[1e-3, 1e-2]'"
        )
    tree = own if file is None else read_config(Path(file))
    if not isinstance(tree, dict | None):
        raise ConfigError(f"sweep is {show_value(tree)}; it takes a mapping with `grid` or `space`")
    tree = merge_all([tree or {}, *options])
    is_named = any("name" in option for option in arguments.settings)
    if file is not None and not is_named:
        check_file_name(Path(file).stem, f"--sweep {file}: the name")
        return tree, experiment, Path(file).stem
    name = _resolve(experiment, "name", None)
    if name is None:
        raise ConfigError("the config needs name, which is that of the sweep; or set --name")
    check_file_name(str(name), "name")
    return tree, experiment, str(name)


def _resolve(experiment: Tree, key: str, default: object) -> object:
    return ReferenceResolver(experiment).resolve(key).get(key, default)


def _first_seed(seed: object) -> int:
    typed = to_type(seed, int)
    if not isinstance(typed, int):
        raise ConfigError(f"seed is {show_value(seed)}; it takes int >= 0 and < {2**32}")
    return typed


def _options_of_fit(words: list[str]) -> list[str]:
    """Return the words of the command line without the options of the sweep itself."""
    kept = []
    words = [*words]
    while words:
        name, equals, _ = (word := words.pop(0)).partition("=")
        if name in ("--dry_run", "--retry_failed"):
            continue
        if name in ("--sweep", "--jobs") or name.startswith("--sweep."):
            words = words if equals else words[1:]
            continue
        kept.append(word)
    return kept
