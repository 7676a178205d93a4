"""Files of exported models: what they compute, and what is in them."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, user_message
from project.core.export import files
from project.core.export.files import check_packages, write_onnx, write_pt2
from project.core.export.graph import Graph
from project.core.export.tracing import trace
from project.deploy.inputs import Input, InputError, Numbers, Picture
from project.deploy.model_card import METADATA_KEY, ModelCard, read_card
from project.deploy.predictor import Predictor
from project.models.base import Model
from tests.core.export import nets
from tests.core.export.test_tracing import line_of


@dataclass
class Exported:
    """A net with its two files."""

    graph: Graph
    program: torch.export.ExportedProgram
    card: ModelCard
    onnx: Path
    pt2: Path


def export(net: Model, batch: Tensors, raw: Mapping[str, Input], folder: Path) -> Exported:
    graph = Graph(nets.supervised(net), batch)
    inputs = nets.described(graph, batch, raw)
    program, lengths = trace(graph, batch, inputs)
    card = nets.card_of(graph, inputs, lengths)
    write_onnx(program, graph, card, folder / "model.onnx")
    write_pt2(program, card, folder / "model.pt2")
    return Exported(graph, program, card, folder / "model.onnx", folder / "model.pt2")


@pytest.fixture(scope="module")
def conv(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a net for pictures of any size."""
    return export(nets.Conv(), nets.pictures(), {"image": Picture(3)}, tmp_path_factory.mktemp("conv"))


@pytest.fixture(params=["onnx", "pt2"])
def run(request: pytest.FixtureRequest) -> Callable[[Exported, Tensors], dict[str, Any]]:
    """Return a function that runs a file."""

    def run_onnx(exported: Exported, batch: Tensors) -> dict[str, Any]:
        arrays = Predictor(exported.onnx).run({name: batch[name].numpy() for name in exported.graph.inputs})
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def run_pt2(exported: Exported, batch: Tensors) -> dict[str, Any]:
        module = torch.export.load(exported.pt2).module()
        return dict(module(*(batch[name] for name in exported.graph.inputs)))

    return run_onnx if request.param == "onnx" else run_pt2


def assert_same(exported: Exported, batch: Tensors, found: dict[str, Any]) -> None:
    with torch.no_grad():
        expected = exported.graph(*(batch[name] for name in exported.graph.inputs))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_files_compute_what_the_net_computes(conv: Exported, run: Any) -> None:
    """For other batches and sizes than the traced one."""
    for batch in (nets.pictures(), nets.pictures(9, 30, 1)):
        assert_same(conv, batch, run(conv, batch))


def test_names_and_dimensions_of_the_onnx_file(conv: Exported) -> None:
    session = Predictor(conv.onnx).session
    assert {value.name: value.shape for value in session.get_inputs()} == {"image": ["batch", 3, "height", "width"]}
    assert {value.name: value.shape for value in session.get_outputs()} == {
        "logits": ["batch", 2, "height", "width"],
        "mask": ["batch", "height", "width"],
        "value": ["batch", "height", "width"],
    }


def test_card_is_in_both_files(conv: Exported) -> None:
    files = {f"{METADATA_KEY}.json": ""}
    torch.export.load(conv.pt2, extra_files=files)
    metadata = Predictor(conv.onnx).session.get_modelmeta()
    assert list(metadata.custom_metadata_map) == [METADATA_KEY]
    for text in (files[f"{METADATA_KEY}.json"], metadata.custom_metadata_map[METADATA_KEY]):
        assert read_card(text) == conv.card


def contents(exported: Exported) -> Iterator[bytes]:
    """Yield what is in both files."""
    yield exported.onnx.read_bytes()
    with zipfile.ZipFile(exported.pt2) as archive:
        yield from map(archive.read, archive.namelist())
        yield "\n".join(archive.namelist()).encode()


def test_files_contain_neither_paths_nor_pictures(conv: Exported) -> None:
    """Both formats hold stack traces with absolute paths, and model.pt2 its example inputs, unless removed."""
    picture = nets.pictures()["image"]
    samples = [picture.numpy().tobytes()[:64], picture[:1].numpy().tobytes()[:64]]
    paths = [str(Path(__file__).parent), str(Path.home()), str(Path(torch.__file__).parent), "/tmp/", ".py"]
    for content in contents(conv):
        for text in [*samples, *(path.encode() for path in paths)]:
            assert text not in content, text


@pytest.mark.slow
def test_files_of_a_program_are_equal_and_nothing_is_printed(
    conv: Exported, tmp_path: Path, capfd: Any, recwarn: pytest.WarningsRecorder
) -> None:
    """Whatever the files are called, and with mixed precision as well, which torch would store."""
    with torch.autocast("cpu", torch.bfloat16):
        write_onnx(conv.program, conv.graph, conv.card, tmp_path / "other.onnx")
    write_pt2(conv.program, conv.card, tmp_path / "other.pt2")
    assert (tmp_path / "other.onnx").read_bytes() == conv.onnx.read_bytes()
    assert (tmp_path / "other.pt2").read_bytes() == conv.pt2.read_bytes()
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.slow
@pytest.mark.parametrize("net", [nets.SameNames, nets.NamedLikeOperation])
def test_names_that_occur_twice(net: type[Model], run: Any, tmp_path: Path) -> None:
    """An output may be called like an input, and both like an operation, or a value that `predict` changes."""
    batch = nets.vectors(cat=torch.ones(3, 2))
    exported = export(net(), batch, {}, tmp_path)
    assert_same(exported, batch, run(exported, batch))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_sequences_of_any_length(kind: str, run: Any, tmp_path: Path) -> None:
    raw: dict[str, Input] = {"sequence": Numbers((None, 3)), "mask": Numbers((None,), "bool")}
    exported = export(nets.Recurrent(kind), nets.sequences(), raw, tmp_path)
    for length, count in ((5, 3), (11, 1), (2, 2)):
        batch = nets.sequences(length, count)
        assert_same(exported, batch, run(exported, batch))


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_tokens_that_torch_refuses(dtype: torch.dtype, tmp_path: Path) -> None:
    """ONNX would count those below 0 from the end, and answer."""
    batch = {"token": torch.tensor([0, 1, 2], dtype=dtype)}
    exported = export(nets.Tokens(), batch, {"token": Numbers((), str(dtype).removeprefix("torch."))}, tmp_path)
    predictor = Predictor(exported.onnx)
    answers = predictor.predict_batch([{"token": token} for token in (0, 1, 2)])
    assert [answer["y"].tolist() for answer in answers] == exported.graph(batch["token"])["y"].tolist()
    for token in (-1, -3, 3):
        with pytest.raises(InputError, match="out of data bounds"):
            predictor.predict(token=token)


def test_operation_without_counterpart_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        export(nets.WithoutCounterpart(), nets.vectors(), {}, tmp_path)
    assert user_message(caught.value) == (
        "model.net (WithoutCounterpart) cannot be written as ONNX: it has no aten._linalg_svd\n"
        f"{line_of(nets.WithoutCounterpart, 'svd')}\nUse another operation, or `--formats pt2`"
    )
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_the_limit_of_onnx(conv: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before anything is computed or written."""
    monkeypatch.setattr(files, "_LARGEST", 4 * (2 * 3 * 3 * 3 + 2) - 1)  # a byte less than the net has
    monkeypatch.delattr(torch.onnx, "export")
    with pytest.raises(
        ConfigError, match=r"^the weights have 0\.0 GB, but an ONNX file takes at most 2 GB; use `--for"
    ):
        write_onnx(conv.program, conv.graph, conv.card, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ConfigError) as caught:
        check_packages()
    assert user_message(caught.value) == (
        "export needs the packages onnx, onnxscript and onnxruntime: pip install -c constraints.txt -e '.[export]'"
    )
    monkeypatch.undo()
    check_packages()
