"""Pictures of `predict` are named after their samples, each by a name of its own."""

import pytest

from project.core.errors import ConfigError
from project.core.evaluation.picture_names import PictureNames


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["flower.jpg", "a/tree.TIF"], ["flower.png", "a/tree.png"]),
        (["flower.jpg", "flower.gif", "a/flower.gif"], ["flower.jpg.png", "flower.gif.png", "a/flower.png"]),
        (["flower", "flower.png"], ["flower.png", "flower.png.png"]),
        (["Flower.jpg", "flower.jpg"], ["Flower.jpg.png", "flower.jpg.png"]),
        (["v1.0", "v1.1", "x.tar.png"], ["v1.0.png", "v1.1.png", "x.tar.png"]),
    ],
)
def test_names(names: list[str], files: list[str]) -> None:
    name = PictureNames(names.__getitem__, len(names))
    assert [name(index) for index in range(len(names))] == files


def test_names_that_are_not_known_before_keep_the_type() -> None:
    """Those of an iterable dataset, of which two may differ only in the type."""
    name = PictureNames(["flower.jpg", "flower.png"].__getitem__, None)
    assert [name(0), name(1)] == ["flower.jpg.png", "flower.png"]


def test_samples_without_names_are_numbered() -> None:
    name = PictureNames(None, None)
    assert [name(7), name(7, 1)] == ["000007.png", "000007.1.png"]


@pytest.mark.parametrize("sample", ["/etc/x.png", "../x.png", "a/../../x"])
def test_name_outside_the_results_is_refused(sample: str) -> None:
    with pytest.raises(ConfigError, match="is no path in the directory of results"):
        PictureNames([sample].__getitem__, 1)(0)
