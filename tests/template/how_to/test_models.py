"""Tests that follow the pages about models and training."""

import torch

from tests.template.how_to.reader import Reader


def test_moving_average(reader: Reader) -> None:
    reader.follow("moving_average", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3")
    checkpoint = torch.load(reader.folder / "experiments/averaged/checkpoints/last.ckpt", weights_only=False)
    averaged, trained = checkpoint["state_dict"], checkpoint["moving_average"]["trained_state_dict"]
    assert not torch.equal(averaged["net.head.weight"], trained["net.head.weight"])
