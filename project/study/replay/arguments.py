"""Options of the command `replay`, and the values of the yaml that it changes."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from project.core.cli.arguments import parse_arguments
from project.core.config.configuration import root_parameters
from project.core.config.yaml_files import Tree
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.installation import COMMAND
from project.study.options import Option, Options, describe_options, parse_options
from project.study.replay.files import check_directory, default_directory
from project.study.replay.stretches import check_run

OPTIONS = {
    "step": Option("the first step to show, as the x of the curves: 1 is the first one"),
    "steps": Option("number of steps to show (default: 1)"),
    "to": Option("directory to write to (default: .replay/RUN/step_N beside the run directory)"),
    "pdb": Option("stop in the debugger at the first line of training_step of that step", 0),
    "trust": Option("let the run name any class and path: it then runs the code of whoever trained it", 0),
    "help": Option("show this", 0),
}
_FLAGS = ("pdb", "trust", "help")
_MOST_STEPS = 1000
_UNCHANGEABLE = ("name", "root", "replace")  # nothing is written to the run directory
_USAGE = f"usage: {COMMAND} replay RUN --step N [--OPTION VALUE ...] [--PATH VALUE ...]"
HELP = f"""{_USAGE}

Train step N of a run again, from the newest checkpoint before it, and show what happened in it: the samples and their
losses, the batch, gradients, activations, learning rates, and where the first infinite or NaN value came from. Values
that the run logged are compared with those of the replay, bit for bit. The run directory is not touched.

  {COMMAND} replay experiments/digits --step 58
  {COMMAND} replay experiments/digits --step 58 --steps 3 --to /tmp/replay
  {COMMAND} replay experiments/digits --step 58 --pdb
  {COMMAND} replay experiments/digits --step 58 --trainer.accelerator cpu

options:
{describe_options(OPTIONS)}
  --PATH VALUE           a value of the yaml in place of the run's, such as --data.data_dir; results may then differ

It writes replay.html, a page to look at; replay.json, all of it as data; step_N.npz, the tensors of each batch; and
pictures/. Exit codes: 0 if all compared values are equal, or none was logged; 1 if one differs, or an exception was
raised; 2 for a mistake in the options.
"""


@dataclass
class ReplayArguments:
    """Parsed arguments.

    Args:
        run: the run directory.
        first: the first step to show.
        last: the last step to show.
        to: the directory to write to.
        pdb: whether to stop in the debugger.
        trust: whether the run may name any class and path.
        changes: values of the yaml that replace those of the run.
        changed: the options that give them.
    """

    run: Path
    first: int
    last: int
    to: Path
    pdb: bool = False
    trust: bool = False
    changes: list[Tree] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def parse_replay(argv: Sequence[str]) -> ReplayArguments | None:
    """Return the arguments of `replay`; None if help is asked for.

    Args:
        argv: the words after `replay`.

    Raises:
        ConfigError: an option is unknown, missing, or has a wrong value.
    """
    own, changed = _split(argv)
    options = parse_options("replay", own, OPTIONS)
    if "help" in options.values:
        return None
    if len(options.words) != 1:
        raise ConfigError(f"replay takes one run directory: {COMMAND} replay RUN --step N")
    run = Path(options.words[0])
    first = _number(options, "step", None)
    last = first + _number(options, "steps", "1") - 1
    if last - first >= _MOST_STEPS:
        raise ConfigError(f"--steps is {last - first + 1}; it takes at most {_MOST_STEPS}")
    check_run(run)
    to = Path(options.values["to"][0]) if "to" in options.values else default_directory(run, first, last)
    check_directory(to, run)
    if "pdb" in options.values and not sys.stdin.isatty():
        raise ConfigError("--pdb needs a terminal, in which the debugger asks for commands")
    settings = parse_arguments(["fit", *changed]).settings
    flags = {name: name in options.values for name in ("pdb", "trust")}
    return ReplayArguments(run, first, last, to, **flags, changes=settings, changed=changed)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the command's own words, and the options that are values of the yaml.

    Raises:
        ConfigError: an option is neither.
    """
    own: list[str] = []
    changed: list[str] = []
    words = ["--help" if word == "-h" else word for word in argv]
    while words:
        word = words.pop(0)
        name, equals, _ = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name in OPTIONS:
            own.append(word)
            if word.startswith("--") and not equals and name not in _FLAGS:
                own += [words.pop(0)] if words and not words[0].startswith("--") else []
            continue
        _check_path(name)
        changed.append(word)
        if not equals:
            if not words or words[0].startswith("--"):
                raise ConfigError(f"--{name} needs a value")
            changed.append(words.pop(0))
    return own, changed


def _check_path(path: str) -> None:
    """Raise ConfigError if a value of the yaml does not exist at the top, or cannot be changed."""
    first = path.partition(".")[0].removesuffix("+")
    known = [name for name in root_parameters() if name not in _UNCHANGEABLE]
    if first in _UNCHANGEABLE:
        raise ConfigError(f"replay takes no --{path}: it writes to no run directory; --to sets where it writes")
    if first not in known or path.endswith(".help"):
        names = [*OPTIONS, *known]
        near = did_you_mean(first, names)
        raise ConfigError(f"replay has no option --{path}{near}\nknown: {join_names(names)}")


def _number(options: Options, name: str, default: str | None) -> int:
    if name not in options.values and default is None:
        raise ConfigError("replay needs --step, the step to show, as the x of the curves: --step 58")
    text = options.text(name, default or "")
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 16 and int(text) >= 1):
        raise ConfigError(f"--{name} is '{text}'; it takes a whole number of at least 1")
    return int(text)
