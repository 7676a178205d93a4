"""`predict --files`: the predictions on files are those on a dataset of the same inputs, without any dataset."""

import csv
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from project.core.run.checkpoint_files import load_checkpoint
from project.datasets.base import Dataset
from project.deploy.inputs import Numbers, Picture
from project.models.base import Model
from tests.conftest import CONFIGS, TINY, Cli
from tests.core.components import IndexImages, TwoLoaders

CLASSES = ["dark", "bright"]


class PictureNet(Model):
    """Net for pictures of any size, which it also inverts."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image.mean((2, 3))), "inverse": 1 - image}

    def predict(self, logits: Tensor, inverse: Tensor) -> dict[str, Tensor]:
        """Return the class, its score, the inverse picture, and a mask of 7 classes."""
        score, label = logits.max(1)
        mask = ((1 - inverse[:, :1]) * 255).round().long() % 7
        return {"label": label, "score": score, "inverse": inverse, "mask": mask}


class VectorNet(Model):
    """Net for a vector and, if it is given, a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, point: Tensor, count: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(point) * count[:, None]}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the scores."""
        return {"scores": logits}


class PointNet(VectorNet):
    """Net for a vector."""

    def forward(self, point: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": self.layer(point)}


class FolderSet(Dataset):
    """Pictures of a directory, read as `raw` says.

    Args:
        path: the directory.
        size: height and width.
        says: whether the dataset has `raw` and `classes`.
    """

    def __init__(self, path: str, size: int | None = 6, says: bool = True) -> None:
        super().__init__()
        self.files, self.folder = sorted(Path(path).rglob("*.png")), Path(path)
        if not self.files:
            raise FileNotFoundError(f"{path} has no pictures")
        self.picture = Picture(channels=3, size=size)
        if says:
            self.raw, self.classes = {"image": self.picture}, CLASSES

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.from_numpy(self.picture.read(self.files[index])), "label": torch.tensor(index % 2)}

    def name(self, index: int) -> str:
        return self.files[index].relative_to(self.folder).as_posix()


class Points(Dataset):
    """Random points."""

    def __init__(self, length: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(length)
        self.points = torch.rand(length, 3, generator=generator)
        self.counts = torch.randint(1, 9, (length,), generator=generator)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"point": self.points[index], "count": self.counts[index], "label": torch.tensor(index % 2)}


class Bare(pl.LightningModule):
    """Module without a wired net."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch["image"].flatten(1)).mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of samples.csv."""
    with path.open() as file:
        return list(csv.DictReader(file))


def own(cls: type) -> str:
    return f"{__name__}.{cls.__name__}"


Fit = Callable[..., None]


@pytest.fixture
def fit(cli: Cli) -> Fit:
    """Return a function that trains a net for two steps on datasets."""

    def call(net: type, train: Mapping[str, Any], **data: Any) -> None:
        model = TINY["model"] | {"net": {"type": own(net)}, "metric": None}
        Path("run.yaml").write_text(
            yaml.safe_dump(TINY | {"name": "run", "model": model, "data": {"batch_size": 2, "train": train} | data})
        )
        ran = cli("fit", "--config", "run.yaml", "--trainer.logger", "false")
        assert ran.code == 0, ran.err

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a directory with pictures of one size, one of them in a subdirectory."""
    generator = np.random.default_rng(0)
    for index, name in enumerate(["a.png", "b.png", "sub/c.png", "sub/d.png", "e.png"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(generator.integers(0, 256, (8 + index, 9, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def folder_set(path: Path, **arguments: Any) -> dict[str, Any]:
    return {"type": own(FolderSet), "path": str(path), **arguments}


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [6, None])
def test_pictures_have_the_predictions_of_a_dataset_that_reads_them(
    size: int | None, workers: int, fit: Fit, cli: Cli, pictures: Path, tmp_path: Path
) -> None:
    """Also where the datasets of the config are gone, and for pictures of different sizes."""
    evaluated = folder_set(pictures, size=size)
    fit(PictureNet, folder_set(pictures), val=evaluated, predict=evaluated, batch_size=1 if size is None else 2)
    assert cli("predict", "--ckpt_path", "experiments/run").code == 0
    moved = pictures.rename(tmp_path / "elsewhere")
    ran = cli("predict", "--ckpt_path", "experiments/run", "--files", moved, "--data.num_workers", workers)
    assert ran.code == 0, ran.err
    expected, found = (Path("experiments/run/eval", name) for name in ("predict", "predict_files"))
    assert (found / "samples.csv").read_text() == (expected / "samples.csv").read_text()
    assert [row["name"] for row in rows(found / "samples.csv")] == ["a.png", "b.png", "e.png", "sub/c.png", "sub/d.png"]
    for row in rows(found / "samples.csv"):
        assert row["label_name"] == CLASSES[int(row["label"])]
        picture = Path("inverse", row["name"])
        assert (found / picture).read_bytes() == (expected / picture).read_bytes()
        grey = (255 - np.array(Image.open(found / picture))[..., 0]) % 7
        assert np.array_equal(np.array(Image.open(found / "mask" / row["name"])), grey)  # (H, W), the classes


def test_unreadable_files_are_named_and_the_others_predicted(
    fit: Fit, cli: Cli, pictures: Path, tmp_path: Path
) -> None:
    """The exit code is 1; files that are not reached are not called unreadable."""
    fit(PictureNet, folder_set(pictures))
    assert cli("predict", "--ckpt_path", "experiments/run", "--files", pictures, "--results_dir", "all").code == 0
    expected = {row["name"]: row for row in rows(Path("all/samples.csv"))}
    (pictures / "b.png").write_text("no picture")
    (pictures / "sub/c.png").write_bytes((pictures / "sub/c.png").read_bytes()[:60])
    ran = cli("predict", "--ckpt_path", "experiments/run", "--files", pictures, "--results_dir", "some")
    assert ran.code == 1
    assert "2 of 5 files cannot be read" in ran.err
    assert f"{pictures}/b.png" in ran.err
    assert f"{pictures}/sub/c.png" in ran.err
    assert "Traceback" not in ran.err
    found = {row["name"]: row for row in rows(Path("some/samples.csv"))}
    assert found == {name: expected[name] for name in ("a.png", "e.png", "sub/d.png")}
    limit = ["--trainer.limit_predict_batches", "1", "--results_dir", "limited"]
    ran = cli("predict", "--ckpt_path", "experiments/run", "--files", pictures, *limit)
    assert (ran.code, "1 of 2 files cannot be read" in ran.err) == (1, True)
    (tmp_path / "bad").mkdir()
    for number in range(25):
        (tmp_path / f"bad/{number:02}.png").write_text("")
    ran = cli("predict", "--ckpt_path", "experiments/run", "--files", tmp_path / "bad", "--results_dir", "some")
    assert (ran.code, "25 of 25 files cannot be read" in ran.err, "... and 5 more" in ran.err) == (1, True, True)
    assert ("19.png" in ran.err, "20.png" in ran.err) == (True, False)
    assert not Path("some/samples.csv").exists()  # that of other files


def test_results_of_other_files_are_not_overwritten(fit: Fit, cli: Cli, pictures: Path) -> None:
    """The same files can be predicted again."""
    fit(PictureNet, folder_set(pictures))
    predict = ("predict", "--ckpt_path", "experiments/run", "--files")
    assert [cli(*predict, path).code for path in (pictures, pictures)] == [0, 0]
    ran = cli(*predict, pictures / "a.png")
    assert (ran.code, "has the results of other files" in ran.err) == (2, True)
    ran = cli(*predict, pictures / "absent.png")
    assert (ran.code, "absent.png does not exist" in ran.err) == (2, True)  # another directory would not help
    assert cli(*predict, pictures / "a.png", "--results_dir", "experiments/run/eval/predict_files").code == 0
    assert [row["name"] for row in rows(Path("experiments/run/eval/predict_files/samples.csv"))] == ["a.png"]


def test_columns_and_arrays_have_the_predictions_of_a_dataset(fit: Fit, cli: Cli) -> None:
    """A checkpoint has the shapes and dtypes of what no `raw` describes."""
    points = {"type": own(Points), "length": 5}
    fit(VectorNet, points, predict=points)
    checkpoint = load_checkpoint(Path("experiments/run/checkpoints/last.ckpt"))
    assert checkpoint.inputs == {"point": Numbers((3,)), "count": Numbers((), "int64")}
    assert cli("predict", "--ckpt_path", "experiments/run").code == 0
    data = Points(5)
    lines = [
        ",".join([*(f"{x:.9g}" for x in point), str(count)])
        for point, count in zip(data.points.tolist(), data.counts.tolist(), strict=True)
    ]
    Path("points.csv").write_text("\n".join(["point_0,point_1,point_2,count", *lines]))
    np.savez("points.npz", point=data.points.numpy(), count=data.counts.numpy())
    expected = [
        (row["index"], row["scores_0"], row["scores_1"])
        for row in rows(Path("experiments/run/eval/predict/samples.csv"))
    ]
    for path in ("points.csv", "points.npz"):
        assert cli("predict", "--ckpt_path", "experiments/run", "--files", path, "--results_dir", path[-3:]).code == 0
        found = rows(Path(path[-3:], "samples.csv"))
        assert [(row["name"], row["scores_0"], row["scores_1"]) for row in found] == expected


def test_module_without_call_net_has_a_message(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": None})
    tree = yaml.safe_load((tmp_path / "base.yaml").read_text())
    tree["model"] = {"type": own(Bare)}
    Path(config).write_text(yaml.safe_dump(tree))
    assert cli("fit", "--config", config).code == 0
    np.savez("images.npz", image=np.zeros((1, 1, 8, 8)))
    ran = cli("predict", "--ckpt_path", "experiments/tiny", "--files", "images.npz")
    path = "experiments/tiny/checkpoints/best.ckpt"
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == f"error: --files: {path} does not say what Bare takes: predict with a dataset"


def test_checkpoint_without_inputs_takes_those_of_the_first_dataset_that_is_here(
    fit: Fit, cli: Cli, pictures: Path, tmp_path: Path
) -> None:
    """Such as one of an older version; without any dataset, a message says why."""
    fit(PictureNet, folder_set(pictures), predict=folder_set(tmp_path / "nowhere"), eval=folder_set(pictures))
    path = Path("experiments/run/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    for key in ("inputs", "classes"):
        del content["run_header"][key]
    torch.save(content, "old.ckpt")
    ran = cli("predict", "--ckpt_path", "old.ckpt", "--files", pictures, "--results_dir", "old")
    assert ran.code == 0, ran.err
    assert "took it from data.eval" in ran.err
    assert cli("predict", "--ckpt_path", path, "--files", pictures, "--results_dir", "new").code == 0
    assert Path("old/samples.csv").read_text() == Path("new/samples.csv").read_text()
    moved = pictures.rename(tmp_path / "elsewhere")
    ran = cli("predict", "--ckpt_path", "old.ckpt", "--files", moved, "--results_dir", "older")
    assert ran.code == 2
    assert ran.err.endswith(
        f"error: --files: old.ckpt does not say what the net takes, and no dataset does\n"
        f"data.train: {pictures} has no pictures\n"
    )


def test_data_module_of_the_users_own_needs_no_data(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """What the net takes is recorded of the first training batch."""
    config = tiny({"data": None})
    tree = yaml.safe_load((tmp_path / "base.yaml").read_text())
    tree["data"] = {"type": "tests.core.components.TwoLoaders", "sizes": [3]}
    Path(config).write_text(yaml.safe_dump(tree))
    assert cli("fit", "--config", config).code == 0
    assert load_checkpoint(Path("experiments/tiny/checkpoints/last.ckpt")).inputs == {"image": Numbers((1, 8, 8))}
    assert cli("predict", "--ckpt_path", "experiments/tiny").code == 0
    np.savez("images.npz", image=np.stack([IndexImages(3)[index]["image"].numpy() for index in range(3)]))
    assert cli("predict", "--ckpt_path", "experiments/tiny", "--files", "images.npz").code == 0
    expected, found = (
        rows(Path("experiments/tiny/eval", name, "samples.csv")) for name in ("predict", "predict_files")
    )
    assert [{key: row[key] for key in expected[0]} for row in found] == expected
    assert TwoLoaders.__name__ in Path("experiments/tiny/config.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("size", [6, None])
def test_two_processes_write_the_results_of_one(
    size: int | None, fit: Fit, cli: Cli, pictures: Path, tmp_path: Path
) -> None:
    """Unreadable files are named once."""
    fit(PictureNet, folder_set(pictures, size=size), batch_size=1 if size is None else 2)
    (pictures / "b.png").write_text("no picture")
    predict = ["predict", "--ckpt_path", "experiments/run", "--files", str(pictures), "--trust"]
    assert cli(*predict, "--results_dir", "one").code == 1
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *predict, "--results_dir", "two"]
    command += ["--config", str(CONFIGS / "presets/ddp.yaml"), "--trainer.devices", "2", "--trainer.accelerator", "cpu"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.count("1 of 5 files cannot be read") == 1
    assert Path("two/samples.csv").read_text() == Path("one/samples.csv").read_text()
    names = [sorted(path.relative_to(each) for path in Path(each).rglob("*.png")) for each in ("one", "two")]
    assert names[0] == names[1]
    assert len(names[0]) == 8
