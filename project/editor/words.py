"""The words that may follow on the command line, as tables by name."""

import re
from collections.abc import Iterable, Iterator, Mapping

from project.core.cli.arguments import COMMANDS, FLAGS, STAGES, SWEEP_KEYS
from project.core.config.schema import experiment_schema
from project.core.config.schema_values import Schema
from project.deploy.server.options import OPTIONS as SERVE
from project.study.bisect.command import OPTIONS as BISECT
from project.study.options import Option
from project.study.replay.arguments import OPTIONS as REPLAY
from project.study.report.command import OPTIONS as REPORT
from project.study.table.command import OPTIONS as TABLE
from project.study.verify.command import OPTIONS as VERIFY

_OWN: dict[str, dict[str, Option]] = {
    **{"table": TABLE, "report": REPORT, "replay": REPLAY, "bisect": BISECT, "verify": VERIFY},
    "serve": {name: Option(text) for name, text in SERVE.items()},
}
_WITH_SETTINGS = (*STAGES, "replay", "golden")
_FIRST_WORDS = {"find": ["lr", "batch_size"], "completion": ["bash", "zsh", "fish"]}
_NO_OPTIONS = ("base", "sweep", "class_path", "init")
_PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)  # words that no shell changes
_LEVELS = 2  # of entries in entries: data.train.dataset.split

Words = dict[str, list[str]]


def completion_words() -> Words:
    """Return the words by table.

    `commands` are the first words; the name of a command has its options, and those of its first word that are no
    option; `settings` are the options that set a value of the yaml; `with_settings` lists the commands that take them,
    `flags` the options without a value, and the name of an option has the values that it takes, if they are few.
    """
    settings: Words = {}
    for option, values in _Settings(experiment_schema()).options():
        settings[option] = settings.get(option) or values
    words: Words = {"commands": [*STAGES, *COMMANDS], "with_settings": [*_WITH_SETTINGS], "settings": [*settings]}
    flags = {*FLAGS, *(name for options in _OWN.values() for name, option in options.items() if option.count == 0)}
    words["flags"] = _as_options(sorted(flags))
    for command in words["commands"]:
        own = [*_OWN.get(command, STAGES.get(command, {})), "help"]
        own += ["config", "print_config"] if command in STAGES else []
        own += [f"sweep.{key}" for key in SWEEP_KEYS] if command == "sweep" else []
        words[command] = [*_FIRST_WORDS.get(command, []), *_as_options(dict.fromkeys(own))]
    for options in _OWN.values():
        words |= {f"--{name}": [*option.choices] for name, option in options.items() if option.choices}
    return words | {option: values for option, values in settings.items() if values}


def _as_options(names: Iterable[str]) -> list[str]:
    return [f"--{name}" for name in names]


class _Settings:
    """Settings of a yaml as options, found in its schema.

    Args:
        document: the schema.
    """

    def __init__(self, document: Schema) -> None:
        self._document = document

    def options(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the option of each setting, and the values that it takes, if they are few."""
        yield from self._options(self._document["properties"], "--", _LEVELS)

    def _options(self, properties: Mapping[str, Schema], prefix: str, levels: int) -> Iterator[tuple[str, list[str]]]:
        for key, schema in properties.items():
            if key.endswith("+") or key in _NO_OPTIONS:
                continue
            parts = list(self._parts(schema))
            yield f"{prefix}{key}", list(dict.fromkeys(value for part in parts for value in _values(part)))
            inner = {name: each for part in parts for name, each in part.get("properties", {}).items()}
            left = levels - any("allOf" in part for part in parts)
            is_list = any(part.get("type") == "array" for part in parts)
            yield from self._options(inner, f"{prefix}{key}.", left) if left and not is_list else ()

    def _parts(self, schema: Schema) -> Iterator[Schema]:
        """Yield the schemas that a schema consists of; of a condition, what holds if nothing else is said."""
        if "$ref" in schema:
            yield from self._parts(self._document["$defs"][schema["$ref"].rpartition("/")[2]])
        conditions = [schema, *schema.get("allOf", [])]
        for inner in (*schema.get("anyOf", []), *(each["then"] for each in conditions if "then" in each)):
            yield from self._parts(inner)
        yield schema


def _values(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    booleans = ["true", "false"] if "boolean" in types and "number" not in types else []
    return booleans + [value for value in schema.get("enum", []) if isinstance(value, str) and _PLAIN.fullmatch(value)]
