"""The first losses of each configuration in golden/ are those that its file has: nothing changed the numbers.

Where a change is intended, `python cli.py golden CONFIG` accepts it.
"""

from pathlib import Path

import pytest

from project.study.golden.command import GOLDEN, check

ROOT = Path(__file__).parent.parent.parent
SLOW = ("denoise", "segment")  # they take more than a second; others are in the default tests
FILES = [
    pytest.param(file, marks=[pytest.mark.slow] if file.stem in SLOW else [], id=file.stem)
    for file in sorted((ROOT / GOLDEN).glob("*.json"))
]


@pytest.mark.parametrize("file", FILES)
def test_first_losses_are_unchanged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit where the file has losses of this machine's numerics fingerprint, else within rounding."""
    monkeypatch.chdir(ROOT)
    if message := check(file):
        pytest.fail(message, pytrace=False)
