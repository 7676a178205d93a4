"""Mistakes in the options of `report`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from project.study.report import command
from project.study.report.command import main
from project.study.report.serving import LivePage
from tests.study.made_runs import make_run


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "report takes one directory: python cli.py report RUN|ROOT"),
        (["ROOT", "ROOT"], "report takes one directory: python cli.py report RUN|ROOT"),
        (["ROOT/none"], "ROOT/none does not exist"),
        (["ROOT/empty"], "ROOT/empty contains no run\nrun: python cli.py fit --config FILE --root ROOT/empty"),
        (
            ["ROOT", "--prot", "1"],
            "report has no option --prot; did you mean 'port'?\nknown: output, serve, port, help",
        ),
        (["ROOT", "--port", "1"], "--port needs --serve"),
        (["ROOT", "--serve", "--port", "65536"], "--port is '65536'; it must be a number from 0 to 65535"),
        (["ROOT", "--serve", "--port", "-1"], "--port is '-1'; it must be a number from 0 to 65535"),
        (["ROOT", "--serve", "--output", "x"], "--serve writes no file: leave out --output"),
        (["ROOT", "--output", "ROOT/empty"], "cannot write ROOT/empty: Is a directory\nuse --output FILE"),
        (
            ["ROOT", "--output", "ROOT/run/config.yaml/x"],
            "cannot write ROOT/run/config.yaml/x: File exists\nuse --output FILE",
        ),
    ],
)
def test_a_mistake_has_its_message(
    argv: Sequence[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", {"seed": 0})
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main([each.replace("ROOT", str(tmp_path)) for each in argv]) == 2
    expected = message.replace("ROOT/", f"{tmp_path}/").replace("--root ROOT", f"--root {tmp_path}")
    assert capsys.readouterr() == ("", f"error: {expected}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_serve_serves_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run", {"seed": 0})
    served: list[tuple[str, int]] = []

    def serve(page: LivePage, port: int) -> int:
        served.append((page.text(), port))
        return 0

    monkeypatch.setattr(command, "serve", serve)
    for directory in (tmp_path, tmp_path / "run"):
        assert main([str(directory), "--serve", "--port", "0"]) == 0
    assert [("data-stamp=" in text, port) for text, port in served] == [(True, 0), (True, 0)]
    assert not [*tmp_path.rglob("report.html")]
