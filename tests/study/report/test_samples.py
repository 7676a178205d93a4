"""Tests of the worst and best samples."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from project.study.report import samples
from project.study.report.embedding import Embedder
from project.study.report.samples import loss_names, show_samples
from tests.study.report.run_files import write_picture


def indices(markup: str, title: str) -> list[int]:
    """Return the indices of the samples below a heading."""
    part = markup.split(f"<h3>{title}</h3>")[1].split("<h3>")[0]
    return [int(number) for number in re.findall(r">#(\d+)<", part)]


def write_samples(path: Path, losses: Sequence[object]) -> None:
    rows = "".join(f"{index},cat,{value}\n" for index, value in enumerate(losses))
    (path / "samples.csv").write_text(f"index,prediction,hinge\n{rows}")


def test_highest_and_lowest_are_a_table_without_pictures(tmp_path: Path) -> None:
    """The first loss that is a column counts; a sample is not both."""
    write_samples(tmp_path, [float(value) for value in range(100)][::-1])
    shown = show_samples(tmp_path, ["missing", "hinge"], Embedder([]))
    assert shown is not None
    assert indices(shown, "Highest hinge") == [*range(12)]
    assert indices(shown, "Lowest hinge") == [*range(99, 87, -1)]
    write_samples(tmp_path, [1.0, 3.0, 2.0])
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert indices(shown, "Highest hinge") == [1, 2, 0]
    assert "Lowest" not in shown


def test_many_samples_are_ranked_without_keeping_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_MAX_KEPT", 30)
    losses = [(index * 37) % 1009 for index in range(1009)]
    write_samples(tmp_path, losses)
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert [losses[index] for index in indices(shown, "Highest hinge")] == [*range(1008, 996, -1)]
    assert [losses[index] for index in indices(shown, "Lowest hinge")] == [*range(12)]


def test_samples_with_pictures_are_cards(tmp_path: Path) -> None:
    """Of equal losses, the ones that the evaluation drew are shown."""
    write_samples(tmp_path, [1.0] * 50)
    for index in range(20, 44):
        write_picture(tmp_path / f"samples/{index:06d}.png")
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert sorted(indices(shown, "Highest hinge") + indices(shown, "Lowest hinge")) == [*range(20, 44)]
    assert shown.count("<img") == 24


def test_values_that_are_not_finite_are_said(tmp_path: Path) -> None:
    write_samples(tmp_path, ["nan", 1.0, "x", "inf", "", 2.0])
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert indices(shown, "Highest hinge") == [5, 1]
    assert "4 samples have a hinge that is not finite" in shown


@pytest.mark.parametrize("text", ["", "\n", "index\n0\n", "index,l2\n0,1\n", "index,hinge\n"])
def test_no_losses_show_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "samples.csv").write_text(text)
    assert show_samples(tmp_path, ["hinge"], Embedder([])) is None


def test_odd_rows_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-written rows, rows with too many cells, and names with markup."""
    text = 'index,name,hinge\n0,<b>x</b>,1\n\u0661,y,2,3\n"'
    (tmp_path / "samples.csv").write_text(text, encoding="utf-8")
    write_picture(tmp_path / "samples/000000.png")
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    monkeypatch.setattr(samples, "_MAX_ROWS", 1)
    assert "only the first 1 samples were read" in str(show_samples(tmp_path, ["hinge"], Embedder([])))


def test_loss_names_are_those_of_the_configuration() -> None:
    settings: dict[str, object] = {
        "model.loss.b.type": "B",
        "model.loss.b.weight": 1,
        "model.loss.a.weight": 1,
        "model.lossy": 1,
    }
    assert loss_names(settings) == ["b", "a"]


def test_cards_say_target_prediction_and_probability_in_a_line(tmp_path: Path) -> None:
    """A column that says only whether they are equal is left out; of a number that differs, all is shown."""
    lines = ("0,3,12345,0.4123,2.5,0,7", "1,8,8,0.9,0.1,1,6")
    head = "index,prediction,target,prediction.probability,hinge,accuracy,extra"
    (tmp_path / "samples.csv").write_text("\n".join((head, *lines)))
    for index in range(2):
        write_picture(tmp_path / f"samples/{index:06d}.png")
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert "<span>12345 → 3</span>" in shown
    assert ">p 0.41</span>" in shown
    assert re.findall(r"<dt>(.*?)</dt>", shown) == ["extra", "extra"]
    (tmp_path / "samples.csv").write_text("\n".join((head, lines[0], "1,8,8,0.9,0.1,0,6")))
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert re.findall(r"<dt>(.*?)</dt>", shown) == ["accuracy", "extra"] * 2


def test_cards_say_the_names_of_classes(tmp_path: Path) -> None:
    """A class without a name has its number; the names are no values of their own."""
    head = "index,prediction,prediction_name,target,target_name,prediction.probability,hinge,accuracy,extra"
    (tmp_path / "samples.csv").write_text("\n".join((head, "0,3,a <b>,8,,0.4,2.5,0,7", "1,8,,8,,0.9,0.1,1,6")))
    for index in range(2):
        write_picture(tmp_path / f"samples/{index:06d}.png")
    shown = show_samples(tmp_path, ["hinge"], Embedder([]))
    assert shown is not None
    assert "<span>8 → a &lt;b&gt;</span>" in shown
    assert "<span>8 → 8</span>" in shown
    assert re.findall(r"<dt>(.*?)</dt>", shown) == ["extra", "extra"]


@pytest.mark.parametrize(
    "text", ["index,hinge" + ",x" * 200_000 + "\n" + "0,1.0\n" * 3000, "index,hinge\n" + "9" * 5000 + ",1.0\n"]
)
def test_odd_tables_are_read(text: str, tmp_path: Path) -> None:
    """A row costs what it contains, not what the header has; an index is a name if it is no number of a file."""
    (tmp_path / "samples.csv").write_text(text)
    assert "Highest hinge" in str(show_samples(tmp_path, ["hinge"], Embedder([])))
