"""The card of an exported model is the same after it was stored, and a damaged one is refused."""

import json

import pytest

from project.deploy.inputs import InputError, Numbers
from project.deploy.model_card import Length, read_card
from tests.deploy.onnx_files import CARD, card_with


def test_card_is_the_same_after_it_was_stored() -> None:
    everything = card_with(
        inputs={**CARD.inputs, "other": Numbers((None, 3), "int64")},
        git_commit="0123+",
        versions={"torch": "2.9"},
        largest_picture=4096,
        state="AAAA",
    )
    assert read_card(everything.to_text()) == everything
    assert json.loads(everything.to_text())["format"] == 1


def test_card_without_optional_values_is_read() -> None:
    """Such as one that an older version wrote, before there was a value."""
    values = json.loads(CARD.to_text())
    for name in ("classes", "git_commit", "versions", "largest_picture", "state"):
        del values[name]
    assert read_card(json.dumps(values)) == card_with(classes={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "its model card has format 2, but this version reads formats up to 1"),
        ({"format": None}, "its model card is damaged: "),
        ({"inputs": {"image": {"kind": "sound"}}}, "{'kind': 'sound'} describes no input"),
        ({"inputs": {"image": {"kind": "picture", "channels": 7}}}, "its model card is damaged: `inputs` is "),
        ({"inputs": {"image": {"kind": "picture", "size": "large"}}}, "its model card is damaged: "),
        ({"inputs": {"image": {"kind": "numbers", "dtype": "O"}}}, "its model card is damaged: {'kind': 'numbers', "),
        ({"inputs": {"image": {"kind": "numbers", "dtype": "x"}}}, "its model card is damaged: "),
        ({"inputs": {"image": {"kind": "numbers", "shape": ["a"]}}}, "its model card is damaged: "),
        ({"inputs": ["image"]}, "its model card is damaged: "),
        ({"shapes": {"image": [{"least": 1}]}}, "its model card is damaged: "),
        ({"shapes": {"image": [{"minimum": "many"}]}}, "its model card is damaged: "),
        (
            {"shapes": {"image": [{"step": 0}]}},
            "its model card is damaged: {'minimum': 1, 'maximum': None, 'step': 0} ",
        ),
        ({"shapes": {"image": [{"minimum": 1.5}]}}, "its model card is damaged: `shapes` is "),
        ({"inputs": {"image": {"kind": "picture", "size": 8.5}}}, "its model card is damaged: `inputs` is "),
        ({"inputs": {"image": {"kind": "picture", "channels": True}}}, "its model card is damaged: `inputs` is "),
        ({"inputs": {"image": {"kind": "numbers", "dtype": None}}}, "its model card is damaged: `inputs` is "),
        (
            {"inputs": {"image": {"kind": "picture", "channels": 1, "size": 10**9}}},
            "its model card is damaged: `inputs` and `shapes` of 'image' differ",
        ),
        (
            {"inputs": {}, "shapes": {"x": [{"minimum": 10**12, "maximum": None, "step": 1}]}},
            "its model card is damaged: `shapes` of 'x' is too large",
        ),
        ({"classes": {"is_bright": 5}}, "its model card is damaged: `classes` is {'is_bright': 5}"),
        ({"classes": ["dark"]}, "its model card is damaged: `classes` is ['dark']"),
        ({"versions": [1]}, "its model card is damaged: `versions` is [1]"),
        ({"largest_picture": "4"}, "its model card is damaged: `largest_picture` is '4'"),
        ({"answers": {"\x1b[31m": "is_bright"}}, "its model card is damaged: '\\x1b[31m' is no name"),
        (
            {"\x1b[31m\n": 1},
            "its model card is damaged: ModelCard.__init__() got an unexpected keyword argument '\\x1b",
        ),
        ({"outputs": ["logits"]}, "its model card is damaged: "),
        ({"config": None}, "its model card is damaged: "),
        ({"author": "x"}, "its model card is damaged: "),
    ],
)
def test_card_that_cannot_be_read_has_a_message(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_card(json.dumps(json.loads(CARD.to_text()) | change))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}"])
def test_text_that_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^its model card is damaged: "):
        read_card(text)


@pytest.mark.parametrize(
    ("length", "allowed", "text"),
    [
        (Length(), [*range(1, 40)], "at least 1"),
        (Length(8, 8), [8], "8"),
        (Length(4, 20, 8), [4, 12, 20], "from 4 to 20 in steps of 8"),
        (Length(2, 5), [2, 3, 4, 5], "from 2 to 5"),
        (Length(16, None, 16), [16, 32], "at least 16 in steps of 16"),
    ],
    ids=["any", "fixed", "steps", "limits", "multiples"],
)
def test_length_allows_what_it_describes(length: Length, allowed: list[int], text: str) -> None:
    assert [number for number in range(40) if length.allows(number)] == allowed
    assert length.describe() == text
