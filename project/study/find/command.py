"""The command `find`, from options to an exit code."""

from collections.abc import Sequence
from pathlib import Path

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.help import stage_help
from project.core.cli.main import run_command
from project.core.config.paths import expand_paths
from project.core.config.references import ReferenceResolver
from project.core.config.settings import DEFAULT_ROOT
from project.core.config.yaml_files import Tree, merge_all, read_config
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.file_names import check_file_name
from project.core.writable import check_writable
from project.study.find.batch_size import find_batch_size
from project.study.find.learning_rate import find_learning_rate

_FINDERS = ("lr", "batch_size")
_STEPS = 100


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Find lr or batch_size; the run directory is neither read nor written.

    Args:
        argv: `find`, what to find, and options such as those of `fit`.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0 if found, 1 if there is nothing to suggest, 2 for a mistake in yaml or options; others are those of `fit`.

    Example::

        main(["find", "lr", "--config", "configs/digits.yaml"])
    """
    return run_command(lambda: _command(argv), interruption)


def _command(argv: Sequence[str]) -> int:
    finder, options = _split(argv)
    arguments = parse_arguments(options)
    if arguments.help:
        usage, _, rest = stage_help("find").partition("find ")
        print_text(f"{usage}find {'|'.join(_FINDERS)} {rest}\n")
        return 0
    return _find(finder, arguments)


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return what to find, and the command with its options."""
    word = argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""
    if not word and {"-h", "--help"} & {*argv}:
        return "", ["find", "--help"]
    if word not in _FINDERS:
        if not word:
            raise ConfigError("find takes what to find first, such as `find lr --config FILE`; known: lr, batch_size")
        raise ConfigError(f"find has no '{word}'{did_you_mean(word, _FINDERS)}\nknown: {join_names(_FINDERS)}")
    return word, [argv[0], *argv[2:]]


def _find(finder: str, arguments: Arguments) -> int:
    if arguments.print_config or arguments.component_help:
        raise ConfigError("find shows no settings; use `fit` with --print_config or --PATH.help")
    tree = merge_all([*(expand_paths(read_config(path)) for path in arguments.configs), *arguments.settings])
    tree.pop("sweep", None)
    if finder == "batch_size":
        if arguments.options:
            raise ConfigError(f"--{next(iter(arguments.options))} is an option of find lr, not of find batch_size")
        return find_batch_size(tree)
    directory = _output(arguments, tree)
    check_writable(directory, "--output")
    find_learning_rate(tree, _steps(arguments), directory)
    return 0


def _steps(arguments: Arguments) -> int:
    text = arguments.options.get("steps", str(_STEPS))
    if not (text.isdecimal() and int(text) >= 10):
        raise ConfigError(f"--steps is {text}; it takes a number of at least 10")
    return int(text)


def _output(arguments: Arguments, tree: Tree) -> Path:
    if "output" in arguments.options:
        return Path(arguments.options["output"])
    run = ReferenceResolver(tree).resolve("name", "root")
    check_file_name(str(run.get("name")), "name")
    return Path(str(run.get("root", DEFAULT_ROOT)), ".find", str(run.get("name")))
