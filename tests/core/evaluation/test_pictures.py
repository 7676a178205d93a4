"""Pictures show the first samples of each dataset, and files are written atomically."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from project.core.config.terms import VisualTerm
from project.core.evaluation.pictures import PictureCollector
from project.core.files import atomic_write, write_picture, write_text
from project.visuals.base import Visual
from tests.conftest import Cli
from tests.exactness import read_events


class Stripes(Visual):
    """Picture with one column per sample, whose brightness is the sample's value."""

    def __call__(self, image: Tensor, scale: Tensor) -> Tensor:
        assert image.device.type == "cpu"
        return (image.flatten(1)[:, 0] * scale).expand(3, 1, -1)


def images(*values: float) -> dict[str, Tensor]:
    """Return a batch of images of one pixel each."""
    return {"image": torch.tensor(values)[:, None, None, None]}


def collect(num_samples: int, *batches: tuple[dict[str, Tensor], dict[str, Tensor]], **reserved: Any) -> Tensor:
    """Return the picture of a single visual."""
    visuals = {"": VisualTerm(Stripes(), **reserved)}
    collector = PictureCollector(visuals, num_samples)
    for batch, output in batches:
        collector.add(batch, output)
    return collector.draw(visuals)[""]


def test_collector_takes_the_first_samples_of_several_batches() -> None:
    visuals = {name: VisualTerm(Stripes()) for name in ("a", "b", "c")}
    collector = PictureCollector(visuals, 3)
    for _ in range(2):
        for values in ((0.1, 0.2), (0.3, 0.4), (0.5,)):
            collector.add(images(*values), {"scale": torch.full((len(values),), 2.0)})
        pictures = collector.draw({"a": visuals["a"], "c": visuals["c"]})
        assert pictures.keys() == {"a", "c"}
        for picture in pictures.values():
            assert torch.allclose(picture, torch.tensor([0.2, 0.4, 0.6]).expand(3, 1, 3))


def test_collector_leaves_out_samples_of_another_size() -> None:
    samples = [
        ({"image": torch.full((1, 1, size, size), value)}, {"scale": torch.ones(1)})
        for size, value in ((1, 0.1), (2, 0.2), (1, 0.3))
    ]
    assert torch.allclose(collect(3, *samples), torch.tensor([0.1, 0.3]).expand(3, 1, 2))


def test_inputs_of_the_visual_replace_names() -> None:
    picture = collect(1, (images(0.5), {"other": torch.tensor([1.0])}), inputs={"scale": "other"})
    assert picture.unique() == 0.5


def test_each_dataset_has_a_picture_and_the_sanity_check_has_none(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    datasets = {
        "type": None,
        "one": {"type": "tests.components.Glyphs", "split": "val"},
        "two": {"type": "tests.components.Glyphs", "split": "test"},
    }
    config = tiny({"visual": "tests.components.Row", "data": {"val": datasets}, "trainer": {"num_sanity_val_steps": 2}})
    assert cli("fit", "--config", config, "--checkpoint.monitor", "val/one/sum").code == 0
    progress = tmp_path / "experiments/tiny/progress"
    assert sorted(path.relative_to(progress).as_posix() for path in progress.rglob("*.png")) == [
        "val/one/epoch_0000_step_000002.png",
        "val/two/epoch_0000_step_000002.png",
    ]


def test_each_of_several_visuals_has_its_own_period_and_files(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The period is that of pictures during training; the results of an evaluation have all pictures.

    Whether a visual draws depends on the epoch alone, also after a resume within an epoch.
    """
    visuals = {
        "type": None,
        "row": {"type": "tests.components.Row"},
        "seldom": {"type": "tests.components.Row", "every_n_epochs": 2},
    }
    config = {
        "visual": visuals,
        "progress": {"train": 2},
        "evaluation": {"at_start": True},
        "checkpoint": {"every_n_steps": 1, "keep": -1},
        "trainer": {"max_epochs": 2, "num_sanity_val_steps": 1},
    }
    ran = cli("fit", "--config", tiny(config))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    progress = run / "progress"
    first, second = "epoch_0000_step_000002.png", "epoch_0001_step_000004.png"
    assert sorted(path.relative_to(progress).as_posix() for path in progress.rglob("*.png")) == [
        f"{split}/{name}"
        for split in ("train", "val")
        for name in (f"row/{first}", f"row/{second}", f"seldom/{second}")
    ]
    assert [path.name for path in sorted((run / "eval/step_000000/visual").iterdir())] == ["row.png", "seldom.png"]
    events = read_events(run / "event")
    steps = [[event.step for event in events.Images(f"val/visual/{name}")] for name in ("row", "seldom")]
    assert steps == [[2, 4], [4]]
    drawn = {name: (progress / "val" / name / second).read_bytes() for name in ("row", "seldom")}
    shutil.rmtree(progress)
    ran = cli("fit", "--resume", str(run / "checkpoints/epoch_0001_step_000003.ckpt"))
    assert ran.code == 0, ran.err
    assert {path.parent.name: path.read_bytes() for path in (progress / "val").rglob("*.png")} == drawn


def test_local_false_writes_no_files(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"visual": "tests.components.Row", "progress": {"local": False}})
    assert cli("fit", "--config", config).code == 0
    assert not (tmp_path / "experiments/tiny/progress").exists()


def test_files_are_written_atomically(tmp_path: Path) -> None:
    file = tmp_path / "deep/a.txt"
    write_text(file, "one\n")
    write_text(file, "two\n")
    assert file.read_bytes() == b"two\n"
    with pytest.raises(UnicodeEncodeError), atomic_write(file) as temporary:
        temporary.write_text("half \ud800")  # cannot be encoded
    assert file.read_bytes() == b"two\n"
    assert [path.name for path in file.parent.iterdir()] == ["a.txt"]


def test_picture_is_written_as_png_and_clamped(tmp_path: Path) -> None:
    picture = torch.zeros(3, 2, 4)
    picture[0, 1, 3], picture[1] = 2.0, 0.5  # 2 is brighter than white
    write_picture(tmp_path / "deep/a.png", picture)
    image = Image.open(tmp_path / "deep/a.png")
    assert (image.size, image.getpixel((3, 1)), image.getpixel((0, 0))) == ((4, 2), (255, 128, 0), (0, 128, 0))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]
