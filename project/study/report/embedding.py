"""Pictures inside a page, as data URIs of bounded size."""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from project.study.report.html import Html, tag

_MAX_SIDE = 1100  # pixels; larger pictures are shrunk
_MAX_LOSSLESS = 60_000  # bytes; larger pictures lose a little
_MAX_FILE = 50_000_000  # bytes; larger files are not read
_MAX_ALL = 4_000_000  # bytes of all pictures of a page
_QUALITY = 85
_EPOCH_AND_STEP = re.compile(r"epoch_(\d+)_(?:between_)?step_(\d+)")

Item = TypeVar("Item")


class Embedder:
    """Maker of data URIs, up to a size of all together.

    Args:
        problems: receives what could not be shown, and why.

    Example::

        embedder = Embedder(problems := [])
        embedder.image(run / "eval/test/visual.png", "first samples")
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self.bytes_left = _MAX_ALL
        self._num_left_out = 0

    def embed(self, file: Path) -> str | None:
        """Return the data URI of a picture; None if it cannot be read, or the page has enough."""
        if self.bytes_left <= 0:
            self._num_left_out += 1
            return None
        try:
            if file.stat().st_size > _MAX_FILE:
                raise OSError(f"it has more than {_MAX_FILE // 1_000_000} MB")
            data = _encode(file)
        # Pillow raises SyntaxError for some damaged files.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            self.problems.append(f"{file.parent.name}/{file.name} cannot be shown: {error}")
            return None
        self.bytes_left -= len(data)
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

    def image(self, file: Path, alt: str, **attributes: object) -> Html | None:
        """Return an element with a picture; None if it cannot be shown."""
        uri = self.embed(file)
        return None if uri is None else tag("img", src=uri, alt=alt, **attributes)

    def report_omissions(self) -> None:
        """Add to the problems how many pictures were left out because the page has enough."""
        if self._num_left_out:
            limit = f"the pictures of a page are limited to {_MAX_ALL // 1_000_000} MB"
            self.problems.append(f"{self._num_left_out} pictures are left out: {limit}")


def list_progress(run: Path) -> dict[str, list[Path]]:
    """Return the pictures of epochs in RUN/progress, by the directory they are in, such as `val`; in order of time."""
    groups: dict[str, list[tuple[int, Path]]] = {}
    for file in (run / "progress").rglob("*.png"):
        if match := _EPOCH_AND_STEP.match(file.stem):
            name = f"{file.parent.relative_to(run / 'progress').as_posix()}{file.stem[match.end() :].replace('_', ' ')}"
            groups.setdefault(name, []).append((int(match[2]), file))
    return {name: [file for _, file in sorted(groups[name])] for name in sorted(groups)}


def describe_epoch(file: Path) -> str:
    """Return the epoch, from 1, and the step of a picture, such as `epoch 1, step 19`."""
    match = _EPOCH_AND_STEP.match(file.stem)
    return f"epoch {int(match[1]) + 1}, step {int(match[2])}" if match else file.stem


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most so many items, at equal distances, with the first and the last one."""
    if len(items) <= limit:
        return [*items]
    return [items[-1]] if limit < 2 else [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def _encode(file: Path) -> bytes:
    with Image.open(file, formats=("PNG",)) as opened:
        image = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    if image.width * image.height <= 300_000:  # pixels; those of larger photographs take seconds
        data = _to_webp(image, lossless=True)
        if len(data) <= _MAX_LOSSLESS:
            return data
    return _to_webp(image, lossless=False)


def _to_webp(image: Image.Image, lossless: bool) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=_QUALITY, method=3)
    return file.getvalue()
