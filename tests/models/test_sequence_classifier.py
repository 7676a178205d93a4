"""Classifier of sequences."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule

from project.core.export.graph import Graph
from project.core.export.tracing import trace
from project.deploy.inputs import Numbers
from project.deploy.model_card import Length
from project.models.sequence_classifier import SequenceClassifier
from project.registry import ConfigError
from tests.conftest import Cli


@pytest.mark.parametrize("kind", ["tokens", "vectors"])
def test_padding_does_not_change_the_output(kind: str) -> None:
    """Each sequence alone has the logits that it has in a padded batch, whatever is in the padding."""
    torch.manual_seed(0)
    sizes = {"num_tokens": 20} if kind == "tokens" else {"num_features": 3}
    net = SequenceClassifier(4, **sizes, depth=2)
    lengths = torch.tensor([9, 1, 4])
    batch = torch.randint(20, (3, 9)) if kind == "tokens" else torch.randn(3, 9, 3)
    together = net(batch, torch.arange(9) < lengths[:, None])["logits"]
    for row, length in enumerate(lengths):
        alone = net(batch[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool))["logits"]
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-6)


def test_the_order_counts() -> None:
    net, mask = SequenceClassifier(4, num_tokens=5), torch.ones(1, 3, dtype=torch.bool)
    one, two = (net(torch.tensor([tokens]), mask)["logits"] for tokens in ([1, 2, 3], [3, 2, 1]))
    assert not torch.allclose(one, two)


def test_unknown_token_is_named() -> None:
    """Without the check, torch says that an index is out of range, of whatever it is."""
    net, mask = SequenceClassifier(4, num_tokens=5), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(
        ConfigError, match=r"a sequence has the token 7, but num_tokens is 5\n.*num_tokens to at least 8"
    ):
        net(torch.tensor([[0, 7]]), mask)


@pytest.mark.slow
def test_exported_net_takes_sequences_of_any_length() -> None:
    """Longer and shorter ones than the traced one, which torch would write out step by step."""
    net, batch = SequenceClassifier(4, num_tokens=20, depth=2), {"sequence": torch.zeros(2, 6, dtype=torch.long)}
    module = LightningModule()
    module.net = net
    batch["mask"] = torch.ones(2, 6, dtype=torch.bool)
    graph = Graph(module, batch)
    program, lengths = trace(graph, batch, {"sequence": Numbers((None,), "int64"), "mask": Numbers((None,), "bool")})
    assert lengths == {"sequence": (Length(2),), "mask": (Length(2),)}
    for length in (2, 15):
        tokens, mask = torch.randint(20, (1, length)), torch.arange(length)[None] < length - 1
        with torch.no_grad():
            torch.testing.assert_close(program.module()(tokens, mask)["logits"], net(tokens, mask)["logits"])


@pytest.mark.parametrize("sizes", [{}, {"num_tokens": 3, "num_features": 2}])
def test_either_tokens_or_vectors(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="SequenceClassifier needs either num_tokens or num_features"):
        SequenceClassifier(4, **sizes)


def test_sequences_train_and_predict(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The net gets what a batch of Sequences contains, whose rows keep their samples."""
    lines = [{"sequence": "ab" * (1 + number % 5), "label": "xy"[number % 2]} for number in range(16)]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = {key: {"type": "Sequences", "path": "s.jsonl"} for key in ("train", "val", "eval")}
    net = {"type": "SequenceClassifier", "num_classes": 10, "num_tokens": 257}
    config = tiny({"model": {"net": net}, "data": {**data, "data_dir": str(tmp_path), "batch_size": 8}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert cli("predict", "--ckpt_path", "experiments/tiny").code == 0
    rows = (tmp_path / "experiments/tiny/eval/predict/samples.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [[str(row), f"line {row + 1}"] for row in range(16)]
