"""Arguments that a function takes as `**kwargs`, of which nothing but their names is known."""

from collections.abc import Iterable, Mapping
from typing import Any

from project.core.config.annotations import Parameter, Parameters
from project.core.functions import KEYWORDS


def add_keywords(parameters: Parameters, names: Iterable[str]) -> Parameters:
    """Return the arguments of a component, also those among some names that its function takes as `**kwargs`."""
    if KEYWORDS not in parameters:
        return parameters
    own = {key: item for key, item in parameters.items() if key != KEYWORDS}
    return own | {name: Parameter(Any, required=True) for name in names if name not in own}


def pack_keywords(arguments: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Return arguments in the form that jsonargparse takes: what is not declared is in KEYWORDS."""
    passed_on = {key: item for key, item in arguments.items() if key not in parameters}
    declared = {key: item for key, item in arguments.items() if key in parameters}
    return declared | ({KEYWORDS: passed_on} if passed_on else {})


def unpack_keywords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments in the form of the yaml."""
    return {key: item for key, item in arguments.items() if key != KEYWORDS} | (arguments.get(KEYWORDS) or {})
