"""Prediction with model.onnx: answers by name, batches, and messages for inputs and files that are not valid."""

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import project
from project.deploy.inputs import InputError, Numbers
from project.deploy.model_card import METADATA_KEY, Length
from project.deploy.predictor import Predictor
from tests.conftest import slow_except
from tests.deploy.demo.nets import write_lookup
from tests.deploy.onnx_files import CARD, card_with, write_model

OFFSET = [1.0, 2.0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model."""
    return write_model(tmp_path_factory.mktemp("models") / "model.onnx")


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    """Return its predictor."""
    return Predictor(model)


def picture(value: float, height: int = 4, width: int = 4) -> np.ndarray:
    """Return a grey picture."""
    return np.full((1, height, width), value, np.float32)


def samples() -> Iterator[dict[str, Any]]:
    """Yield 80 samples of two sizes in turn, more of each than go through the net together."""
    for number in range(80):
        yield {"image": picture(number / 80, 4 + 2 * (number % 2)), "offset": [number, 1]}


def test_answers_are_those_of_the_card_without_the_batch(predictor: Predictor) -> None:
    answer = predictor.predict(image=picture(0.75), offset=OFFSET)
    assert {name: (value.shape, value.dtype.name) for name, value in answer.items()} == {
        "shifted": ((2,), "float32"),
        "is_bright": ((), "int64"),
    }
    assert answer["shifted"].tolist() == [1.75, 2.75]
    assert predictor.card.classes["is_bright"][answer["is_bright"]] == "bright"


def test_run_returns_all_outputs_by_their_names_in_the_graph(predictor: Predictor) -> None:
    batch = {"image": np.stack([picture(0.25), picture(0.5)]), "offset": np.zeros((2, 2), np.float32)}
    outputs = predictor.run(batch)
    assert {name: value.tolist() for name, value in outputs.items()} == {
        "brightness": [0.25, 0.5],
        "net_shifted": [[0.25, 0.25], [0.5, 0.5]],
        "is_bright": [0, 0],
    }


def test_batch_gives_the_answers_of_single_samples_in_order(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = [predictor.predict(**sample) for sample in samples()]
    sizes: list[tuple[int, ...]] = []

    def run(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        sizes.append(batch["image"].shape)
        return Predictor.run(predictor, batch)

    monkeypatch.setattr(predictor, "run", run)
    together = predictor.predict_batch(samples())
    for one, other in zip(single, together, strict=True):
        np.testing.assert_equal(one, other)
    assert [answer["shifted"][0] for answer in together] == pytest.approx([81 / 80 * i for i in range(80)], rel=1e-6)
    assert sizes == [(32, 1, 4, 4), (8, 1, 4, 4), (32, 1, 6, 4), (8, 1, 6, 4)]
    assert predictor.predict_batch([]) == []


def test_answer_of_a_sample_does_not_keep_the_batch_in_memory(predictor: Predictor) -> None:
    answers = predictor.predict_batch(samples())
    assert {value.base is None for answer in answers for value in answer.values()} == {True}


def test_output_without_rows_is_that_of_the_sample_alone(tmp_path: Path) -> None:
    card = card_with(answers={"total": "total", "shifted": "net_shifted"})
    answers = Predictor(write_model(tmp_path / "model.onnx", card)).predict_batch(samples())
    assert [float(answer["total"]) for answer in answers] == pytest.approx([i / 80 for i in range(80)])
    assert answers[3]["shifted"].shape == (2,)


def test_copy_opens_the_file_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in another directory: where a pool of processes starts."""
    monkeypatch.chdir(model.parent)
    data = pickle.dumps(Predictor(model.name, threads=2))
    monkeypatch.chdir(tmp_path)
    copied = pickle.loads(data)
    assert (copied.path, copied.threads, copied.card) == (model, 2, CARD)
    assert copied.predict(image=picture(0.75), offset=OFFSET)["shifted"].tolist() == [1.75, 2.75]


@pytest.mark.parametrize("method", slow_except(["fork", "spawn"], "fork"))
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_processes_share_a_predictor(method: str, model: Path) -> None:
    """Also one that has been used, of which a fork has no threads."""
    predictor = Predictor(model, threads=2)
    arrays = [predictor.read(sample) for _, sample in zip(range(4), samples(), strict=False)]
    expected = predictor.predict_arrays(arrays)
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map_async(predictor.predict_arrays, [[each] for each in arrays]).get(60)
    for (given,), each in zip(results, expected, strict=True):
        np.testing.assert_equal(given, each)


def test_read_gives_arrays_that_the_net_takes(predictor: Predictor) -> None:
    arrays = predictor.read({"offset": [1, 2], "image": picture(0.5).astype(np.float64)})
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "image": ((1, 4, 4), "float32"),
        "offset": ((2,), "float32"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "the input 'image' is missing. The inputs are: image, offset"),
        ({"imgae": 1}, "no input is called 'imgae'; did you mean 'image'? The inputs are: image, offset"),
        ({"zzz": 1}, "no input is called 'zzz'. The inputs are: image, offset"),
        ({"image": picture(0.5, 5)}, "image: its height is 5; it must be from 4 to 12 in steps of 2"),
        ({"image": picture(0.5, 4, 14)}, "image: its width is 14; it must be from 4 to 12 in steps of 2"),
        ({"image": picture(0.5, 2)}, "image: its height is 2; it must be from 4 to 12 in steps of 2"),
    ],
    ids=["missing", "misspelled", "unknown", "odd", "large", "small"],
)
def test_input_that_is_not_valid_has_a_message(change: dict[str, Any], message: str, predictor: Predictor) -> None:
    sample = {"image": picture(0.5), "offset": OFFSET} | change
    sample = {name: value for name, value in sample.items() if value is not None}
    with pytest.raises(InputError) as raised:
        predictor.predict(**sample)
    assert str(raised.value) == message
    with pytest.raises(InputError) as raised:
        predictor.predict_batch([{"image": picture(0.5), "offset": OFFSET}, sample])
    assert str(raised.value) == f"sample 1: {message}"


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (Length(3, 3), "offset: its length of dimension 0 is 2; it must be 3"),
        (Length(3), "offset: its length of dimension 0 is 2; it must be at least 3"),
        (Length(5, None, 4), "offset: its length of dimension 0 is 2; it must be at least 5 in steps of 4"),
    ],
    ids=["fixed", "minimum", "steps"],
)
def test_length_of_numbers_is_checked(length: Length, message: str, tmp_path: Path) -> None:
    card = card_with(inputs={**CARD.inputs, "offset": Numbers((None,))}, shapes={**CARD.shapes, "offset": (length,)})
    with pytest.raises(InputError, match=message):
        Predictor(write_model(tmp_path / "model.onnx", card)).predict(image=picture(0.5), offset=OFFSET)


def test_shapes_that_the_graph_refuses_have_a_message(predictor: Predictor) -> None:
    with pytest.raises(InputError, match=r"model.onnx does not take image \(1, 4\) float32, offset \(1, 2\) float32: "):
        predictor.run({"image": np.zeros((1, 4), np.float32), "offset": np.zeros((1, 2), np.float32)})


def test_category_that_the_net_does_not_know_is_named(tmp_path: Path) -> None:
    predictor = Predictor(write_lookup(tmp_path / "model.onnx"))
    assert predictor.predict(region=3)["price"] == 4
    with pytest.raises(InputError, match=r"^region: 4 is not valid; it must be from 0 to 3$"):
        predictor.predict(region=4)


DAMAGED = "cannot be used: its model card is damaged: "


@pytest.mark.parametrize(
    ("values", "extra", "message"),
    [
        ({"inputs": {"picture": Numbers()}}, {}, "but its model card describes picture"),
        ({"shapes": {}}, {}, "but its model card describes image, offset"),
        ({"shapes": {**CARD.shapes, "offset": ()}}, {}, "'offset' has 2 dimensions, but its model card describes 0"),
        ({"answers": {"label": "label"}}, {}, "its graph has no output 'label', which its model card describes"),
        ({"outputs": ["brightness"]}, {}, DAMAGED),
        ({"config": 3}, {}, DAMAGED),
        ({}, {METADATA_KEY: "{"}, DAMAGED),
        ({}, {METADATA_KEY: '{"format": 1}'}, DAMAGED),
        ({}, {METADATA_KEY: '{"format": 2}'}, "has format 2, but this version reads formats up to 1"),
    ],
    ids=["input", "shapes", "dimensions", "output", "mapping", "config", "no JSON", "empty", "newer"],
)
def test_file_whose_card_does_not_fit_is_refused(
    values: dict[str, Any], extra: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "model.onnx", card_with(**values), extra=extra)
    with pytest.raises(InputError) as raised:
        Predictor(path)
    assert str(raised.value).startswith(f"{path} cannot be used: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def write_with_output(path: Path, kind: str) -> Path:
    """Write a model whose output `is_bright` has a type of ONNX."""
    import onnx
    from onnx import TensorProto, helper

    content = onnx.load(str(write_model(path)))
    cast = next(node for node in content.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = TensorProto.DataType.Value(kind)
    output = next(item for item in content.graph.output if item.name == "is_bright")
    output.CopyFrom(helper.make_tensor_value_info("is_bright", cast.attribute[0].i, ["batch"]))
    onnx.save(content, str(path))
    return path


@pytest.mark.parametrize("kind", ["STRING", "BFLOAT16"])
def test_output_that_is_no_array_of_numbers_is_refused(kind: str, tmp_path: Path) -> None:
    """NumPy has no bfloat16."""
    with pytest.raises(
        InputError, match=rf"its graph returns 'is_bright' as tensor\({kind.lower()}\), which is no arr"
    ):
        Predictor(write_with_output(tmp_path / "model.onnx", kind))


def test_output_with_another_number_of_rows_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of a stranger may return something else than it declares."""
    predictor = Predictor(model)
    outputs = {"net_shifted": np.zeros((0, 2), np.float32), "is_bright": np.zeros(1, np.int64)}
    monkeypatch.setattr(predictor, "run", lambda batch: outputs)
    with pytest.raises(InputError, match=r"^model.onnx returns 'net_shifted' with the shape \(0, 2\) for 1 samples$"):
        predictor.predict(image=picture(0.5), offset=OFFSET)


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "half"])
def test_damaged_file_is_refused(content: bytes | None, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.read_bytes()[:300] if content is None else content)
    with pytest.raises(InputError) as raised:
        Predictor(path)
    assert str(raised.value).startswith(f"{path} is damaged, or not an ONNX file: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after"), [(b"brightness", b"brightnes\xff"), (b"tiny", b"tin\xff"), (b"Unsqueeze", b"Unsqueez\xff")]
)
def test_text_that_is_not_utf8_is_refused(
    before: bytes, after: bytes, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed byte in a name of the graph, in the card, or in an operation, of which onnxruntime prints errors."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model.read_bytes().replace(before, after))
    with pytest.raises(InputError, match=r"model.onnx is damaged"):
        Predictor(path)
    assert capsys.readouterr() == ("", "")


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing.onnx does not exist$"):
        Predictor(tmp_path / "nothing.onnx")
    with pytest.raises(InputError, match=r" is not a file$"):
        Predictor(tmp_path)


def test_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", None)
    with pytest.raises(InputError, match=r"model\.onnx has no model card: `cli\.py export` did not write it$"):
        Predictor(path)


def test_missing_onnxruntime_has_the_command_that_installs_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"^exported models need onnxruntime: pip install onnxruntime$"):
        Predictor(model)


def test_predictor_needs_no_torch(model: Path) -> None:
    """The package imports neither torch nor NumPy, and its `Predictor` no torch."""
    code = (
        f"import sys, {project.__name__} as package\n"
        "heavy = {'torch', 'numpy'} & set(sys.modules)\n"
        "import numpy\n"
        f"answer = package.Predictor({str(model)!r}).predict(image=numpy.full((1, 4, 4), 0.5), offset=[1, 2])\n"
        "print(heavy, answer['shifted'].tolist(), {'torch', 'pytorch_lightning'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("set() [1.5, 2.5] set()\n", "")


def test_project_has_no_other_lazy_attribute() -> None:
    assert project.Predictor is Predictor
    with pytest.raises(AttributeError, match=f"module '{project.__name__}' has no attribute 'Predicter'"):
        project.Predicter  # type: ignore[attr-defined]  # noqa: B018
