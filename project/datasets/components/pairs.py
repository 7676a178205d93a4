"""Pairs of pictures in two directories."""

from pathlib import Path

from project.deploy.picture_files import find_pictures


def find_pairs(first: Path, second: Path) -> dict[str, tuple[Path, Path]]:
    """Return the pairs of pictures in two directories by their name, the path without its suffix.

    Raises:
        FileNotFoundError: a directory does not exist, or a picture has no partner or the name of another one.
    """
    firsts, seconds = _by_name(first), _by_name(second)
    if unpaired := firsts.keys() ^ seconds.keys():
        has, lacks = (first, second) if min(unpaired) in firsts else (second, first)
        raise FileNotFoundError(f"{lacks} has no picture '{min(unpaired)}', but {has} has one")
    return {name: (firsts[name], seconds[name]) for name in firsts}


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in find_pictures(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise FileNotFoundError(f"{folder} has two pictures '{name}': {named[name].name} and {file.name}")
        named[name] = file
    return named
