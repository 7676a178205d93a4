"""Explanations follow from the kind of the first tensor."""

import pytest

from project.study.bisect.explaining import compare_samples, describe_samples, explain, list_names


@pytest.mark.parametrize(
    ("name", "is_start", "knows_previous", "begins"),
    [
        ("data image", False, True, "the batch differs"),
        ("lr 0.0", False, True, "the learning rate differs"),
        ("weight_decay 0.0", False, True, "the weight decay differs"),
        ("loss", False, True, "state, learning rate and batch are equal, but not the loss"),
        ("gradient net.weight", False, True, "state, batch and loss are equal, but not the gradient"),
        ("parameter net.weight", True, False, "the runs start with different values"),
        ("parameter net.weight", False, True, "the step before it had equal inputs and gradients, but its update"),
        ("buffer net.mean", False, True, "a buffer differs"),
        ("scaler scale", False, True, "what the step begins with differs, though"),
        ("parameter net.weight", False, False, "what the step begins with differs; the step before it was not"),
    ],
)
def test_kind_is_explained(name: str, is_start: bool, knows_previous: bool, begins: str) -> None:
    assert explain([name, "gradient other"], is_start, knows_previous).startswith(begins)


def test_samples_of_two_batches() -> None:
    assert compare_samples([1, 2], [1, 3]) == "samples only in A: 2; only in B: 3"
    assert "another order: A 1, 2; B 2, 1" in compare_samples([1, 2], [2, 1])
    assert compare_samples([1], [1]).endswith("with different contents: 1")
    assert compare_samples(None, [1]) == ""
    assert describe_samples([4], ["data index", "data image"]) == "samples of that batch now: 4; they were others"
    assert describe_samples([4], ["data image"]).endswith("one of them was different")


def test_long_lists_are_cut() -> None:
    assert list_names(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d, and 2 more"
    assert compare_samples([*range(20)], [*range(20)]).endswith("10, 11 and 8 more")
