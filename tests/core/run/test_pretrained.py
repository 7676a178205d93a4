"""A new run starts with the weights of a file; what does not fit is refused, and a resumed run needs no file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from project.core.config.pretrained import Pretrained
from project.core.errors import ConfigError
from project.core.run.pretrained import load_pretrained, with_checksum
from tests.components import MLP
from tests.conftest import Cli


class Module(nn.Module):
    """Module with a net of two layers, and with a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 4)})
        self.register_buffer("weight", torch.tensor(5.0))


def backbone() -> dict[str, Tensor]:
    """Return weights of the layer `body` under another name, and of a head that the module does not have."""
    body = {f"backbone.{name}": value for name, value in nn.Linear(2, 3).state_dict().items()}
    return body | {"fc.weight": torch.ones(9, 3)}


def test_renamed_weights_are_loaded_and_skipped_ones_are_not(tmp_path: Path) -> None:
    weights, module = backbone(), Module()
    torch.save(weights, tmp_path / "x.pt")
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    settings = Pretrained(str(tmp_path / "x.pt"), {r"^backbone\.": "net.body."}, ["net.head.*", "fc.*"])
    load_pretrained(module, settings, "model.pretrained")
    loaded = {"net.body.weight": weights["backbone.weight"], "net.body.bias": weights["backbone.bias"]}
    assert all(torch.equal(value, (initial | loaded)[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rename": {r"^backbone\.": "net.body."}, "skip": ["net.head.*"]},
            "model.pretrained: FILE does not fit this model\nin the file: fc.weight (9, 3); in the model: none\n"
            "Set model.pretrained.rename, model.pretrained.skip, or model.pretrained.strict: false",
        ),
        ({"skip": ["net.haed.*"]}, "model.pretrained.skip: no tensor is called 'net.haed.*'; did you mean 'net.head."),
        (
            {"strict": False},
            "model.pretrained: none of the 3 tensors of FILE has a name and shape of this model\n"
            "in the file: backbone.weight (3, 2), backbone.bias (3,), fc.weight (9, 3)\n"
            "in the model: weight (), net.body.weight (3, 2), net.body.bias (3,), ... (5)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    torch.save(backbone(), tmp_path / "x.pt")
    with pytest.raises(ConfigError) as caught:
        load_pretrained(Module(), Pretrained(str(tmp_path / "x.pt"), **change), "model.pretrained")
    assert str(caught.value).startswith(message.replace("FILE", str(tmp_path / "x.pt")))


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="contains no weights: neither a checkpoint of a run, nor tensors by name"):
        load_pretrained(Module(), Pretrained(str(tmp_path / "x.pt"), strict=False), "--finetune")


def test_checksum_is_that_of_the_file_and_is_checked(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"abc")
    checked = with_checksum(Pretrained(str(tmp_path / "x.pt")), "model.pretrained")
    assert checked.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert with_checksum(checked, "model.pretrained") == checked
    (tmp_path / "x.pt").write_bytes(b"abd")
    with pytest.raises(ConfigError, match=r"^model.pretrained: the sha256 of .* is .*, not .*: it is another file"):
        with_checksum(checked, "model.pretrained")


def test_run_records_the_file_and_resumes_without_it(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a learning rate of 0, the last weights are those of the file; `~` is expanded."""
    monkeypatch.setenv("HOME", str(tmp_path))
    net = MLP(in_features=64, num_classes=10, hidden=8)
    torch.save({"model": {f"module.{name}": value for name, value in net.state_dict().items()}}, tmp_path / "x.pth")
    checksum = hashlib.sha256((tmp_path / "x.pth").read_bytes()).hexdigest()
    optimizer = {"type": "SGD", "lr": 0}
    config = tiny({"model": {"pretrained": {"path": "~/x.pth"}, "optimizer": optimizer}, "data": {"val": None}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert f"loaded 6 of the model's 6 tensors from {tmp_path}/x.pth, which contains 6" in ran.err
    run = tmp_path / "experiments/tiny"
    recorded = yaml.safe_load((run / "config.yaml").read_text())["model"]["pretrained"]
    assert recorded == {
        "path": f"{tmp_path}/x.pth",
        "rename": None,
        "skip": None,
        "strict": True,
        "sha256": checksum,
    }
    (tmp_path / "x.pth").unlink()
    ran = cli("fit", "--resume", run, "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert "resuming with changed settings: trainer.max_epochs is 2, was 1\n" in ran.err
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(saved[f"net.{name}"], value) for name, value in net.state_dict().items())
    assert cli("test", "--ckpt_path", run).code == 0
    ran = cli("fit", "--resume", run, "--model.pretrained.strict", "false")
    message = "error: --resume cannot change model.pretrained.strict; use --finetune to start a new run\n"
    assert (ran.code, ran.err) == (2, message)
