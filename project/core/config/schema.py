"""The JSON Schema of an experiment's yaml, by which an editor completes, explains and checks it.

It is made of the same annotations and docstrings as the messages and the help, so it has all settings and all
registered components. It accepts what the engine accepts, with one exception: an entry whose type is only in its base
is checked as the component that its key names, if it names one; so it has to repeat the type.
"""

from project.core.config.annotations import parameters_of
from project.core.config.configuration import ROOT_TYPES, root_parameters
from project.core.config.schema_entries import SchemaBuilder
from project.core.config.schema_values import NULL, Schema
from project.core.config.setting_comments import setting_comments
from project.core.config.yaml_files import DEFAULT_TYPES
from project.registry import Registry

_TEXT: Schema = {"type": "string"}
_OTHERS: dict[str, Schema] = {
    "base": {
        "description": "yaml file, relative to this one, over which this file is merged; or several",
        "anyOf": [_TEXT, {"type": "array", "items": _TEXT}, NULL],
    },
    "sweep": {"description": setting_comments().get("sweep", "definition of a sweep, for the command `sweep`")},
}


def experiment_schema() -> Schema:
    """Return the schema of the yaml files of experiments, of their bases and of presets.

    Example::

        Path("schema.json").write_text(json.dumps(experiment_schema()))
    """
    builder = SchemaBuilder(setting_comments())
    roots = {key: _root_entry(builder, key) for key in ROOT_TYPES}
    plain = {key: item for key, item in root_parameters().items() if key not in ROOT_TYPES}
    settings = builder.settings(plain, others=roots | _OTHERS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Experiment of {__name__.partition('.')[0]}",
        **settings,
        "$defs": dict(sorted(builder.definitions.items())),
    }


def _root_entry(builder: SchemaBuilder, key: str) -> Schema:
    """Return the schema of `model` or `data`: without a type, it has the arguments of all registered modules."""
    registry = Registry.by_base[ROOT_TYPES[key]]
    own = builder.settings(parameters_of(registry.resolve(DEFAULT_TYPES[key], key)), key)
    schema = builder.arguments(registry, {}, registry.names())
    schema["properties"] |= own["properties"]
    return builder.implied(registry, schema) | {"description": {"model": "what is trained", "data": "datasets"}[key]}
