"""The examples digits and denoise give the same numbers in `test`, `predict`, `Predictor` and over HTTP."""

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from project.core.export import exporting
from project.datasets.digits import Digits
from project.datasets.photographs import Photographs
from tests.conftest import CONFIGS, Cli
from tests.deploy.server.conftest import Client

Answers = list[tuple[int, float]]  # label and probability of each sample
ONNX = "export/model.onnx"


def run(cli: Cli, *argv: object) -> None:
    """Call the command line, which must succeed."""
    ran = cli(*map(str, argv))
    assert ran.code == 0, ran.err


def post(client: Client, files: Sequence[Path], way: str) -> list[dict[str, Any]]:
    """Return what a server predicts of pictures that are sent one by one, or 50 at once in JSON or a form."""
    predictions = []
    for start in range(0, len(files), count := 1 if way == "raw" else 50):
        body, kind = encode(files[start : start + count], way)
        answer = client.request("POST", "/predict", body, Content_Type=kind)
        assert answer.status == 200, answer.body
        predictions += answer.json["predictions"]
    return predictions


def encode(files: Sequence[Path], way: str) -> tuple[bytes, str]:
    """Return the body of a request, and its type."""
    pictures = [file.read_bytes() for file in files]
    if way == "raw":
        return pictures[0], "image/png"
    if way == "json":
        return json.dumps(
            [{"image": base64.b64encode(each).decode()} for each in pictures]
        ).encode(), "application/json"
    head = b'--limit\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    parts = b"".join(head + each + b"\r\n" for each in pictures)
    return parts + b"--limit--\r\n", "multipart/form-data; boundary=limit"


def pairs(answers: Iterable[Mapping[str, Any]]) -> Answers:
    """Return label and probability of each answer."""
    return [(int(answer["label"]), float(answer["probability"])) for answer in answers]


def read_rows(folder: Path) -> Answers:
    """Return label and probability in the samples.csv of `predict` or `test`."""
    with (folder / "samples.csv").open(newline="") as file:
        rows = [{key.removeprefix("prediction."): value for key, value in row.items()} for row in csv.DictReader(file)]
    return pairs({"label": row.get("prediction")} | row for row in rows)


def evaluate(cli: Cli, run_dir: str, eval_set: Sequence[object], *batch: object) -> dict[str, Path]:
    """Return the results of `test` and `predict` of a dataset, by the checkpoint and by the file."""
    results = {}
    for model in (run_dir, f"{run_dir}/{ONNX}"):
        for stage, split in (("test", "eval"), ("predict", "predict")):
            data = [word.replace("data", f"data.{split}") if isinstance(word, str) else word for word in eval_set]
            folder = results[f"{stage} {model}"] = Path("results", str(eval_set[1]), model, stage)
            run(cli, stage, "--ckpt_path", model, "--results_dir", folder, *data, *batch)
    return results


def predict_files(cli: Cli, run_dir: str, files: Path) -> dict[str, Path]:
    """Return the results of `predict --files`, by the checkpoint and by the file."""
    results = {f"files {model}": Path("results/files", model) for model in (run_dir, f"{run_dir}/{ONNX}")}
    for name, folder in results.items():
        run(cli, "predict", "--ckpt_path", name.removeprefix("files "), "--results_dir", folder, "--files", files)
    return results


def check_equal(given: Mapping[str, Answers], expected: Answers) -> None:
    """Check that labels are equal, and probabilities but for 1e-6."""
    for way, answers in given.items():
        assert [label for label, _ in answers] == [label for label, _ in expected], way
        probabilities = np.array([[one, other] for (_, one), (_, other) in zip(answers, expected, strict=True)])
        assert np.abs(probabilities[:, 0] - probabilities[:, 1]).max() <= 1e-6, way


@pytest.mark.slow
def test_digits(cli: Cli, start: Callable[..., Client], tmp_path: Path) -> None:
    """Batches have 64 samples in the engine, 1 or 32 in a Predictor, and over HTTP what waits.

    The samples of the dataset are 16ths, which a picture of 8 bits cannot hold: they are compared as arrays.
    """
    run(cli, "fit", "--config", CONFIGS / "digits.yaml", "--trainer.max_epochs", 3)
    run(cli, "export", "--ckpt_path", "experiments/digits")
    client, digits = start(model=Path("experiments/digits", ONNX).absolute()), Digits("test")
    predictor = client.server.predictor
    samples = [digits[number] for number in range(len(digits))]

    given = evaluate(cli, "experiments/digits", ["--data", "Digits", "--data.split", "test"])
    expected = pairs(predictor.predict(image=sample["image"].numpy()) for sample in samples)
    check_equal({way: read_rows(folder) for way, folder in given.items()}, expected)

    files = []
    for number, sample in enumerate(samples):
        files.append(tmp_path / f"set/{sample['label']}/{number:03d}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * sample["image"][0]).round().byte().numpy()).save(files[-1])
    files.sort()
    expected = pairs(predictor.predict(image=file) for file in files)
    assert len(expected) == 261
    assert sum(label == int(file.parent.name) for (label, _), file in zip(expected, files, strict=True)) > 200
    folder = ["--data", "ImageFolder", "--data.path", tmp_path / "set", "--data.size", "8", "--data.channels", "1"]
    results = evaluate(cli, "experiments/digits", folder) | predict_files(cli, "experiments/digits", tmp_path / "set")
    rows = {way: read_rows(folder) for way, folder in results.items()}
    sent = {way: pairs(each["answers"] for each in post(client, files, way)) for way in ("raw", "json", "form")}
    batches = {"batches": pairs(predictor.predict_batch([{"image": file} for file in files]))}
    check_equal(rows | sent | batches, expected)


def read_pixels(picture: Path | bytes) -> np.ndarray:
    """Return the pixels `(H, W, 3)` of a file."""
    return np.asarray(Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)).astype(int)


def check_pixels(way: str, pixels: np.ndarray, expected: np.ndarray) -> None:
    """Check the pixels of a picture `(3, H, W)` of floats; only halves may be rounded to either side."""
    exact = 255 * expected.clip(0, 1).transpose(1, 2, 0).astype(np.float64)
    assert pixels.shape == exact.shape, way
    assert np.abs(pixels - exact).max() < 0.5 + 0.001, way


@pytest.mark.slow
def test_denoise(cli: Cli, start: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are computed one by one, but two of the same size together by a Predictor and over HTTP."""
    monkeypatch.setattr(exporting, "measure_largest_picture", lambda *_: None)  # takes 20 s
    limits = ("--trainer.max_epochs", 1, "--trainer.limit_train_batches", 10)
    run(cli, "fit", "--config", CONFIGS / "denoise.yaml", *limits)
    run(cli, "export", "--ckpt_path", "experiments/denoise")
    client = start(model=Path("experiments/denoise", ONNX).absolute())
    predictor = client.server.predictor

    noisy = tmp_path / "noisy"
    noisy.mkdir()
    china, flower = Photographs("val")[0]["image"], Photographs("test")[0]["image"]
    for name, picture in {"a": china, "b": flower, "c": china.flip(2)}.items():
        noise = 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
        pixels = (255 * (picture + noise).clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(noisy / f"{name}.png")
    files = sorted(noisy.iterdir())
    expected = [predictor.predict(image=file)["prediction"] for file in files]

    dataset = ["--data", "ImagePairs", "--data.image", noisy, "--data.target", noisy]
    results = evaluate(cli, "experiments/denoise", dataset, "--data.batch_size", 1)
    results |= predict_files(cli, "experiments/denoise", noisy)
    for way, folder in results.items():
        if way.startswith("test"):  # draws the input, the prediction and the target of the first pictures of a size
            width = expected[0].shape[2]
            drawn = read_pixels(folder / "visual.png")[: expected[0].shape[1], width + 4 : 2 * width + 4]
            check_pixels(way, drawn, expected[0])
        else:
            for file, each in zip(files, expected, strict=True):
                check_pixels(way, read_pixels(folder / "prediction" / file.name), each)
    for way in ("raw", "json", "form"):
        for prediction, each in zip(post(client, files, way), expected, strict=True):
            url = prediction["answers"]["prediction"]
            check_pixels(way, read_pixels(base64.b64decode(url.partition(",")[2])), each)
    for file, each in zip(files, expected, strict=True):
        answer = client.request("POST", "/predict", file.read_bytes(), Content_Type="image/png", Accept="image/png")
        check_pixels("png", read_pixels(answer.body), each)
    for answers, each in zip(predictor.predict_batch([{"image": file} for file in files]), expected, strict=True):
        np.testing.assert_allclose(answers["prediction"], each, atol=1e-6)
