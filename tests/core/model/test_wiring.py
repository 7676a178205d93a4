"""Methods get the tensors that their parameters name, and `per_sample` is computed once per batch."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from project.core.errors import ConfigError
from project.core.model.wiring import NamedCall, WiredTerm, as_picture, per_sample_columns, per_sample_once
from project.losses.base import Loss

ONE, TWO = torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)
LOGITS, LABEL = torch.tensor([[2.0, 1.0], [0.5, 0.0]]), torch.tensor([0, 1])


class Component:
    """Component whose methods return their arguments."""

    def call(
        self, a: Tensor, b: Tensor | None = None, *, batch: dict[str, Tensor], output: dict[str, Tensor]
    ) -> tuple[object, ...]:
        return a, b, sorted(batch), sorted(output)

    def first(self, a: Tensor) -> Tensor:
        return a

    def broken(self, a: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


class TakesAll:
    """Component that takes the whole output as keyword arguments."""

    def call(self, a: Tensor, **rest: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return a, rest


class Chosen(Loss):
    """Loss that is the mean of its values per sample, and counts their computation."""

    count = 0

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.per_sample(logits, label).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        self.count += 1
        return logits.gather(1, label[:, None])[:, 0]


class ChosenMean(Metric):
    """Metric that is the mean of its values per sample, and counts their computation."""

    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.add_state("values", [], "cat")

    def update(self, logits: Tensor, label: Tensor) -> None:
        self.values.append(self.per_sample(label=label, logits=logits))

    def compute(self) -> Tensor:
        return torch.cat(self.values).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        self.count += 1
        return logits.gather(1, label[:, None])[:, 0]


class Scaled(Chosen):
    """Loss that computes the values per sample of other tensors than those of the batch."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.per_sample(2 * logits, label).mean()


class ChangedInPlace(Chosen):
    """Loss that changes its values per sample in place."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        values = self.per_sample(logits, label)
        values *= 10
        return values.mean()


class Several(Chosen):
    """Loss with a variable number of tensors, which calls `per_sample` several times."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.per_sample(logits, label).mean() + self.per_sample(logits, label, logits).mean()

    def per_sample(self, logits: Tensor, label: Tensor, *more: Tensor) -> Tensor:
        self.count += 1
        return logits.gather(1, label[:, None])[:, 0] + len(more)


class Attribute(Loss):
    """Loss whose `per_sample` is an attribute of the object."""

    def __init__(self) -> None:
        super().__init__()
        self.per_sample = partial(Chosen.per_sample, Chosen())

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.per_sample(logits, label).mean()


def evaluate(*terms: WiredTerm) -> tuple[list[Tensor | None], dict[str, Tensor]]:
    """Return the results of the calls of a batch, and the columns, as the module computes them in `test`."""
    batch, output = {"label": LABEL}, {"logits": LOGITS}
    with per_sample_once(terms):
        results: list[Tensor | None] = [term.call(batch, output) for term in terms]
        return results, per_sample_columns({term.path: term for term in terms}, batch, output)


def test_parameters_get_the_tensors_that_they_name() -> None:
    assert NamedCall(Component(), "call", "path")({"a": ONE}, {"x": TWO}) == (ONE, None, ["a"], ["x"])
    assert NamedCall(Component(), "call", "path")({"a": ONE}, {"b": TWO}) == (ONE, TWO, ["a"], ["b"])


def test_inputs_replace_the_names_of_parameters() -> None:
    assert NamedCall(Component(), "first", "path", {"a": "x"})({"a": ONE}, {"x": TWO}) is TWO


def test_inputs_of_an_unknown_parameter_are_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        NamedCall(Component(), "call", "model.loss.x", {"bach": "x"})
    assert str(caught.value) == (
        "model.loss.x.inputs: Component.call has no argument 'bach'; did you mean 'batch'?\nknown: a, b, batch, output"
    )


def test_keyword_arguments_get_the_output_or_what_inputs_names() -> None:
    assert NamedCall(TakesAll(), "call", "path")({"a": ONE}, {"x": TWO, "y": ONE}) == (ONE, {"x": TWO, "y": ONE})
    assert NamedCall(TakesAll(), "call", "path", {"z": "y"})({"a": ONE}, {"x": TWO, "y": ONE}) == (ONE, {"z": ONE})


def test_name_in_batch_and_output_is_an_error() -> None:
    with pytest.raises(ConfigError, match=re.escape("path: 'a' is in the batch and in the net's output; rename one")):
        NamedCall(Component(), "first", "path")({"a": ONE}, {"a": ONE})


def test_missing_tensor_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        NamedCall(Component(), "first", "model.loss.x")({"aa": ONE}, {"x": TWO})
    assert str(caught.value) == (
        "model.loss.x (Component) needs 'a', which neither batch nor output contains; did you mean 'aa'?\n"
        "batch: aa; output: x\n"
        "If the name differs, set model.loss.x.inputs: {a: NAME}"
    )


def test_error_in_a_component_names_its_config_path_and_arguments() -> None:
    with pytest.raises(RuntimeError) as caught:
        NamedCall(Component(), "broken", "path")({"a": ONE}, {})
    assert caught.value.__notes__ == ["raised in path (Component), which got a (2, 3) float32"]


def test_term_without_per_sample_has_no_column() -> None:
    term = WiredTerm(Component(), "first", "path", {"a": "label"})
    assert term.per_sample is None
    assert evaluate(term) == ([LABEL], {})


@pytest.mark.parametrize("rows", [1, 3])
def test_per_sample_needs_a_row_for_each_sample(rows: int) -> None:
    """A column of other rows would be left out of samples.csv, or belong to other samples."""
    term = WiredTerm(Chosen(), "forward", "model.loss.chosen")
    batch = {"index": torch.arange(2), "label": torch.zeros(rows, dtype=torch.int64)}
    message = (
        rf"^model\.loss\.chosen \(Chosen\): per_sample \({rows},\) float32; it must have a row for each of 2 samples$"
    )
    with pytest.raises(ConfigError, match=message):
        per_sample_columns({"chosen": term}, batch, {"logits": torch.zeros(rows, 2)})


def test_inputs_of_the_term_are_used_by_per_sample() -> None:
    """Of `inputs`, `per_sample` gets those that name one of its arguments."""

    class WithScale(Chosen):
        def forward(self, logits: Tensor, label: Tensor, scale: Tensor | None = None) -> Tensor:
            return super().forward(logits, label)

    term = WiredTerm(WithScale(), "forward", "path", {"logits": "scores", "scale": "factor"})
    columns = per_sample_columns({"chosen": term}, {"label": LABEL}, {"scores": LOGITS})
    assert columns["chosen"].tolist() == [2, 0]


@pytest.mark.parametrize(("build", "method"), [(Chosen, "forward"), (ChosenMean, "update")])
def test_per_sample_is_computed_once_per_batch(build: Callable[[], Chosen | ChosenMean], method: str) -> None:
    component = build()
    term = WiredTerm(component, method, "path")
    for batches in (1, 2):
        _, columns = evaluate(term)
        assert columns["path"].tolist() == [2, 0]
        assert component.count == batches
    if isinstance(component, ChosenMean):
        assert component.compute() == 1


def test_per_sample_is_computed_again_for_other_tensors() -> None:
    component = Scaled()
    results, columns = evaluate(WiredTerm(component, "forward", "path"))
    assert results == [torch.tensor(2.0)]
    assert columns["path"].tolist() == [2, 0]
    assert component.count == 2


def test_per_sample_is_computed_again_for_equal_tensors_of_another_batch() -> None:
    component = Chosen()
    term = WiredTerm(component, "forward", "path")
    with per_sample_once([term]):
        assert term.call({"label": LABEL}, {"logits": LOGITS}) == 1
        assert per_sample_columns({"a": term}, {"label": LABEL.clone()}, {"logits": LOGITS})["a"].tolist() == [2, 0]
    assert component.count == 2


def test_forward_may_change_its_values_per_sample_in_place() -> None:
    results, columns = evaluate(WiredTerm(ChangedInPlace(), "forward", "path"))
    assert results == [torch.tensor(10.0)]
    assert columns["path"].tolist() == [2, 0]


def test_forward_may_call_per_sample_several_times() -> None:
    component = Several()
    results, columns = evaluate(WiredTerm(component, "forward", "path"))
    assert results == [torch.tensor(3.0)]
    assert columns["path"].tolist() == [2, 0]


@pytest.mark.parametrize("build", [Chosen, ChosenMean, Attribute])
def test_component_is_unchanged_afterwards(build: Callable[[], Chosen | ChosenMean | Attribute]) -> None:
    component = build()
    term = WiredTerm(component, "update" if isinstance(component, Metric) else "forward", "path")
    before, method = component.per_sample, term.per_sample
    assert method is not None
    with suppress(ZeroDivisionError), per_sample_once([term]):
        assert component.per_sample != before
        raise ZeroDivisionError
    assert component.per_sample == before == method.method
    assert ("per_sample" in vars(component)) == isinstance(component, Attribute)


def test_terms_may_share_a_component() -> None:
    component = Chosen()
    terms = WiredTerm(component, "forward", "one"), WiredTerm(component, "forward", "two")
    _, columns = evaluate(*terms)
    assert {path: values.tolist() for path, values in columns.items()} == {"one": [2, 0], "two": [2, 0]}
    assert "per_sample" not in vars(component)


def test_picture_of_integers_is_divided_by_255() -> None:
    assert as_picture(torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1), "path").flatten().tolist() == (
        pytest.approx([0, 0.2, 1])
    )
    picture = torch.rand(3, 2, 2)
    assert as_picture(picture, "path") is picture


@pytest.mark.parametrize(
    ("value", "got"), [(torch.zeros(1, 2, 2), "(1, 2, 2) float32"), (torch.zeros(3, 2), "(3, 2) float32"), (3, "int")]
)
def test_value_that_is_not_a_picture_is_an_error(value: object, got: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"path returns a {got}; it must be a picture (3, H, W)")):
        as_picture(value, "path")


def test_a_package_that_is_missing_in_a_call_is_a_mistake() -> None:
    """Such as matplotlib, which a visual may import when it draws."""

    class NeedsPackage:
        def draw(self, image: Tensor) -> Tensor:
            raise ModuleNotFoundError("no module", name="no_such_package")

    message = r"^visual \(NeedsPackage\) needs the package no_such_package: pip install no_such_package$"
    with pytest.raises(ConfigError, match=message):
        NamedCall(NeedsPackage(), "draw", "visual")({"image": torch.zeros(1)}, {})
