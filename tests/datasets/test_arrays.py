import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from project.datasets.arrays import Arrays, map_arrays
from project.datasets.base import Picture

IMAGE = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3) * 8
LABEL = np.array([3, 1, 4, 1, 5], dtype=np.int32)


def save_folder(path: Path, **arrays: np.ndarray) -> None:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)


def save_by_hand(path: Path, **arrays: np.ndarray) -> None:
    """Write an archive whose zip headers differ from NumPy's."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())


Save = Callable[..., None]
FORMATS: list[tuple[str, Save]] = [
    ("set.npz", np.savez),
    ("packed.npz", np.savez_compressed),
    ("other.npz", save_by_hand),
    ("folder", save_folder),
]


@pytest.mark.parametrize(("name", "save"), FORMATS)
def test_samples_are_the_same_in_every_format(name: str, save: Save, tmp_path: Path) -> None:
    save(tmp_path / name, image=IMAGE, label=LABEL)
    dataset = Arrays(name, data_dir=str(tmp_path))
    assert len(dataset) == 5
    for i in range(5):
        sample = dataset[i]
        assert sample.keys() == {"image", "label"}
        torch.testing.assert_close(sample["image"], torch.tensor(IMAGE[i].tolist())[None] / 255)
        assert (sample["label"].item(), sample["label"].dtype) == (LABEL[i], torch.int64)
    copy = pickle.loads(pickle.dumps(dataset))
    for data in (dataset, copy):
        batch = data.__getitems__([4, 0, 0])
        for key in ("image", "label"):
            assert torch.equal(batch[key], torch.stack([dataset[4][key], dataset[0][key], dataset[0][key]]))


def test_an_npy_file_is_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.eye(3, dtype=np.float16))
    dataset = Arrays(str(tmp_path / "points.npy"), data_dir="/nowhere")
    assert isinstance(dataset.arrays["points"], np.memmap)
    assert dataset[1].keys() == {"points"}
    assert dataset[1]["points"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("name", "save"), [item for item in FORMATS if item[1] is not np.savez_compressed])
def test_uncompressed_arrays_are_mapped(name: str, save: Save, order: Any, dtype: str, tmp_path: Path) -> None:
    arrays = {
        "a_long_name_that_moves_what_follows": np.ones(7, dtype),
        "a": np.arange(24).reshape(4, 3, 2).astype(dtype, order),
        "empty": np.ones((4, 0), dtype),
        "b": np.arange(6).reshape(1, 6).astype(dtype, order),
    }
    save(tmp_path / name, **arrays)
    mapped = map_arrays(tmp_path / name)
    assert mapped.keys() == arrays.keys()
    for key, array in arrays.items():
        assert isinstance(mapped[key], np.memmap)
        assert (mapped[key].dtype, mapped[key].shape) == (array.dtype, array.shape)
        assert np.array_equal(mapped[key], array)
        assert not mapped[key].flags.writeable
        assert mapped[key].flags.f_contiguous == array.flags.f_contiguous


def test_a_mapped_array_is_read_on_access(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, a=np.full(1000, 7, dtype=np.uint8))
    mapped = map_arrays(path)["a"]
    with path.open("r+b") as file:
        file.seek(file.read().index(b"\7" * 1000))
        file.write(b"\1")
    assert mapped[:2].tolist() == [1, 7]


def test_compressed_arrays_are_loaded(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", a=IMAGE, b=np.asfortranarray(IMAGE))
    loaded = map_arrays(tmp_path / "set.npz")
    assert np.array_equal(loaded["a"], IMAGE)
    assert np.array_equal(loaded["b"], IMAGE)
    assert not isinstance(loaded["a"], np.memmap)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[True, False]]), torch.tensor([True, False])),
        (np.array([[1, -2]], dtype=np.int16), torch.tensor([1, -2])),
        (np.array([[1, 65535]], dtype=np.uint16), torch.tensor([1, 65535])),
        (np.array([[1, 255]], dtype=np.uint8), torch.tensor([1, 255])),  # not a picture
        (np.array([[2**40]], dtype=np.int64), torch.tensor([2**40])),
        (np.array([[0.5, -1]], dtype=np.float16), torch.tensor([0.5, -1])),
        (np.array([[0.1, 1e9]], dtype=np.float64), torch.tensor([0.1, 1e9])),
        (np.array([7], dtype=np.int8), torch.tensor(7)),
        (np.array([7], dtype=np.uint8), torch.tensor(7)),
        (np.array([[[0, 51]]], dtype=np.uint8), torch.tensor([[[0, 0.2]]])),
        (np.array([[[[0]], [[51]], [[255]]]], dtype=np.uint8), torch.tensor([[[0]], [[0.2]], [[1]]])),
        (np.array([[[1, 2]]], dtype=np.int32), torch.tensor([[1, 2]])),
        (np.array([[[0.5, 255]]], dtype=np.float32), torch.tensor([[0.5, 255]])),
    ],
    ids=lambda value: f"{value.dtype}-{value.ndim}" if isinstance(value, np.ndarray) else "",
)
def test_dtypes_and_picture_shapes(array: np.ndarray, expected: Tensor, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    torch.testing.assert_close(
        Arrays("a.npy", ["a"] if array.ndim > 2 else [], data_dir=str(tmp_path))[0]["a"], expected
    )


def test_only_pictures_are_scaled(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", image=IMAGE, mask=IMAGE)
    sample = Arrays("set.npz", data_dir=str(tmp_path))[1]
    assert torch.equal(sample["mask"], torch.tensor(IMAGE[1].tolist()))
    torch.testing.assert_close(sample["image"], sample["mask"][None] / 255)


@pytest.mark.parametrize(("name", "save"), FORMATS)
@pytest.mark.parametrize(
    "array",
    [
        np.array([2**63 + 1, 1], dtype=np.uint64),
        np.array([1, 2], dtype=np.longdouble),
        np.array([1, 2], dtype=np.clongdouble),
        np.array(["a", "b"]),
        np.array([b"a", b"b"]),
        np.array(["2026-01-01"], dtype="M8[s]"),
        np.array([3], dtype="m8[s]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_dtypes_without_a_tensor_of_equal_values_are_refused(
    array: np.ndarray, name: str, save: Save, tmp_path: Path
) -> None:
    save(tmp_path / name, a=array)
    with pytest.raises(OSError, match=r"cannot be read: its dtype .* has no tensor of equal values") as caught:
        Arrays(name, data_dir=str(tmp_path))
    assert caught.value.errno is None


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", a=np.array([{}, [1]], dtype=object))
    with pytest.raises(
        OSError, match=r"set\.npz, a\.npy cannot be read: its dtype object has no tensor of equal values"
    ):
        Arrays("set.npz", data_dir=str(tmp_path))


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_numbers_keep_their_imaginary_part(dtype: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1 + 2j, 3 - 4j], dtype=dtype))
    batch = Arrays("a.npy", data_dir=str(tmp_path)).__getitems__([0, 1])["a"]
    assert (batch.dtype, batch.tolist()) == (torch.complex64, [1 + 2j, 3 - 4j])


@pytest.mark.parametrize(("name", "save"), FORMATS)
@pytest.mark.parametrize("dtype", [">u2", ">i4", ">i8", ">f2", ">f4", ">f8", ">c8"])
def test_values_of_the_other_byte_order_are_the_same(dtype: str, name: str, save: Save, tmp_path: Path) -> None:
    values = np.arange(6).reshape(3, 2)
    save(tmp_path / name, a=values.astype(dtype), b=np.asfortranarray(values.astype(dtype)))
    batch = Arrays(name, data_dir=str(tmp_path)).__getitems__([2, 0])
    assert batch["a"].tolist() == batch["b"].tolist() == [[4, 5], [0, 1]]


def build_file(shape: str, descr: str = "'<f4'", data: int = 16, version: int = 1) -> bytes:
    """Return an .npy file with any header and a number of bytes after it."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(data)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "longer than its data": (build_file("(5,)"), "it is damaged: (5,) float32 takes 20 bytes, but there are 16"),
    "longer than any memory": (build_file(f"({2**62}, 4)"), "it is damaged: "),
    "longer than any integer": (build_file(f"({10**30},)"), "it is damaged: "),
    "empty and too long": (build_file(f"(0, {10**30})"), ""),
    "negative": (build_file("(-4,)"), "its shape is (-4,); it must be (N, ...), with a row for each of N samples"),
    "twice negative": (build_file("(-2, -2)"), "its shape is (-2, -2)"),
    "scalar": (build_file("()"), "its shape is ()"),
    "truth value": (build_file("(True,)"), "its shape is (True,)"),
    "float": (build_file("(4.0,)"), "shape is not valid: (4.0,)"),
    "array of arrays": (build_file("(2,)", "('<f4', (2,))"), "its dtype ('<f4', (2,)) has no tensor"),
    "no dtype": (build_file("(4,)", "'xx'"), "descr is not a valid dtype descriptor: 'xx'"),
    "code": (build_file("(4,)", "__import__('os')"), "malformed node or string"),
    "nested": (build_file("(4,)", "(" * 500 + ")" * 500), ""),
    "unknown version": (build_file("(4,)", version=9), "its format has version 9; known: 1 to 3"),
    "text": (b"hello world", "the magic string is not correct"),
    "nothing": (b"", "EOF: reading magic string"),
    "cut magic": (b"\x93NUM", "EOF: reading magic string"),
    "cut header": (b"\x93NUMPY\x01\x00\xff\xff{}", "EOF: reading array header"),
}


@pytest.mark.parametrize("name", ["a.npy", "stored.npz", "packed.npz"])
@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused(content: bytes, reason: str, name: str, tmp_path: Path) -> None:
    """They are not read beyond their end, and their header does not decide how much memory is taken."""
    path = tmp_path / name
    if name == "a.npy":
        path.write_bytes(content)
    else:
        compression = zipfile.ZIP_STORED if name == "stored.npz" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("a.npy", content)
            archive.writestr("b.npy", bytes(1000))
    with pytest.raises(OSError, match=re.escape(f" cannot be read: {reason}")) as caught:
        Arrays(name, data_dir=str(tmp_path))
    assert caught.value.errno is None
    assert str(caught.value).startswith(str(path))


def test_array_does_not_contain_bytes_of_the_next_member(tmp_path: Path) -> None:
    """Both the array's header and the archive's directory claim them."""
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", build_file("(12000,)", "'|u1'", data=10_000))
        archive.writestr("secret.npy", build_file("(8000,)", "'|u1'", data=8000))
        size = archive.getinfo("a.npy").file_size + 2000
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2")
    content[entry + 20 : entry + 28] = struct.pack("<II", size, size)
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"overlap|Overlap"):
        Arrays("set.npz", data_dir=str(tmp_path))


@pytest.mark.parametrize("length", [0, 5, -1])
def test_damaged_archives_are_refused(length: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", a=IMAGE)
    content = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(content[:length])
    with pytest.raises(OSError, match=r"set\.npz cannot be read: File is not a zip file"):
        Arrays("set.npz", data_dir=str(tmp_path))


@pytest.mark.parametrize("version", [2, 3])
def test_later_versions_of_the_format_are_mapped(version: int, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(build_file("(4,)", version=version))
    assert isinstance(map_arrays(tmp_path / "a.npy")["a"], np.memmap)
    assert Arrays("a.npy", data_dir=str(tmp_path)).__getitems__([0, 3])["a"].tolist() == [0, 0]


def test_other_members_of_an_archive_are_ignored(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", a=IMAGE)
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("README.txt", "text")
    assert map_arrays(tmp_path / "set.npz").keys() == {"a"}


def test_a_spawned_worker_maps_the_file_itself(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", a=np.zeros((1000, 1000)))
    pickled = pickle.dumps(Arrays("set.npz", data_dir=str(tmp_path)))
    assert len(pickled) < 10_000
    assert isinstance(pickle.loads(pickled).arrays["a"], np.memmap)


def test_writing_to_samples_does_not_change_the_arrays(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", a=np.ones((3, 2), dtype=np.float32))
    dataset = Arrays("set.npz", data_dir=str(tmp_path))
    dataset[0]["a"].zero_()
    dataset.__getitems__([0, 1])["a"].zero_()
    assert (dataset.arrays["a"] == 1).all()


@pytest.mark.parametrize(("name", "save"), FORMATS)
def test_arrays_of_unequal_length_are_an_error(name: str, save: Save, tmp_path: Path) -> None:
    save(tmp_path / name, image=IMAGE, label=LABEL[:4])
    message = f"{tmp_path / name}: the arrays differ in length: {{'image': 5, 'label': 4}}"
    with pytest.raises(OSError, match=re.escape(message)):
        Arrays(name, data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["no.npz", "no.npy", "no"])
def test_a_missing_path_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
        Arrays(name, data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_no_arrays_are_an_error(name: str, tmp_path: Path) -> None:
    dict(FORMATS)[name](tmp_path / name)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / name} contains no arrays")):
        Arrays(name, data_dir=str(tmp_path))


def test_augmentation_gets_whole_batches(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(3, 2))
    shapes = []

    def double(sample: dict[str, Tensor]) -> dict[str, Tensor]:
        shapes.append(sample["a"].shape)
        return {"a": sample["a"] * 2}

    dataset = Arrays(str(tmp_path / "a.npy"), augmentation={"double": double})  # type: ignore[dict-item]
    assert dataset.__getitems__([2, 0])["a"].tolist() == [[8, 10], [0, 2]]
    assert dataset[1]["a"].tolist() == [4, 6]
    assert shapes == [(2, 2), (1, 2)]


def test_square_uint8_pictures_are_described(tmp_path: Path) -> None:
    """Others are left to the sample: a picture that is read is square, and grey or RGB."""
    shapes = {"grey": (2, 4, 4), "one": (2, 1, 4, 4), "rgb": (2, 3, 5, 5), "wide": (2, 4, 5), "many": (2, 2, 4, 4)}
    arrays: dict[str, Any] = {name: np.zeros(shape, dtype=np.uint8) for name, shape in shapes.items()}
    np.savez(tmp_path / "a.npz", **arrays, other=arrays["grey"], floats=np.zeros((2, 4, 4), dtype=np.float32))
    dataset = Arrays(str(tmp_path / "a.npz"), pictures=[*shapes, "floats", "absent"])
    assert dataset.raw == {"grey": Picture(1, 4), "one": Picture(1, 4), "rgb": Picture(3, 5)}
    for name, picture in dataset.raw.items():
        assert picture.read(dataset[0][name].numpy()).shape == dataset[0][name].shape
