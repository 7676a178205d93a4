"""The commands of cli.py, each imported when it is called: those that do not need torch start at once."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from project.core.distributed.signals import Interruption

# Modules with a function `main(argv)`, which returns an exit code; other words are stages of the engine.
WITHOUT_TORCH = {"serve": "deploy.server.main", "table": "study.table.command", "report": "study.report.command"}
_WITH_TORCH = {
    "sweep": "study.sweep.command",
    "find": "study.find.command",
    "replay": "study.replay.command",
    "bisect": "study.bisect.command",
    "verify": "study.verify.command",
    "golden": "study.golden.command",
    "schema": "editor.schema",
    "completion": "editor.completion",
}


def main(argv: Sequence[str] | None = None, interruption: "Interruption | None" = None) -> int:
    """Run a command.

    Args:
        argv: command-line arguments after `cli.py`; None takes `sys.argv`.
        interruption: receives the signals that ask the command to stop; None creates one.

    Returns:
        The exit code: 0 if done, 2 for a mistake in yaml or options, 1 for an exception in the user's code; others are
        described at `project.core.cli.main.main`.

    Example::

        main(["table", "experiments"])
    """
    words = sys.argv[1:] if argv is None else [*argv]
    module = import_command(words)
    is_without_torch = bool(words) and words[0] in WITHOUT_TORCH
    code: int = module.main(words[1:]) if is_without_torch else module.main(words, interruption)
    return code


def import_command(words: Sequence[str]) -> ModuleType:
    """Import the module of a command, which takes seconds if it needs torch.

    Args:
        words: command-line arguments after `cli.py`.
    """
    command, package = words[0] if words else "", __name__.rpartition(".")[0]
    if command == "sweep":
        import_module(f"{package}.study.sweep.processors").limit_threads(words)
    return import_module(f"{package}.{(WITHOUT_TORCH | _WITH_TORCH).get(command, 'core.cli.main')}")
