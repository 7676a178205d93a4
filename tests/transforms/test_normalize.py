import torch

from project.transforms.normalize import Normalize


def test_samples_and_batches_are_normalized_per_channel() -> None:
    image = torch.stack([torch.full((4, 4), 1.0), torch.full((4, 4), 3.0)])
    transform = Normalize(mean=[0.0, 1.0], std=[1.0, 2.0])
    label = torch.tensor(1)
    sample = transform({"image": image, "label": label})
    assert torch.equal(sample["image"], torch.ones(2, 4, 4))
    assert sample["label"] is label
    batch = transform({"image": image.expand(3, 2, 4, 4)})["image"]
    assert torch.equal(batch, torch.ones(3, 2, 4, 4))
    assert torch.equal(Normalize([1.0], [2.0], keys=["x"])({"x": image})["x"][1], torch.ones(4, 4))
