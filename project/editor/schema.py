"""The command `schema`: the JSON Schema of the yaml files, for editors."""

import json
from collections.abc import Sequence

from project.core.cli.main import run_command
from project.core.config.schema import experiment_schema
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.core.installation import COMMAND

_USAGE = f"""usage: {COMMAND} schema > configs/schema.json

Print the JSON Schema of an experiment's yaml, with all settings and all registered components, for editors. Write it
again after a change of a component. docs/configuration.md says what an editor does with it.
"""


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Print the schema.

    Args:
        argv: `schema`.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0, or 2 for a mistake in the options.

    Example::

        main(["schema"])
    """
    return run_command(lambda: _command(argv[1:]), interruption)


def _command(words: Sequence[str]) -> int:
    if {"-h", "--help"} & {*words}:
        print_text(_USAGE)
        return 0
    if words:
        raise ConfigError(f"schema takes no '{words[0]}'; it prints the schema: {COMMAND} schema > schema.json")
    print_text(f"{json.dumps(experiment_schema(), ensure_ascii=False)}\n")
    return 0
