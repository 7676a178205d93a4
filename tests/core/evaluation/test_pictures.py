"""Pictures show the first samples of each dataset, and files are written atomically."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from project.core.config.terms import VisualTerm
from project.core.evaluation.pictures import PictureCollector
from project.core.files import atomic_write, write_picture, write_text
from project.visuals.base import Visual
from tests.conftest import Cli


class Stripes(Visual):
    """Picture with one column per sample, whose brightness is the sample's value."""

    def __call__(self, image: Tensor, scale: Tensor) -> Tensor:
        assert image.device.type == "cpu"
        return (image.flatten(1)[:, 0] * scale).expand(3, 1, -1)


def images(*values: float) -> dict[str, Tensor]:
    """Return a batch of images of one pixel each."""
    return {"image": torch.tensor(values)[:, None, None, None]}


def test_collector_takes_the_first_samples_of_several_batches() -> None:
    collector = PictureCollector(VisualTerm(Stripes()), 3)
    for _ in range(2):
        for values in ((0.1, 0.2), (0.3, 0.4), (0.5,)):
            collector.add(images(*values), {"scale": torch.full((len(values),), 2.0)})
        assert torch.allclose(collector.draw(), torch.tensor([0.2, 0.4, 0.6]).expand(3, 1, 3))


def test_collector_leaves_out_samples_of_another_size() -> None:
    collector = PictureCollector(VisualTerm(Stripes()), 3)
    for size, value in ((1, 0.1), (2, 0.2), (1, 0.3)):
        collector.add({"image": torch.full((1, 1, size, size), value)}, {"scale": torch.ones(1)})
    assert torch.allclose(collector.draw(), torch.tensor([0.1, 0.3]).expand(3, 1, 2))


def test_inputs_of_the_visual_replace_names() -> None:
    collector = PictureCollector(VisualTerm(Stripes(), {"scale": "other"}), 1)
    collector.add(images(0.5), {"other": torch.tensor([1.0])})
    assert collector.draw().unique() == 0.5


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
