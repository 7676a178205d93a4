"""The command `completion`: a script by which a shell completes the command line."""

from collections.abc import Sequence

from project.core.cli.main import run_command
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.installation import COMMAND
from project.editor.shells import SHELLS
from project.editor.words import completion_words

_USAGE = f"""usage: {COMMAND} completion bash|zsh|fish

Print a script that completes commands, options and their values in a shell, also --model.net.width. The words are in
the script, so that completing starts no Python; write it again after a change of a component. docs/configuration.md
says where to put it.
"""


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Print the script of a shell.

    Args:
        argv: `completion` and the name of the shell.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0, or 2 for a mistake in the options.

    Example::

        main(["completion", "bash"])
    """
    return run_command(lambda: _command(argv[1:]), interruption)


def _command(words: Sequence[str]) -> int:
    if {"-h", "--help"} & {*words}:
        print_text(_USAGE)
        return 0
    if len(words) != 1:
        raise ConfigError(f"completion takes the name of a shell\nknown: {join_names(SHELLS)}")
    if words[0] not in SHELLS:
        near = did_you_mean(words[0], SHELLS)
        raise ConfigError(f"completion knows no shell '{words[0]}'{near}\nknown: {join_names(SHELLS)}")
    package = __name__.partition(".")[0]
    print_text(SHELLS[words[0]](package, completion_words()))
    return 0
