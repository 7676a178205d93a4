"""Each optimizer, scheduler, metric and loss of torch and torchmetrics works, or is refused in one line."""

import inspect
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim import SGD, lr_scheduler

from project.core.config.annotations import Parameter, parameters_of
from project.core.config.construction import raising_constructor_errors
from project.core.config.entries import EntryConverter
from project.core.config.terms import LossTerm
from project.core.errors import ConfigError
from project.core.model.wiring import NamedCall
from project.registry import LOSS_REGISTRY, METRIC_REGISTRY, OPTIMIZER_REGISTRY, SCHEDULER_REGISTRY, Metric
from tests.conftest import slow_except
from tests.core.random_configs import OPTIMIZERS, SCHEDULERS, halve, shrink

# Values of the arguments that classes of torchmetrics and torch require. A new class with another one fails here.
MEAN = {"type": "MeanSquaredError"}
ARGUMENTS: dict[str, Any] = {
    **{"task": "multiclass", "num_classes": 3, "num_labels": 3, "num_groups": 2, "num_outputs": 2, "in_features": 4},
    **dict.fromkeys(("min_recall", "min_precision", "min_specificity", "min_sensitivity", "threshold"), 0.5),
    **{"beta": 1.0, "p": 2.0, "data_range": 1.0, "things": [0], "stuffs": [1], "fs": 8000, "mode": "nb"},
    **{"base_metric": MEAN, "task_metrics": {"one": MEAN}, "personalized": False},
    **{"metric": {"type": "MulticlassAccuracy", "num_classes": 3, "average": None}},
    "metric_func": "torchmetrics.functional.audio.scale_invariant_signal_noise_ratio",
}
# Metrics that need other packages; those that are not exported without them are not among the external classes.
NEEDS = {
    "ROUGEScore": "nltk",
    "MemorizationInformedFrechetInceptionDistance": "torch-fidelity",
    "FrechetInceptionDistance": "torch-fidelity",
    "KernelInceptionDistance": "torch-fidelity",
    "MeanAveragePrecision": "pycocotools",
    "BERTScore": "transformers",
}


def build(entry: dict[str, Any], annotation: Any) -> Any:
    """Return what an entry of the yaml means."""
    converter = EntryConverter()
    expanded = converter.expand(entry, annotation, "here")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--here", type=annotation)
    with raising_constructor_errors(converter.components):
        return parser.instantiate_classes(parser.parse_object({"here": expanded}, defaults=False)).here


def own_arguments(parameters: dict[str, Parameter]) -> dict[str, Any]:
    """Return a value for each argument that a class requires, and the number of classes if it can be given."""
    needed = [name for name, item in parameters.items() if item.required or name == "num_classes"]
    return {name: ARGUMENTS[name] for name in needed}


def test_no_optimizer_or_scheduler_is_unclassified() -> None:
    assert set(OPTIMIZER_REGISTRY.external_classes()) == set(OPTIMIZERS)
    assert set(SCHEDULER_REGISTRY.external_classes()) == set(SCHEDULERS) - {"WarmupCosine", "Poly", "Warmup"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_steps(name: str) -> None:
    for settings in ({}, *OPTIMIZERS[name]):
        layer = nn.Embedding(3, 2, sparse=name == "SparseAdam")  # Muon takes only matrices
        optimizer = build({"type": name} | settings, OptimizerCallable)([{"params": [layer.weight]}])
        before = layer.weight.detach().clone()

        def closure(optimizer: torch.optim.Optimizer = optimizer, layer: nn.Embedding = layer) -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = layer(torch.tensor([0, 1])).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        assert not torch.equal(layer.weight[:2], before[:2])


def rates(scheduler: Any, count: int = 8) -> list[float]:
    """Return the learning rate of each step."""
    found = []
    for _ in range(count):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step(*([1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
    return found


@pytest.mark.parametrize("name", SCHEDULER_REGISTRY.external_classes())
def test_each_scheduler_has_the_learning_rates_of_torch(name: str) -> None:
    def optimizer() -> SGD:
        return SGD([nn.Parameter(torch.zeros(1))], lr=0.5)

    def by_hand(entry: dict[str, Any], optimizer: SGD) -> Any:
        arguments = {key: {"halve": halve, "shrink": shrink}.get(str(item).rpartition(".")[2], item)
                     for key, item in entry.items() if key not in ("type", "monitor")}  # fmt: skip
        if "schedulers" in arguments:
            arguments["schedulers"] = [by_hand(each, optimizer) for each in arguments["schedulers"]]
        return getattr(lr_scheduler, entry["type"])(optimizer=optimizer, **arguments)

    entry = {"type": name} | SCHEDULERS[name]
    assert rates(build(entry, LRSchedulerCallable)(optimizer())) == rates(by_hand(entry, optimizer()))


METRICS = [*METRIC_REGISTRY.external_classes(), *(set(NEEDS) - set(METRIC_REGISTRY.external_classes()))]
FAST = ("MulticlassROC", "RetrievalMAP", "ROUGEScore", "FrechetInceptionDistance", "ClasswiseWrapper", "AUROC")


@pytest.mark.parametrize("name", slow_except(sorted(METRICS), *FAST))
def test_each_metric_is_built_or_needs_a_package(name: str) -> None:
    cls = METRIC_REGISTRY.resolve(name, "here")
    entry = {"type": f"{cls.__module__}.{cls.__qualname__}"} | own_arguments(parameters_of(cls))
    package = NEEDS.get(name)
    if package is None or find_spec(package.replace("-", "_")):
        assert isinstance(build(entry, Metric), nn.Module)
        return
    with pytest.raises(ConfigError) as caught:
        build(entry, Metric)
    assert str(caught.value).startswith(f"here ({name}) needs the package {package}: pip install ")
    assert "\n" not in str(caught.value)


def random(*shape: int) -> torch.Tensor:
    """Return the same random numbers each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


SCORES, TARGET = random(8, 3).split(4)
CLASSES, SIGNS, BITS = torch.tensor([0, 2, 1, 2]), torch.tensor([1, -1, 1, -1]), torch.tensor([0.0, 1, 1]).expand(4, 3)
# What each loss of torch takes: the tensors of the net's output and of the batch, in the order of its arguments.
LOSSES: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {
    **dict.fromkeys(("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"), ([SCORES], [TARGET])),
    **dict.fromkeys(("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"), ([SCORES], [CLASSES])),
    "NLLLoss2d": ([random(4, 3, 2, 2)], [CLASSES[:, None, None].expand(4, 2, 2)]),
    "PoissonNLLLoss": ([SCORES], [TARGET.abs()]),
    "GaussianNLLLoss": ([SCORES], [TARGET, TARGET.abs()]),
    "KLDivLoss": ([SCORES], [TARGET.softmax(1)]),
    "BCELoss": ([SCORES.sigmoid()], [BITS]),
    **dict.fromkeys(("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss"), ([SCORES], [BITS])),
    "MultiLabelMarginLoss": ([SCORES], [torch.tensor([[2, -1, 0]]).expand(4, 3)]),
    **dict.fromkeys(("HingeEmbeddingLoss", "SoftMarginLoss"), ([SCORES], [SIGNS[:, None].expand(4, 3)])),
    "CosineEmbeddingLoss": ([SCORES, SCORES + TARGET], [SIGNS]),
    "MarginRankingLoss": ([SCORES[:, 0], TARGET[:, 0]], [SIGNS]),
    **dict.fromkeys(("TripletMarginLoss", "TripletMarginWithDistanceLoss"), ([SCORES, TARGET, SCORES + TARGET], [])),
    "CTCLoss": (
        [random(5, 4, 3).log_softmax(2)],
        [torch.tensor([[1, 2]] * 4), torch.tensor([5] * 4), torch.tensor([2] * 4)],  # classes, and lengths
    ),
    "LinearCrossEntropyLoss": ([random(4, 4)], [CLASSES]),
}


@pytest.mark.parametrize("name", LOSS_REGISTRY.external_classes())
def test_each_loss_of_torch_gets_its_tensors_by_inputs(name: str) -> None:
    """Its value is that of torch, and the net's output gets a gradient."""
    cls = LOSS_REGISTRY.external_classes()[name]
    settings, (given, targets) = own_arguments(parameters_of(cls)), LOSSES[name]
    torch.manual_seed(0)
    loss: Any = cls(**settings)
    outputs = {f"output{number}": value.clone().requires_grad_() for number, value in enumerate(given)}
    batch = {f"target{number}": value for number, value in enumerate(targets)}
    inputs = dict(zip(inspect.signature(loss.forward).parameters, (*outputs, *batch), strict=True))
    torch.manual_seed(0)
    term = build({"type": name, "inputs": inputs} | settings, LossTerm)
    assert type(term.loss) is cls
    value = NamedCall(term.loss, "forward", "here", term.inputs)(batch, outputs)
    value.backward()
    assert torch.equal(value.detach(), loss(*given, *targets).detach())
    for output in outputs.values():
        assert output.grad is not None
        assert output.grad.isfinite().all()
        assert output.grad.any()
