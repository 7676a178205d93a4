"""Directories that pages of reports are made of."""

from pathlib import Path

import pytest

from tests.study.report.root_pages import write_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three learning rates with two seeds; one run is running."""
    return write_root(tmp_path / "root")
