"""The command `bisect`, from options to an exit code."""

from collections.abc import Sequence
from pathlib import Path

from project.core.cli.main import run_command
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, without_commands
from project.core.installation import COMMAND
from project.study.bisect.bisecting import bisect_runs
from project.study.options import Option, describe_options, parse_options

OPTIONS = {
    "trust": Option("replay with the runs' own commits, git.diff and components, which may run any code", 0),
    "help": Option("show this", 0),
}
_HELP = f"""usage: {COMMAND} bisect RUN_A RUN_B [--trust]

Find the first step and tensor at which two runs differ: by what they recorded, and by training the steps in between
again, each with its own number of threads. Neither run is changed.

  {COMMAND} bisect experiments/digits experiments/stopped

options:
{describe_options(OPTIONS)}

The more the runs recorded, the less is trained again: curves (`trainer.log_every_n_steps: 1`), checkpoints, and digests
(`digests: {{parameters: 1}}`). Exit codes: 0 if the runs are equal; 1 if they differ, or an exception was raised; 2 for
a mistake in the options.
"""


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Compare two runs; neither is changed.

    Args:
        argv: `bisect`, the run directories, and options.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0 if the runs are equal, 1 if they differ, 2 for a mistake in the options; others are those of `fit`.

    Example::

        main(["bisect", "experiments/digits", "experiments/stopped"])
    """
    return run_command(lambda: _command(argv), interruption)


def _command(argv: Sequence[str]) -> int:
    options = parse_options("bisect", argv[1:], OPTIONS)
    if "help" in options.values:
        print_text(_HELP)
        return 0
    if len(options.words) != 2:
        raise ConfigError(f"bisect takes two runs: {COMMAND} bisect RUN_A RUN_B")
    answer = bisect_runs(Path(options.words[0]), Path(options.words[1]), "trust" in options.values)
    print_text("".join(f"{without_commands(line)}\n" for line in answer.lines))
    return 0 if answer.is_equal else 1
