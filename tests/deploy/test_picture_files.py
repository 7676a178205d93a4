"""Picture files are found in directories."""

from pathlib import Path

import pytest

from project.deploy.picture_files import find_pictures


def touch(path: Path) -> None:
    """Create a file; the name alone decides whether it is a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_pictures_are_found_recursively_and_sorted(tmp_path: Path) -> None:
    """Also in directories that are links: else a class would have no samples."""
    names = ["B.PNG", "a.jpeg", "c.png", "d/a.bmp", "d/e/z.tiff"]
    folder = tmp_path / "set"
    for name in reversed(names):
        touch(folder / name)
    touch(tmp_path / "elsewhere/a.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").write_text("no picture")
    found = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    assert found == [*names, "link/a.png"]


def test_no_pictures_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} contains no pictures"):
        find_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'nowhere'} is not a directory"):
        find_pictures(tmp_path / "nowhere")
