"""Pairs of pictures in two directories."""

from pathlib import Path

from project.deploy.picture_files import find_pictures


def find_pairs(first: Path, second: Path, suffix: str, setting: str) -> dict[str, tuple[Path, Path]]:
    """Return the pairs of pictures in two directories by their name, the path without what follows the last dot.

    Args:
        first: a directory, whose pictures have the names of the result.
        second: another one.
        suffix: what the names of the second ones have after those of the first.
        setting: how messages call the suffix.

    Raises:
        FileNotFoundError: a directory does not exist, or a picture has no partner or the name of another one.
    """
    firsts, seconds = _by_name(first), _by_name(second, suffix)
    if unpaired := firsts.keys() ^ seconds.keys():
        name = min(unpaired)
        has, lacks = (first, second) if name in firsts else (second, first)
        longer = min(
            (other for other in unpaired if other.startswith(name) and other in seconds), key=len, default=name
        )
        hint = "" if longer == name else f"\nIf its partner is '{longer}', set {setting}: {longer.removeprefix(name)}"
        raise FileNotFoundError(f"{lacks} has no picture '{name}', but {has} has one{hint}")
    return {name: (firsts[name], seconds[name]) for name in firsts}


def _by_name(folder: Path, suffix: str = "") -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in find_pictures(folder):
        name = file.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if name in named:
            raise FileNotFoundError(f"{folder} has two pictures '{name}': {named[name].name} and {file.name}")
        named[name] = file
    return named
