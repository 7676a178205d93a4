"""Each registered visual draws pictures in [0, 1]."""

from typing import Any

import pytest

from project.core.model.wiring import as_picture
from project.registry import VISUAL_REGISTRY
from tests.contract.samples import build, inputs, registered


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("cls", registered(VISUAL_REGISTRY))
def test_visuals_draw_pictures_in_0_to_1(cls: Any, count: int) -> None:
    visual = build(cls)
    given = {name: value[:count] for name, value in inputs(visual, "__call__").items()}
    picture = as_picture(visual(**given), cls.__name__)
    assert 0 <= picture.min() <= picture.max() <= 1
