"""Pictures inside a page, as data URIs of bounded size."""

import base64
import io
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from PIL import Image

from project.study.files import check_regular, list_files, walk
from project.study.report.html import Html, tag

_MAX_SIDE = 1100  # pixels; larger pictures are shrunk
_MAX_LOSSLESS = 60_000  # bytes; larger pictures lose a little
_MAX_FILE = 50_000_000  # bytes; larger files are not read
_MAX_ALL = 4_000_000  # bytes of all pictures of a page
# A small file may contain a huge picture: of one, and of all of a page.
_MAX_PIXELS, _MAX_ALL_PIXELS, _MAX_PICTURES = 50_000_000, 1_000_000_000, 2000
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
        self._pixels_left, self._pictures_left = _MAX_ALL_PIXELS, _MAX_PICTURES
        self._num_left_out = 0

    def embed(self, file: Path) -> str | None:
        """Return the data URI of a picture; None if it cannot be read, or the page has enough."""
        if min(self.bytes_left, self._pixels_left, self._pictures_left) <= 0:
            self._num_left_out += 1
            return None
        self._pictures_left -= 1
        try:
            check_regular(file, _MAX_FILE)
            data = self._encode(file)
        # Pillow raises SyntaxError for some damaged files.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            why = getattr(error, "strerror", None) or error
            self.problems.append(f"{file.parent.name}/{file.name} cannot be shown: {why}")
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
            limit = f"those of a page are limited to {_MAX_ALL // 1_000_000} MB, and to {_MAX_PICTURES}"
            self.problems.append(f"{self._num_left_out} pictures are left out: {limit}")

    def _encode(self, file: Path) -> bytes:
        with Image.open(file, formats=("PNG",)) as opened:
            if (size := opened.width * opened.height) > _MAX_PIXELS:
                raise ValueError(f"it has more than {_MAX_PIXELS} pixels")
            self._pixels_left -= size
            image = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
        if image.width * image.height <= 300_000:  # pixels; those of larger photographs take seconds
            data = _to_webp(image, lossless=True)
            if len(data) <= _MAX_LOSSLESS:
                return data
        return _to_webp(image, lossless=False)


def list_progress(run: Path) -> dict[str, list[Path]]:
    """Return the pictures of epochs in RUN/progress, by the directory they are in, such as `val`; in order of time."""
    groups: dict[str, list[tuple[int, Path]]] = {}
    for file in chain.from_iterable(list_files(each, ".png") for each in walk(run / "progress")):
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


def _to_webp(image: Image.Image, lossless: bool) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=_QUALITY, method=3)
    return file.getvalue()
