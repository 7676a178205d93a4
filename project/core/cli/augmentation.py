"""Warning of transforms that the net needs, but that an exported net would not get."""

from collections.abc import Iterable

from loguru import logger

from project.core.config.construction import Component
from project.core.errors import join_names
from project.registry import Transform

_SPLITS = ("data.val.", "data.eval.", "data.predict.")


def warn_of_augmentation(components: Iterable[Component]) -> None:
    """Warn of transforms of evaluation sets that are neither random nor in `model.prepare`.

    Args:
        components: all components of a configuration.
    """
    transforms = [each for each in components if issubclass(each.cls, Transform)]
    prepared = {each.cls for each in transforms if each.path.startswith("model.prepare.")}
    found = [
        f"{each.path} ({each.cls.__name__})"
        for each in transforms
        if each.path.startswith(_SPLITS) and each.cls not in prepared and _is_fixed(each.cls)
    ]
    if found:
        logger.warning(
            f"{join_names(found)}: an exported net does not get what the dataset applies\n"
            "If the net needs it, move it to model.prepare; if it makes the task, set `is_task = True` in its class"
        )


def _is_fixed(cls: type) -> bool:
    """Return whether a transform draws nothing and makes no task; classes of other packages do not tell."""
    return getattr(cls, "is_random", None) is False and not getattr(cls, "is_task", False)
