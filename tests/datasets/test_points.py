from collections.abc import Callable

import torch

from tests.conftest import Cli
from tests.datasets.points import GlyphPoints, PointNet


def test_collate_pads_and_masks() -> None:
    dataset = GlyphPoints("val")
    samples = [dataset[index] for index in range(8)]
    lengths = [len(sample["points"]) for sample in samples]
    assert len(set(lengths)) > 1
    batch = dataset.collate(samples)
    assert batch["points"].shape == (8, max(lengths), 3)
    assert batch["mask"].sum(1).tolist() == lengths
    for row, sample in enumerate(samples):
        assert torch.equal(batch["points"][row][batch["mask"][row]], sample["points"])


def test_padding_does_not_change_the_output() -> None:
    dataset, net = GlyphPoints("val"), PointNet()
    samples = [dataset[index] for index in range(8)]
    together = net(**{key: dataset.collate(samples)[key] for key in ("points", "mask")})["logits"]
    alone = net(**{key: dataset.collate(samples[:1])[key] for key in ("points", "mask")})["logits"]
    torch.testing.assert_close(together[:1], alone)


def test_point_sets_train_and_predict(cli: Cli, tiny: Callable[..., str]) -> None:
    sets = {
        part: {"type": "tests.datasets.points.GlyphPoints", "split": split}
        for part, split in (("train", "train"), ("val", "val"), ("eval", "test"))
    }
    config = tiny({"model": {"net": {"type": "tests.datasets.points.PointNet"}}, "data": sets})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert cli("predict", "--ckpt_path", "experiments/tiny").code == 0
