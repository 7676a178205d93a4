"""Sequences of different lengths."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from project.datasets.sequences import Sequences
from project.registry import ConfigError


def sequences(folder: Path, *records: Any, **arguments: Any) -> Sequences:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "s.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Sequences("s.jsonl", data_dir=str(folder), **arguments)


def test_texts_become_bytes_and_labels_numbers(tmp_path: Path) -> None:
    dataset = sequences(tmp_path, {"sequence": "aü", "label": "y"}, "", {"sequence": "b", "label": "x"})
    assert dataset[0]["sequence"].tolist() == [1 + 97, 1 + 0xC3, 1 + 0xBC]
    assert [int(sample["label"]) for sample in (dataset[0], dataset[1])] == [1, 0]
    assert (dataset.classes, dataset.num_classes, dataset.num_tokens, dataset.num_features) == (["x", "y"], 2, 257, 0)
    assert (len(dataset), dataset.name(1)) == (2, "line 3")


def test_integers_are_tokens_and_other_numbers_vectors(tmp_path: Path) -> None:
    tokens = sequences(tmp_path, {"sequence": [3, 1], "label": 4}, {"sequence": [0], "label": 0})
    assert (tokens[0]["sequence"].tolist(), tokens[0]["sequence"].dtype) == ([3, 1], torch.int64)
    assert (tokens.num_tokens, tokens.num_features, tokens.classes, tokens.num_classes) == (4, 0, [], 5)
    numbers = sequences(tmp_path, {"sequence": [1, 2], "target": 3}, {"sequence": [-0.5], "target": 0.5})
    assert [numbers[index]["sequence"].tolist() for index in (0, 1)] == [[[1.0], [2.0]], [[-0.5]]]
    assert (numbers[1]["target"], numbers.num_tokens, numbers.num_features) == (torch.tensor(0.5), 0, 1)
    vectors = sequences(tmp_path, {"sequence": [[1, 2], [3, 4]]})
    assert vectors[0].keys() == {"sequence"}
    assert (vectors[0]["sequence"].dtype, vectors.num_features) == (torch.float32, 2)


def test_number_of_tokens_is_that_of_the_training_set(tmp_path: Path) -> None:
    record = {"sequence": [4, 2]}
    assert sequences(tmp_path, record, num_tokens=9).num_tokens == 9
    assert sequences(tmp_path, {"sequence": "text"}, num_tokens=257).num_tokens == 257
    assert sequences(tmp_path, {"sequence": [[0.5]]}, num_tokens=0).num_tokens == 0


@pytest.mark.parametrize(
    ("num_tokens", "line", "expected"), [(4, 2, "so that the largest token is 3"), (0, 1, "as for lists of floats or")]
)
def test_tokens_that_may_be_measurements_are_refused(tmp_path: Path, num_tokens: int, line: int, expected: str) -> None:
    """A validation set whose numbers are all whole is read otherwise than the floats of the training set."""
    with pytest.raises(OSError, match=r"s.jsonl") as raised:
        sequences(tmp_path, {"sequence": [3]}, {"sequence": [4, 2]}, num_tokens=num_tokens)
    first, second = str(raised.value).split("\n")
    assert f"s.jsonl, line {line}: token {2 + line}, but num_tokens is {num_tokens}, {expected}" in first
    assert second == "Whole numbers are tokens; if they are measurements, write them as floats: 4.0"


@pytest.mark.parametrize(
    ("record", "arguments", "is_logged"),
    [([3, 1], {}, True), ([3, 1], {"num_tokens": 4}, False), ("text", {}, False), ([0.5], {}, False)],
)
def test_whole_numbers_are_said_to_be_tokens(
    tmp_path: Path, messages: list[str], record: Any, arguments: dict[str, Any], is_logged: bool
) -> None:
    """Counts or pixels, which are whole by chance, would be taken as names."""
    sequences(tmp_path, {"sequence": record}, **arguments)
    text = "lists of whole numbers are tokens, here up to 3; if they are measurements, write them as floats: 3.0"
    assert messages == [f"{tmp_path / 's.jsonl'}: {text}"] * is_logged


@pytest.mark.parametrize("sequence", [[[1, 2], [3, 4], [5, 6]], [5, 6, 7]], ids=["vectors", "tokens"])
def test_a_batch_is_padded_and_masked(tmp_path: Path, sequence: list[Any]) -> None:
    dataset = sequences(tmp_path, {"sequence": sequence[:1], "label": 0}, {"sequence": sequence, "label": 1})
    batch = dataset.collate([dataset[0] | {"index": torch.tensor(7)}, dataset[1] | {"index": torch.tensor(3)}])
    assert batch["mask"].tolist() == [[True, False, False], [True, True, True]]
    assert torch.equal(batch["sequence"][0, :1], dataset[0]["sequence"])
    assert torch.equal(batch["sequence"][1], dataset[1]["sequence"])
    assert not batch["sequence"][0, 1:].any()
    assert (batch["label"].tolist(), batch["index"].tolist()) == ([0, 1], [7, 3])


def test_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"sequence": "é"}', encoding="utf-8-sig")
    assert Sequences("s.jsonl", data_dir=str(tmp_path))[0]["sequence"].tolist() == [0xC3 + 1, 0xA9 + 1]


def test_classes_set_the_labels(tmp_path: Path) -> None:
    record = {"sequence": "a", "label": "b"}
    dataset = sequences(tmp_path, record, classes=["c", "b", "a"])
    assert (int(dataset[0]["label"]), dataset.num_classes) == (1, 3)
    with pytest.raises(OSError, match=r"s.jsonl, line 1: 'b' is not one of the classes x, y"):
        sequences(tmp_path, record, classes=["x", "y"])
    with pytest.raises(OSError, match=r"line 1: `label` is 2, but there are 2 `classes`"):
        sequences(tmp_path, {"sequence": "a", "label": 2}, classes=["x", "y"])
    with pytest.raises(ConfigError, match=r"Sequences.classes has 'x' twice"):
        sequences(tmp_path, record, classes=["x", "b", "x"])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("{", "line 2 is no JSON: Expecting property name"),
        ("[" * 100_000, "line 2 is no JSON: maximum recursion depth"),
        ("[1]", "line 2: it must be an object"),
        ({"label": 0}, "line 2: `sequence` must be a text, or a list of numbers or of vectors, and not empty"),
        ({"sequence": []}, "line 2: `sequence` must be a text"),
        ({"sequence": [[1], [2, 3]]}, "line 2: `sequence` must be a text"),
        ({"sequence": ["a"]}, "line 2: `sequence` must be a text"),
        ({"sequence": [[[1]]]}, "line 2: `sequence` must be a text"),
        ({"sequence": "a"}, "line 2: `sequence` is a text in some lines and a list in others"),
        ({"sequence": [-1]}, "line 2: a token is negative; write numbers that are no tokens as floats: -1.0"),
        ({"sequence": [[1, 2]]}, "line 2: vectors of 2 numbers; earlier ones have 1"),
        ({"sequence": [float("nan")]}, "line 2: `sequence` has a number that is not finite"),
        ({"sequence": [1]}, "line 2: `label` is missing, which other lines have"),
        ({"sequence": [1], "label": "x"}, "line 2: `label` is 'x'; it must be a text in each line, or an integer >= 0"),
        ({"sequence": [1], "label": -1}, "line 2: `label` is -1; it must be"),
        ({"sequence": [1], "label": True}, "line 2: `label` is True; it must be"),
        ({"sequence": [1], "label": None}, "line 2: `label` is missing, which other lines have"),
        ({"sequence": [1], "label": 0, "target": [1]}, "line 1: `target` is missing, which other lines have"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, second: Any, message: str) -> None:
    with pytest.raises(OSError, match=r"s.jsonl") as caught:
        sequences(tmp_path, {"sequence": [1, 2], "label": 0}, second)
    assert f"s.jsonl, {message}" in str(caught.value)


def test_an_empty_file_another_encoding_and_targets_of_different_shapes(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_bytes(b'{"sequence": "\xe9"}')
    with pytest.raises(OSError, match=r"other.jsonl, line 1 is no JSON: 'utf-8' codec"):
        Sequences(str(tmp_path / "other.jsonl"))
    with pytest.raises(OSError, match=r"s.jsonl, line 2: `label` is ''; it must be a text in each line"):
        sequences(tmp_path, {"sequence": [1], "label": "x"}, {"sequence": [1], "label": ""})
    with pytest.raises(OSError, match=r"s.jsonl has no lines"):
        sequences(tmp_path)
    with pytest.raises(OSError, match=r"s.jsonl, line 2: `target` has a number that is not finite"):
        sequences(tmp_path, {"sequence": [1], "target": [1, 2]}, {"sequence": [1], "target": [1, float("inf")]})
    (tmp_path / "s.jsonl").write_bytes(b'{"sequence": "\xe9"}')
    with pytest.raises(OSError, match=r"s.jsonl, line 1 is no JSON: 'utf-8' codec"):
        Sequences("s.jsonl", data_dir=str(tmp_path))
    with pytest.raises(OSError, match="each `target` must be a number, or each a list of as many numbers"):
        sequences(tmp_path, {"sequence": [1], "target": [1]}, {"sequence": [1], "target": [1, 2]})
