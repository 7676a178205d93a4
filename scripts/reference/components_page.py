"""docs/reference/components.md: every registered component."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from project.core.config.annotations import Parameters, parameters_of
from project.core.config.configuration import engine_arguments
from project.core.config.yaml_files import DEFAULT_TYPES
from project.core.functions import KEYWORDS
from project.registry import (
    CALLBACK_REGISTRY,
    DATAMODULE_REGISTRY,
    DATASET_REGISTRY,
    LOGGER_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    MODULE_REGISTRY,
    SCHEDULER_REGISTRY,
    TRANSFORM_REGISTRY,
    VISUAL_REGISTRY,
    Registry,
)
from project.transforms.base import BatchTransform
from reference.tables import escape, table

# Title of each kind, and where a yaml names it.
KINDS = {
    MODEL_REGISTRY: ("Models", "`model.net`; also any class of torch.nn"),
    LOSS_REGISTRY: ("Losses", "`model.loss.NAME`; also any loss of torch.nn"),
    METRIC_REGISTRY: ("Metrics", "`model.metric.NAME`; also any class of torchmetrics"),
    DATASET_REGISTRY: ("Datasets", "`data.train`, `data.val`, `data.eval` and `data.predict`"),
    TRANSFORM_REGISTRY: (
        "Transforms",
        "`augmentation.NAME` of a dataset, `model.prepare.NAME`, and those that mix samples in "
        "`data.batch_augmentation.NAME`",
    ),
    VISUAL_REGISTRY: ("Visuals", "`visual`"),
    CALLBACK_REGISTRY: ("Callbacks", "`trainer.callbacks`; also those of Lightning"),
    SCHEDULER_REGISTRY: ("Schedulers", "`model.scheduler`; also any class of torch.optim.lr_scheduler"),
    LOGGER_REGISTRY: ("Loggers", "`trainer.logger`; also those of Lightning"),
    MODULE_REGISTRY: ("Modules", "`model.type`"),
    DATAMODULE_REGISTRY: ("Data modules", "`data.type`"),
}
# Arguments of the components that are drawn, where the default shows little or there is none.
_SHOWN = {"num_classes": 10, "size": 48, "pixels": 16, "brightness": 0.6}
_HEAD = """# Components
Every registered component, by the name that a yaml gives as `type`, with the arguments of its entry. Names match
regardless of case and underscores. `python cli.py fit --model.net.help NAME` shows the same of a net in the terminal.
`python scripts/write_reference.py` writes this page; a class in a package of components is on it when it is
registered. The engine gives an argument whose default is "given". Pictures show values from 0 to 1; others are clipped
to these.
"""


def components_page(pictures: Path) -> str:
    """Return the page.

    Args:
        pictures: directory of the pictures; those that it contains are shown.
    """
    parts = [_HEAD]
    for registry, (title, place) in KINDS.items():
        parts += [f"## {title}", f"Named at {place}.", ""]
        parts += [text for name in registry.names() for text in _component(registry, name, pictures)]
        if not registry.names():
            parts += ["No component of this kind is registered.", ""]
    return "\n".join(parts)


def picture_name(registry: Registry, name: str) -> str:
    """Return the name of the file with the picture of a component."""
    return f"{registry.kind}_{name}.png"


def _component(registry: Registry, name: str, pictures: Path) -> Iterator[str]:
    cls = registry.resolve(name, name)
    kinds = [each for each in KINDS if name in each.names()]
    yield f"### {name} ({registry.kind})" if len(kinds) > 1 else f"### {name}"
    first = re.split(r"\n\s*\n", (cls.__doc__ or "").strip())[0]
    yield escape(" ".join(first.split()))
    yield ""
    if name in DEFAULT_TYPES.values():
        yield f"Its arguments are [settings](settings.md#{'model' if registry is MODULE_REGISTRY else 'data'}).\n"
        return
    if own := _arguments(registry, cls):
        given = engine_arguments({"name": name}).get(registry.base, {})
        yield table("argument", ((key, item, "") for key, item in own.items()), given)
        yield ""
    if (pictures / picture_name(registry, name)).is_file():
        yield f"![{name}](pictures/{picture_name(registry, name)})\n\n{_caption(registry, cls)}.\n"


def _arguments(registry: Registry, cls: type) -> Parameters:
    own = parameters_of(cls, registry.num_engine_args)
    return {key: item for key, item in own.items() if key != KEYWORDS}


def picture_arguments(cls: Any) -> dict[str, Any]:
    """Return the arguments with which the picture of a component is drawn: its `example`, and those that show much."""
    parameters = parameters_of(cls)
    example = getattr(cls, "example", {})
    return {name: value for name, value in (_SHOWN | example).items() if name in parameters}


def _caption(registry: Registry, cls: Any) -> str:
    if registry is VISUAL_REGISTRY:
        return "Example data with made-up predictions"
    given = ", ".join(f"{name}: {value}" for name, value in picture_arguments(cls).items())
    shown = "before (above) and after (below)" if issubclass(cls, BatchTransform) else "before (left) and after (right)"
    several = ", each with other random numbers" if getattr(cls, "is_random", None) else ""
    return (f"With `{{{given}}}`, {shown}" if given else shown.capitalize()) + several
