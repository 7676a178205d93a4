"""Command-line options of the commands that need neither torch nor the settings of a yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from project.core.errors import ConfigError, did_you_mean, join_names


@dataclass
class Options:
    """Parsed options of a command.

    Args:
        words: the words before and between options, such as directories.
        values: the words after each option, by its name; none of a flag.
    """

    words: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str, default: str) -> str:
        """Return the value of an option that takes one."""
        return self.values[name][0] if name in self.values else default


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Args:
        help: what it does.
        count: how many words it takes; None for one or more.
        choices: the words that it takes; empty for any.
    """

    help: str
    count: int | None = 1
    choices: tuple[str, ...] = ()


def parse_options(command: str, argv: Sequence[str], known: Mapping[str, Option]) -> Options:
    """Parse command-line options.

    Args:
        command: name of the command, for messages.
        argv: the words after the command.
        known: its options by name.

    Raises:
        ConfigError: an option is unknown, or has no or a wrong value.
    """
    options, words = Options(), list(argv)
    while words:
        word = words.pop(0)
        word = "--help" if word == "-h" else word
        if not word.startswith("--") or word == "--":
            options.words.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name not in known:
            raise ConfigError(
                f"{command} has no option --{name}{did_you_mean(name, known)}\nknown: {join_names(known)}"
            )
        taken = [value] if equals else []
        count = known[name].count
        while words and not words[0].startswith("--") and (count is None or len(taken) < count):
            taken.append(words.pop(0))
        _check(name, taken, known[name])
        options.values[name] = [*options.values.get(name, []), *taken] if count is None else taken
    return options


def describe_options(known: Mapping[str, Option]) -> str:
    """Return a line for each option, for the help of a command."""
    return "\n".join(f"  --{name:<20} {option.help}" for name, option in known.items())


def _check(name: str, taken: Sequence[str], option: Option) -> None:
    needed = 1 if option.count is None else option.count
    if len(taken) < needed:
        raise ConfigError(f"--{name} needs a value")
    if needed == 0 and taken:
        raise ConfigError(f"--{name} takes no value")
    wrong = next((each for each in taken if option.choices and each not in option.choices), None)
    if wrong is not None:
        near = did_you_mean(wrong, option.choices)
        raise ConfigError(f"--{name} is '{wrong}'{near}\nknown: {join_names(option.choices)}")
