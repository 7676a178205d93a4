"""Tests that follow the pages about data, with data of a reader."""

import csv
import json
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import project
from project.commands import main
from project.core.installation import COMMAND
from project.registry import DATASET_REGISTRY
from tests.contract import test_datasets as contract
from tests.template.conftest import ROOT
from tests.template.how_to.reader import Reader

SHORT = ("--trainer.max_epochs", "1", "--data.batch_size", "4", "--data.num_workers", "0", "--progress.val", "0")
SMALL_NET = ("--model.net.width", "4", "--model.net.blocks", "[1]")
SMALL_PICTURES = ("--data.train.dataset.size", "20", "--data.train.dataset.augmentation.random_crop.size", "16")
FLOWERS = (*SHORT, *SMALL_NET, *SMALL_PICTURES, "--data.val.dataset.size", "16")


def draw(file: Path, mode: str = "RGB", width: int = 24) -> None:
    """Write a picture of 18 x `width` random pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(file.name)).integers(256, size=(18, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)


def draw_classes(folder: Path, counts: Mapping[str, int]) -> None:
    """Write pictures of several kinds and sizes to a directory per class."""
    kinds = [("IMG {} (copy).JPG", "RGB"), ("grey.{}.jpeg", "L"), ("{}.png", "RGBA"), ("Ä {}.PNG", "P")]
    for name, count in counts.items():
        for number in range(count):
            file, mode = kinds[number % len(kinds)]
            draw(folder / name / file.format(number), mode, width=20 + 3 * number)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def config_of(run: Path) -> Any:
    return yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=False)["state_dict"]
    return weights


def test_picture_folder(reader: Reader) -> None:
    """Odd names, upper-case suffixes, grey and palette pictures, other files and an empty directory are no obstacle."""
    draw_classes(reader.folder / "flowers", {"Red Rose": 5, "x.y": 10, "gänse": 10, "z": 5})
    (reader.folder / "flowers/none").mkdir()
    (reader.folder / "flowers/Thumbs.db").write_text("no picture")
    draw_classes(reader.folder / "new_pictures", {"any": 3})
    shown = reader.follow("picture_folder", *FLOWERS)
    assert "no pictures in none, which counts as a class all the same" in shown
    run = reader.folder / "experiments/flowers"
    assert config_of(run)["model"]["net"]["num_classes"] == 5
    assert [*(run / "eval/validate/samples").glob("*.png")]
    rows = rows_of(run / "eval/validate/samples.csv")
    assert Counter(row["name"].partition("/")[0] for row in rows) == {"Red Rose": 1, "gänse": 2, "x.y": 2, "z": 1}
    assert json.loads((run / "eval/validate/metrics.json").read_text())["accuracy"] == pytest.approx(
        sum(row["prediction"] == row["target"] for row in rows) / 6
    )
    predicted = rows_of(run / "eval/predict_files/samples.csv")
    assert len(predicted) == 3
    assert {row["label_name"] for row in predicted} < {"Red Rose", "x.y", "gänse", "z", "none"}


def test_divided_picture_folder(reader: Reader) -> None:
    """A class that the validation pictures lack does not change the numbers of the others."""
    folder = reader.folder / "flowers"
    draw_classes(folder, {"a": 10, "b": 10, "c": 10})
    reader.follow("picture_folder", skip=".")
    for part, names in {"train": "abc", "val": "ac", "test": "bc"}.items():
        draw_classes(folder / part, dict.fromkeys(names, 4))
    reader.call("fit", "--config", "configs/divided.yaml", *SHORT, *SMALL_NET)
    run = reader.folder / "experiments/divided"
    reader.call("test", "--ckpt_path", str(run))
    rows = rows_of(run / "eval/test/samples.csv")
    assert [(row["name"][0], row["target"]) for row in rows] == [("b", "1")] * 4 + [("c", "2")] * 4


def test_own_dataset(reader: Reader) -> None:
    """The class of the page meets the contract of datasets, trains, and says how files are read."""
    for number in range(20):
        draw(reader.folder / f"flowers/{'rose' if number % 2 else 'daisy'}_{number}.jpg")
    draw_classes(reader.folder / "new_pictures", {"any": 3})
    reader.follow("own_dataset", *SHORT, *SMALL_NET, "--trainer.limit_train_batches", "1")
    run = reader.folder / "experiments/own"
    assert config_of(run)["model"]["net"]["num_classes"] == 2
    predicted = [row["label_name"] for row in rows_of(run / "eval/predict_files/samples.csv")]
    assert (len(predicted), {*predicted} <= {"daisy", "rose"}) == (3, True)
    photographs = Path("datasets/photographs")  # the page's `example` is beside its file
    shutil.copytree(Path(str(project.__file__)).parent / photographs, reader.folder / project.__name__ / photographs)
    cls = DATASET_REGISTRY.resolve("Flowers", "data.train")
    for name, check in vars(contract).items():
        if name.startswith("test_") and name != "test_order_depends_only_on_seed_and_epoch":
            check(cls)


def test_csv_table(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    """Rows with missing values count, those without a class do not, and new rows need no class."""
    folder = reader.folder / "data"
    folder.mkdir()

    def write(name: str, count: int, columns: Iterable[str]) -> None:
        lines = [
            {
                "Id": row,
                "age": "" if row % 5 == 0 else 20 + row,
                "income": "NA" if row % 7 == 0 else 1000.5 + row,
                "city": ["Ulm", "Bad Urach", "?"][row % 3],
                "note": f"said; {row}",
                "plan": ["basic", "Plus", "pro max", "none at all", ""][row % 5],
            }
            for row in range(count)
        ]
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*columns], delimiter=";", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(lines)

    write("customers.csv", 50, ("Id", "age", "income", "city", "note", "plan"))
    write("test.csv", 10, ("plan", "city", "income", "age"))
    write("new.csv", 6, ("age", "income", "city"))
    shown = reader.follow("csv_table", *SHORT)
    assert "data/customers.csv: 10 of 50 rows are left out, which lack plan, such as line 6" in shown
    run = reader.folder / "experiments/customers"
    net = config_of(run)["model"]["net"]
    assert (net["num_numeric"], net["cardinalities"], net["heads"]) == (2, [3], {"logits": 4})
    assert json.loads((run / "summary.json").read_text())["steps"] == 32 // 4
    assert [row["name"] for row in rows_of(run / "eval/test/samples.csv")] == [
        f"line {row + 2}" for row in range(10) if row % 5 < 4
    ]
    (command,) = re.findall(r"^`(tail .*)`$", (ROOT / "docs/how_to/csv_table.md").read_text(encoding="utf-8"), re.M)
    worst = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.splitlines()
    losses = [float(row["cross_entropy"]) for row in rows_of(run / "eval/test/samples.csv")]
    assert [float(line.split(",")[7]) for line in worst] == sorted(losses, reverse=True)
    assert json.loads((run / "eval/test/confusion_matrix.json").read_text())["classes"][0] == "Plus"
    predicted = rows_of(run / "eval/predict/samples.csv")
    assert [row["name"] for row in predicted] == [f"line {row}" for row in range(2, 8)]
    assert {row["label_name"] for row in predicted} <= {"basic", "Plus", "pro max", "none at all"}
    assert main(["predict", "--ckpt_path", str(run), "--files", "data/new.csv"]) == 2
    first, second = capfd.readouterr().err.splitlines()[-2:]
    assert first == "error: --files: data/new.csv has no column 'numeric_0'"
    given = f"{COMMAND} predict --ckpt_path {run} --data.predict.path {folder / 'new.csv'}"
    assert second.startswith("The net takes numeric: numbers (2) float32")
    assert second.endswith(f"If Table of this run can read the file: {given}")
    assert main([*shlex.split(second)[-5:], "--data.predict.labels", "{label: plan}"]) == 2
    assert capfd.readouterr().err.splitlines()[-1] == "If new rows lack it, set labels: null"


SEQUENCES: dict[str, Any] = {
    "texts": lambda row: "na" * (row % 5) + "ß",
    "tokens": lambda row: [row % 11] * (1 + row % 4),
    "vectors": lambda row: [[0.5, row, 2]] * (1 + row % 4),
}


@pytest.mark.parametrize(
    ("kind", "tokens", "features"),
    [
        ("tokens", 11, 0),
        pytest.param("texts", 257, 0, marks=pytest.mark.slow),
        pytest.param("vectors", 0, 3, marks=pytest.mark.slow),
    ],
)
def test_sequences(reader: Reader, kind: str, tokens: int, features: int) -> None:
    """A validation set that lacks a class and large tokens is read as the training set is."""
    (reader.folder / "data").mkdir()
    for name, count, classes in (("train", 12, "abcde"), ("val", 5, "ae"), ("test", 5, "e"), ("new", 3, None)):
        lines = [
            {"sequence": SEQUENCES[kind](row)} | ({"label": classes[row % len(classes)]} if classes else {})
            for row in range(count)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (reader.folder / f"data/{name}.jsonl").write_text(text, encoding="utf-8")
    reader.follow("sequences", *SHORT)
    run = reader.folder / "experiments/reviews"
    net = config_of(run)["model"]["net"]
    assert (net["num_classes"], net["num_tokens"], net["num_features"]) == (5, tokens, features)
    assert [row["target"] for row in rows_of(run / "eval/test/samples.csv")] == ["4"] * 5
    predicted = rows_of(run / "eval/predict/samples.csv")
    assert [row["name"] for row in predicted] == ["line 1", "line 2", "line 3"]


@pytest.mark.slow
def test_masks(reader: Reader) -> None:
    """Masks of 0 and 255, some of them saved as RGB, become two classes, and so do predicted ones."""
    for folder, count in (("cells", 10), ("cells/test", 2)):
        for number in range(count):
            draw(reader.folder / folder / f"images/Cell {number}.JPG")
            mask = np.zeros((18, 24), np.uint8)
            mask[:9] = 255
            file = reader.folder / folder / f"masks/Cell {number}.png"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(mask).convert("RGB" if number % 2 else "L").save(file)
    draw(reader.folder / "new_pictures/a.webp")
    size = [word for part in ("train.dataset", "val.dataset", "eval") for word in (f"--data.{part}.size", "16")]
    reader.follow("masks", *SHORT, *size, "--model.net.width", "2")
    run = reader.folder / "experiments/cells"
    assert config_of(run)["model"]["net"]["num_classes"] == 2
    assert [row["name"] for row in rows_of(run / "eval/test/samples.csv")] == ["Cell 0", "Cell 1"]
    assert 0 <= json.loads((run / "eval/test/metrics.json").read_text())["iou"] <= 1
    with Image.open(run / "eval/predict_files/mask/a.png") as predicted:
        assert (predicted.size, {*predicted.tobytes()} <= {0, 1}) == ((16, 16), True)
    three = ("--data.train.dataset.values", "[0, 128, 255]", "--print_config")
    tree = yaml.safe_load(reader.call("fit", "--config", "configs/cells.yaml", *three))["model"]
    assert (tree["net"]["num_classes"], tree["metric"]["iou"]["num_classes"]) == (3, 3)


@pytest.mark.slow
def test_several_datasets(reader: Reader) -> None:
    for place, count in (("studio", 2), ("phone", 4)):
        for part in ("train", "val", "test"):
            draw_classes(reader.folder / "data" / place / part, dict.fromkeys(["cup", "mug", "bowl", "jar"], count))
    small = [f"--data.{part}.{place}.size=16" for part in ("val", "eval") for place in ("studio", "phone")]
    reader.follow("several_datasets", *SHORT, *SMALL_NET, *small)
    run = reader.folder / "experiments/both"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["best"]["monitor"]) == (4 * (2 + 4) // 4, "val/phone/accuracy")
    assert len(rows_of(run / "eval/test/studio/samples.csv")) == 8
    assert len(rows_of(run / "eval/test/phone/samples.csv")) == 16


@pytest.mark.slow
def test_cross_validation(reader: Reader) -> None:
    """Each sample is predicted by the run that was not trained on it, and the folds have equal shares of classes."""
    draw_classes(reader.folder / "flowers", {"a": 6, "b": 4, "c": 4, "d": 4})
    draw(reader.folder / "new_pictures/1.jpg")
    shown = reader.follow("cross_validation", *FLOWERS, "--sweep.folds", "2")
    assert "validate/accuracy" in shown
    folder = reader.folder / "experiments/crossed"
    rows = rows_of(folder / "out_of_fold/0000/samples.csv")
    assert sorted(int(row["index"]) for row in rows) == [*range(18)]
    assert Counter((row["fold"], row["name"][0]) for row in rows) == Counter(
        {(fold, name): count for fold in "01" for name, count in {"a": 3, "b": 2, "c": 2, "d": 2}.items()}
    )
    for fold in "01":
        own = {row["name"] for row in rows_of(folder / f"0000_fold{fold}/eval/validate/samples.csv")}
        assert own == {row["name"] for row in rows if row["fold"] == fold}
    assert json.loads((folder / "out_of_fold/0000/metrics.json").read_text())["accuracy"]["n"] == 2
    assert len(rows_of(reader.folder / "answers/samples.csv")) == 1


@pytest.mark.slow
def test_class_weights(reader: Reader) -> None:
    """Balanced weights are those of the training part, and given ones are in the order of the classes."""
    draw_classes(reader.folder / "flowers", {"b": 5, "a": 10, "c": 5})
    shown = reader.follow("class_weights", *FLOWERS)
    assert "fitted model.loss.cross_entropy to 16 samples" in shown
    run = reader.folder / "experiments/balanced"
    expected = torch.tensor([16 / (3 * 8), 16 / (3 * 4), 16 / (3 * 4)])
    weights = [value for name, value in weights_of(run).items() if name.endswith("cross_entropy.weight")]
    torch.testing.assert_close(weights, [expected])
    assert "f1" in json.loads((run / "eval/validate/metrics.json").read_text())
    given = dict(project.load("experiments/weighted").named_buffers())
    assert [value.tolist() for name, value in given.items() if name.endswith("cross_entropy.weight")] == [[1, 5, 2.5]]


@pytest.mark.slow
def test_mixup(reader: Reader) -> None:
    """Training batches are mixed, with the number of classes of the data; validation has samples as they are."""
    draw_classes(reader.folder / "flowers", dict.fromkeys("abcdef", 5))
    reader.follow("mixup", *FLOWERS)
    reader.call("fit", "--config", "configs/mixed.yaml", *FLOWERS, "--name=plain", "--data.batch_augmentation", "null")
    mixed, plain = (reader.folder / "experiments" / name for name in ("mixed", "plain"))
    augmentation = config_of(mixed)["data"]["batch_augmentation"]
    assert [each["num_classes"] for each in augmentation.values()] == [6, 6]
    assert any(not torch.equal(value, weights_of(plain)[name]) for name, value in weights_of(mixed).items())
    assert sorted(row["target"] for row in rows_of(mixed / "eval/validate/samples.csv")) == [*"012345"]


def test_fast_loading(reader: Reader) -> None:
    """The table says how long the training waits for batches; all pictures of the experiment are in the cache."""
    draw_classes(reader.folder / "flowers", dict.fromkeys("abcd", 5))
    shown = reader.follow("fast_loading", *FLOWERS)
    assert "decoding 20 pictures into a cache: 24.0 kB in RAM" in shown
    table = (reader.folder / "experiments/timed/profile/fit-times.txt").read_text()
    calls = {name: int(line.split("|")[3]) for line in table.splitlines() for name in WAITED if name in line}
    assert calls == {"train_dataloader_next": 4, "run_training_batch": 4}


WAITED = ("train_dataloader_next", "run_training_batch")
