"""The first losses of each configuration in golden/ are those that its file has: nothing changed the numbers.

Where a change is intended, `python cli.py golden CONFIG` accepts it.
"""

from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.study.golden.command import GOLDEN, check

ROOT = Path(__file__).parent.parent.parent
FAST = ("digits",)  # a second; each of the others takes as long, or longer
FILES = [
    pytest.param(file, marks=[] if file.stem in FAST else [pytest.mark.slow], id=file.stem)
    for file in sorted((ROOT / GOLDEN).glob("*.json"))
]


@pytest.mark.parametrize("file", FILES)
def test_first_losses_are_unchanged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit where the file has losses of this machine's numerics fingerprint, else within rounding."""
    monkeypatch.chdir(ROOT)
    try:
        message = check(file)
    except ConfigError as error:  # such as data that are not on this machine
        message = f"{file.name}: {error}"
    if message:
        pytest.fail(message, pytrace=False)
