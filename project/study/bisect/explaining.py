"""What a first difference means, in words."""

from collections.abc import Sequence

_MOST_NAMES, _MOST_SAMPLES = 4, 12
_MEANINGS = {
    "lr": "the learning rate differs: settings of the optimizer or of the scheduler",
    "weight_decay": "the weight decay differs: settings of the optimizer",
    "data": "the batch differs: order, samples or augmentation",
    "loss": "state, learning rate and batch are equal, but not the loss: code of the net or the loss, random numbers "
    "such as those of dropout, or the machine",
    "gradient": "state, batch and loss are equal, but not the gradient: code, kernels or machine",
}
_START = "the runs start with different values: seed, pretrained weights, or code that initializes them"
_STATE = {
    "parameter": "the step before it had equal inputs and gradients, but its update differs: settings or code of the "
    "optimizer, or memory",
    "optimizer": "the step before it had equal inputs and gradients, but the state of the optimizer differs: its "
    "settings or code, or memory",
    "buffer": "a buffer differs, which a forward pass or a callback updates: its code, or memory",
    "average": "the average of the weights differs: its decay, or memory",
}


def explain(names: Sequence[str], is_start: bool, knows_previous: bool) -> str:
    """Return what the first difference of a step means.

    Args:
        names: the tensors that differ, in causal order.
        is_start: whether no step was done before it.
        knows_previous: whether all that the step before it computed with was compared, and is equal.
    """
    kind = kind_of(names[0])
    if kind in _MEANINGS:
        return _MEANINGS[kind]
    if is_start:
        return _START
    if knows_previous:
        return _STATE.get(kind, "what the step begins with differs, though the step before it was equal")
    return "what the step begins with differs; the step before it was not compared"


def kind_of(name: str) -> str:
    """Return the kind of a tensor, such as `gradient` of `gradient net.head.weight`."""
    return name.partition(" ")[0]


def list_names(names: Sequence[str]) -> str:
    """Return the first names in one line, and the number of the others."""
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def compare_samples(one: Sequence[object] | None, two: Sequence[object] | None) -> str:
    """Return which samples two batches contain; empty if that is not known."""
    if not one or not two:
        return ""
    if [*one] == [*two]:
        return f"both batches contain the same samples in the same order, with different contents: {_list(one)}"
    if sorted(map(str, one)) == sorted(map(str, two)):
        return f"the batches contain the same samples in another order: A {_list(one)}; B {_list(two)}"
    return f"samples only in A: {_list(_without(one, two))}; only in B: {_list(_without(two, one))}"


def describe_samples(samples: Sequence[object] | None, names: Sequence[str]) -> str:
    """Return the samples of a batch that a run does not repeat; empty if they are not known.

    Args:
        samples: those of the replays, which are equal.
        names: what the run recorded otherwise.
    """
    if not samples:
        return ""
    others = any(name.endswith(" index") for name in names)
    return (
        f"samples of that batch now: {_list(samples)}; {'they were others' if others else 'one of them was different'}"
    )


def _without(one: Sequence[object], two: Sequence[object]) -> list[object]:
    return [sample for sample in one if sample not in set(two)]


def _list(samples: Sequence[object]) -> str:
    more = f" and {len(samples) - _MOST_SAMPLES} more" if len(samples) > _MOST_SAMPLES else ""
    return f"{', '.join(map(str, samples[:_MOST_SAMPLES]))}{more}" or "none"
