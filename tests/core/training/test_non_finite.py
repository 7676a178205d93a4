"""The search for the first value that is infinite or NaN looks into nested batches, outputs and sparse gradients."""

import torch
from torch import nn

from project.core.training.non_finite import NonFiniteSearch, describe_gradients, is_finite


def test_batch_of_any_structure_is_searched() -> None:
    search = NonFiniteSearch()
    search.search_batch({"boxes": [torch.ones(2), torch.tensor([torch.inf])], "label": torch.tensor([1])})
    assert search.origin == "the batch: boxes.1 is not finite"
    search.search_batch([torch.ones(1), torch.zeros(0)])
    assert search.origin == ""


def test_sparse_and_complex_values_are_searched() -> None:
    layer = nn.Embedding(3, 2, sparse=True)
    (layer(torch.tensor([1, 1])) * torch.nan).sum().backward()
    assert NonFiniteSearch().search_gradients(layer) == ["weight"]
    assert describe_gradients(["weight"]) == "the gradient of weight is not finite"
    assert not is_finite({"a": torch.tensor([complex(0, torch.inf)])})


def test_search_ends() -> None:
    """Outputs are searched in training only, and no longer after `end`."""
    layer, search = nn.Linear(1, 1), NonFiniteSearch()
    net = nn.Sequential(layer)
    nn.init.constant_(layer.weight, torch.nan)
    with torch.autograd.set_detect_anomaly(False):
        search.start(net)
        net.eval()(torch.ones(1))
        assert search.origin == ""
        net.train()(torch.ones(1))
        assert search.origin == "0 (Linear), whose parameter 0.weight is not finite"
        search.end()
        search.origin = ""
        net(torch.ones(1))
        assert search.origin == ""
