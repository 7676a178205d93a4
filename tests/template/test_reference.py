"""The generated pages of the reference are those of the code, and show each transform and visual."""

import sys
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY, VISUAL_REGISTRY, Registry, Transform
from tests.template.conftest import ROOT

sys.path.append(str(ROOT / "scripts"))
from reference.components_page import components_page, picture_name
from reference.pictures import write_pictures
from write_reference import REFERENCE, pages

PICTURES = REFERENCE / "pictures"


@pytest.mark.parametrize("name", ["settings.md", "components.md"])
def test_committed_page_is_that_of_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in {*Registry.by_base.values()}:
        registry.names()
        own = {key: entry for key, entry in registry._entries.items() if "tests" not in str(entry[1])}
        monkeypatch.setattr(registry, "_entries", own)  # other tests register theirs
    committed = (REFERENCE / name).read_text(encoding="utf-8")
    assert committed == pages(PICTURES)[name], f"docs/reference/{name} is stale: python scripts/write_reference.py"


def test_each_transform_and_visual_has_a_picture() -> None:
    expected = {picture_name(each, name) for each in (TRANSFORM_REGISTRY, VISUAL_REGISTRY) for name in each.names()}
    assert {file.name for file in PICTURES.iterdir()} == expected
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < 500_000


@pytest.mark.slow
def test_pictures_are_drawn_twice_alike(tmp_path: Path) -> None:
    """So that writing them again changes nothing in git."""
    assert write_pictures(tmp_path / "one") == write_pictures(tmp_path / "two") == []
    for picture in PICTURES.iterdir():
        drawn = [(tmp_path / name / picture.name).read_bytes() for name in ("one", "two")]
        assert drawn[0] == drawn[1]


class Failing(Transform):
    """Transform of a tensor that the example data does not have."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"points": sample["points"]}


def test_component_that_cannot_be_drawn_has_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a project without components has a page that says so."""
    for registry in {*Registry.by_base.values()}:
        registry.names()
        monkeypatch.setattr(registry, "_entries", {})
    (tmp_path / "visual_Old.png").touch()
    TRANSFORM_REGISTRY.register()(Failing)
    assert write_pictures(tmp_path) == ["no picture of Failing: KeyError: 'points'"]
    assert list(tmp_path.iterdir()) == []
    page: Any = components_page(tmp_path)
    assert "### Failing\nTransform of a tensor that the example data does not have.\n" in page
    assert "![" not in page
    assert page.count("No component of this kind is registered.") == 10
