"""The fixture `reader`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template.conftest import ROOT
from tests.template.how_to.reader import Reader


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Reader]:
    """Return a reader in an empty directory; the components of a page are registered during the test only."""
    from project.commands import main
    from project.registry import Registry

    def call(words: list[str]) -> str:
        capfd.readouterr()
        code = main(words)
        out, err = capfd.readouterr()
        assert code == 0, f"{words}\n{out}{err}"
        return out + err

    for registry in {*Registry.by_base.values()}:
        registry.names()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, call)
    yield reader
    reader.forget()
