"""The command `sweep`, from options to an exit code."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.help import stage_help
from project.core.cli.main import report_error
from project.core.config.paths import expand_paths
from project.core.config.settings import DEFAULT_ROOT
from project.core.config.yaml_files import Tree, merge_all, read_config
from project.core.distributed.signals import Interruption, restoring_signals
from project.core.errors import ConfigError
from project.core.log import logging_to_console, print_text
from project.study.sweep.definition import Definition, read_definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.jobs import parse_jobs, run_workers
from project.study.sweep.plan import runs_of
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
    experiment, definition, name = _read(arguments)
    directory = SweepDirectory(Path(str(experiment.get("root", DEFAULT_ROOT))) / name)
    trials = choose_trials(definition, directory.path / ".sweep", experiment)
    sweep = Sweep(definition, directory, experiment, _options_of_fit(words), trials)
    if arguments.dry_run:
        for trial in sweep.trials.known():
            for run in runs_of(trial, definition):
                print_text(f"{run.name}  {dict(trial.settings)}\n")
        return 0
    directory.create()
    jobs = parse_jobs(arguments.options.get("jobs", "1"))
    return run_workers(sweep, jobs, arguments.retry_failed, interruption)


def _read(arguments: Arguments) -> tuple[Tree, Definition, str]:
    """Return the tree of the experiment, the sweep, and its name."""
    experiment = merge_all([*(expand_paths(read_config(path)) for path in arguments.configs), *arguments.settings])
    own = experiment.pop("sweep", None)
    file = arguments.options.get("sweep")
    if own is None and file is None:
        raise ConfigError("sweep needs --sweep, a yaml file, or the key `sweep` in the experiment's yaml")
    tree = read_config(Path(file)) if file is not None else own
    name = Path(file).stem if file is not None else str(experiment["name"])
    return experiment, read_definition(tree, int(experiment.get("seed", 0))), name


def _options_of_fit(words: list[str]) -> list[str]:
    """Return the words of the command line without the options of the sweep itself."""
    kept = []
    words = [*words]
    while words:
        name, equals, _ = (word := words.pop(0)).partition("=")
        if name in ("--dry_run", "--retry_failed"):
            continue
        if name in ("--sweep", "--jobs"):
            words = words if equals else words[1:]
            continue
        kept.append(word)
    return kept
