from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from project.core.files import whole, write_picture, write_text
from project.core.pictures import Sketch
from project.core.wiring import VisualTerm
from project.visuals.base import Visual
from tests.conftest import Cli


class Stripes(Visual):
    """One column per sample, as bright as its value."""

    def __call__(self, image: Tensor, scale: Tensor) -> Tensor:
        assert image.device.type == "cpu"
        return (image.flatten(1)[:, 0] * scale).expand(3, 1, -1)


def batch(*values: float) -> dict[str, Tensor]:
    return {"image": torch.tensor(values)[:, None, None, None]}


def test_a_sketch_takes_what_it_needs_of_several_batches() -> None:
    sketch = Sketch(VisualTerm(Stripes()), 3)
    for _ in range(2):
        for values in ((0.1, 0.2), (0.3, 0.4), (0.5,)):
            sketch.add(batch(*values), {"scale": torch.full((len(values),), 2.0)})
        assert torch.allclose(sketch.draw(), torch.tensor([0.2, 0.4, 0.6]).expand(3, 1, 3))


def test_a_sketch_leaves_out_what_is_of_another_size() -> None:
    sketch = Sketch(VisualTerm(Stripes()), 3)
    for size, value in ((1, 0.1), (2, 0.2), (1, 0.3)):
        sketch.add({"image": torch.full((1, 1, size, size), value)}, {"scale": torch.ones(1)})
    assert torch.allclose(sketch.draw(), torch.tensor([0.1, 0.3]).expand(3, 1, 2))


def test_inputs_rename() -> None:
    sketch = Sketch(VisualTerm(Stripes(), {"scale": "other"}), 1)
    sketch.add(batch(0.5), {"other": torch.tensor([1.0])})
    assert sketch.draw().unique() == 0.5


def test_pictures_of_several_sets_and_none_from_the_sanity_check(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    sets = {
        "type": None,
        "one": {"type": "tests.rooms.Glyphs", "split": "val"},
        "two": {"type": "tests.rooms.Glyphs", "split": "test"},
    }
    config = tiny({"visual": "tests.rooms.Row", "data": {"val": sets}, "trainer": {"num_sanity_val_steps": 2}})
    assert cli("fit", "--config", config, "--checkpoint.monitor", "val/one/sum").code == 0
    progress = tmp_path / "experiments/tiny/progress"
    assert sorted(path.relative_to(progress).as_posix() for path in progress.rglob("*.png")) == [
        "val/one/epoch_0000_step_000002.png",
        "val/two/epoch_0000_step_000002.png",
    ]


def test_local_false_writes_no_files(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"visual": "tests.rooms.Row", "progress": {"local": False}})
    assert cli("fit", "--config", config).code == 0
    assert not (tmp_path / "experiments/tiny/progress").exists()


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    write_text(tmp_path / "deep/a.txt", "one\n")
    write_text(tmp_path / "deep/a.txt", "two\n")
    assert (tmp_path / "deep/a.txt").read_bytes() == b"two\n"
    with pytest.raises(UnicodeEncodeError), whole(tmp_path / "deep/a.txt") as temporary:
        temporary.write_text("half \ud800")  # no encoding has it
    assert (tmp_path / "deep/a.txt").read_bytes() == b"two\n"
    picture = torch.zeros(3, 2, 4)
    picture[0, 1, 3], picture[1] = 2.0, 0.5  # too bright: cut off
    write_picture(tmp_path / "deep/a.png", picture)
    image = Image.open(tmp_path / "deep/a.png")
    assert (image.size, image.getpixel((3, 1)), image.getpixel((0, 0))) == ((4, 2), (255, 128, 0), (0, 128, 0))
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["a.png", "a.txt"]
