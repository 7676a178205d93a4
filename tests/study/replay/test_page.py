"""Tests of the page of replayed steps: what it says, in which order, and that nothing false or unsafe is on it."""

import base64
import gzip
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from project.study.replay.page.marks import mark_activations, mark_parameters
from project.study.replay.page.tables import SHOWN, Column, Tables, long_table
from project.study.replay.page.writing import FILE, replay_page, write_page
from project.study.replay.step_record import ActivationRecord, ParameterRecord, SampleRecord, TensorRecord
from tests.study.replay.made_records import make_comparison, make_record, write_pictures

EVIL = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\u202e\u05d0"
RUN = Path("experiments/digits")


def read_tables(page: str) -> dict[str, Any]:
    packed = re.search(r'id="data"[^>]*>([^<]*)<', page)
    assert packed is not None

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    tables: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])), parse_constant=refuse)["tables"]
    return tables


def column(page: str, key: str, name: str) -> list[Any]:
    (values,) = (each["values"] for each in read_tables(page)[key] if each["name"] == name)
    return list(values)


def texts(page: str) -> str:
    """Return the text of a page."""
    return re.sub(r"<[^>]*>", " ", page.partition("<body>")[2].partition("<script")[0])


def make_page(*records: Any, **changes: Any) -> str:
    return replay_page(Path(), RUN, "the start of the run", records, make_comparison(**changes))


def test_page_has_all_of_a_step(tmp_path: Path) -> None:
    record = make_record()
    write_pictures(tmp_path, record)
    file = write_page(tmp_path, RUN, "checkpoints/a.ckpt, after step 19", [record], make_comparison(), trusts=True)
    assert file == tmp_path / FILE
    page = file.read_text(encoding="utf-8")
    titles = [title.partition("<")[0] for title in re.findall("<h2[^>]*>(.*?)</h2>", page)]
    expected = ["Step 29", "Samples", "Batch", "Parameters", "Activations", "Learning rates and seeds", "Again"]
    assert titles == expected
    shown = " ".join(texts(page).split())
    assert "started from checkpoints/a.ckpt, after step 19 ; 10 steps trained again" in shown
    assert "All 24 values that the run logged at steps 20 to 29 equal those of the replay, bit for bit." in shown
    assert "epoch 2, batch 10" in shown
    assert f"python cli.py replay {RUN} --step 29 --trust " in shown
    assert page.count('src="data:image/webp') == 8
    assert 'href="./pictures/step29_image_0.png"' in page


def test_sample_whose_values_are_far_from_the_others_comes_first() -> None:
    """With batch norm, a bad sample spoils the loss of all others, and its own may be the smallest."""
    shown = " ".join(texts(make_page(make_record())).split())
    assert "Unusual samples scan4 2.45 image reaches 4096, usual is 1" in shown
    assert make_record().unusual_rows() == {4: "image reaches 4096, usual is 1"}
    alike = TensorRecord("image", [3], "float32", 0.0, 50.0, 1.0, 0, [1.0, 50.0, 2.0])
    assert make_record(tensors=[alike]).unusual_rows() == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"compared": 0}, "Unproven: the run and the replay logged no value at the same step of steps 20 to 29"),
        ({"compared": 1, "first": 28}, "The only value that the run logged at step 29 equal"),
        ({"only_run": ["lr-x"]}, "Logged by the run only, and not compared: lr-x"),
    ],
)
def test_verdict_says_what_was_compared(changes: dict[str, Any], expected: str) -> None:
    assert expected in " ".join(texts(make_page(make_record(), **changes)).split())


def test_values_that_differ_are_shown_in_full_precision() -> None:
    """Also if only the last bit differs."""
    run, replay = 0.1, math.nextafter(0.1, 1)
    shown = texts(make_page(make_record(), compared=40, differing=[("train/loss", 28, run, replay)] * 30))
    assert "30 of 40 values" in shown
    assert repr(replay) in shown
    assert replay.hex() in shown
    assert "10 more differ." in shown


def test_non_finite_values_are_texts_and_their_origin_is_first() -> None:
    """JSON has no NaN, and a script must not take one for a missing value."""
    samples = [SampleRecord(0, 7, "a", {"loss": math.nan}), SampleRecord(1, 8, "b", {"loss": -math.inf})]
    record = make_record(samples=samples, non_finite=["image of sample a", "net.stem"], losses={"loss": math.inf})
    page = make_page(record)
    assert column(page, "samples29", "loss") == ["nan", "-inf"]
    shown = " ".join(texts(page).split())
    assert "Not finite first: image of sample a net.stem" in shown
    assert "loss inf" in shown


def test_unusual_parameters_are_first() -> None:
    usual = [ParameterRecord(f"p{n}", [2], 1.0, 0.1, 0.001) for n in range(5)]
    odd = [
        ParameterRecord("frozen", [2], 1.0, None, None),
        ParameterRecord("dead", [2], 1.0, 0.0, 0.0),
        ParameterRecord("stuck", [2], 1.0, 0.1, 0.0),
        ParameterRecord("nan", [2], 1.0, math.nan, math.nan),
        ParameterRecord("fast", [2], 1.0, 0.1, 1.0),
        ParameterRecord("slow", [2], 1.0, 0.1, 1e-7),
        ParameterRecord("new", [2], 0.0, 0.1, None),
    ]
    marks = ["no gradient", "gradient is 0", "no update", "not finite", "1,000 times the median"]
    marks += ["1/10,000 of the median", ""]
    assert mark_parameters([*usual, *odd]) == [*[""] * 5, *marks]
    names = column(make_page(make_record(parameters=[*usual, *odd])), "parameters29", "parameter")
    assert names[:6] == ["nan", "fast", "slow", "dead", "stuck", "frozen"]
    assert names[-1] == "new"


def test_unusual_activations_are_marked() -> None:
    def activation(**changes: Any) -> ActivationRecord:
        fields = {"mean": 1.0, "std": 1.0, "maximum": 2.0, "zeros": 0.5, "non_finite": 0}
        return ActivationRecord("m", "M", 0, [4], **fields | changes)

    records = [activation(), activation(non_finite=3), activation(zeros=1.0, std=0.0), activation(std=0.0)]
    assert mark_activations(records) == ["", "3 not finite", "all are 0", "constant"]


def test_what_is_not_known_is_said() -> None:
    unknown = [SampleRecord(row, None, "") for row in range(3)]
    own = make_page(make_record(samples=unknown, divides={}, losses={}))
    assert "The losses of samples are not known" in own
    assert "row 0" in texts(own)
    joint = make_page(make_record(samples=unknown, divides={"contrastive": False}))
    assert "The mean over the samples is not contrastive" in texts(joint)
    empty: dict[str, Any] = {
        name: [] for name in ("samples", "tensors", "parameters", "activations", "batches", "seeds")
    }
    skipped = make_page(make_record(skipped=True, losses={}, divides={}, rates={}, **empty))
    assert "skip_steps leaves this step out" in texts(skipped)
    assert "Samples" not in texts(skipped)


def test_several_steps_have_an_overview() -> None:
    page = make_page(make_record(28), make_record(29, non_finite=["x"]), make_record(30, skipped=True))
    shown = " ".join(texts(page).split())
    assert "Steps 28 to 30 of digits" in shown
    assert re.findall('href="#(step-\\d+)"', page) == re.findall('article id="(step-\\d+)"', page)
    assert "--step 28 --steps 3" in shown


def test_texts_of_strangers_are_escaped() -> None:
    tensor = TensorRecord(EVIL, [1], EVIL, 0.0, 1.0, 0.5, 0, [1.0], ["javascript:alert(1).png"])
    record = make_record(
        samples=[SampleRecord(0, 1, EVIL, {EVIL: 1.0})],
        tensors=[tensor],
        parameters=[ParameterRecord(EVIL, [1], 1.0, 1.0, 1.0)],
        activations=[ActivationRecord(EVIL, EVIL, 0, [1], 1.0, 1.0, 1.0, 0.0, 0)],
        losses={EVIL: 1.0},
        rates={EVIL: 1.0},
        non_finite=[EVIL] * 3,
    )
    comparison = make_comparison(differing=[(EVIL, 1, 1.0, 2.0)], only_run=[EVIL])
    page = replay_page(Path(), Path(EVIL), EVIL, [record], comparison)
    body = page.partition("<body>")[2]
    assert re.findall(r"<(?:script|img)[^>]*", body) == ['<script type="text/plain" id="data"', "<script"]
    assert 'href="javascript' not in body
    assert 'href="./javascript%3Aalert' in body


def test_long_tables_are_small_and_show_their_first_rows() -> None:
    """5,000 parameters and 10,000 samples: the rest is compressed data."""
    page = make_page(make_record(num_samples=10_000, num_parameters=5_000))
    assert page.count("<tr") < 4 * SHOWN + 20
    assert len(page) < 400_000
    assert len(column(page, "parameters29", "parameter")) == 5_000


def test_columns_without_values_are_left_out() -> None:
    tables = Tables()
    made = long_table("key", "label", [Column("a", [1, 2], "number"), Column("b", [None, ""])], tables)
    assert [each["name"] for each in tables.data["key"]] == ["a"]
    assert ">b<" not in made


def test_rows_of_many_steps_are_limited_and_that_is_said() -> None:
    tables = Tables(limit=3)
    made = long_table("key", "label", [Column("a", [*range(10)], "number")], tables)
    assert tables.data["key"][0]["values"] == [0, 1, 2]
    assert "7 more rows are left out" in made
