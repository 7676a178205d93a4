import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from project.datasets.arrays import Arrays, map_arrays

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


def test_object_arrays_are_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", a=np.array([{}, [1]], dtype=object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        Arrays("set.npz", data_dir=str(tmp_path))


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
    with pytest.raises(ValueError, match=re.escape(message)):
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
