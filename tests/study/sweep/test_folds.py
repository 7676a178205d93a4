"""Which settings select a fold."""

import pytest

from project.core.config.yaml_files import parse_untyped
from project.core.errors import ConfigError
from project.study.sweep.folds import fold_settings


def settings(text: str) -> dict[str, object]:
    return fold_settings({"data": parse_untyped(text, "")}, {}, 5, 2)


def test_all_folds_are_set_also_inside_other_datasets() -> None:
    text = (
        "{train: {type: Subset, dataset: {type: Fold, k: 3, fold: 0}}, val: {one: {class_path: a.Fold, init_args: {}}}}"
    )
    assert settings(text) == {
        "data.train.dataset.k": 5,
        "data.train.dataset.fold": 2,
        "data.val.one.init_args.k": 5,
        "data.val.one.init_args.fold": 2,
    }


def test_dataset_of_a_class_of_the_users_own_with_these_arguments_is_a_fold() -> None:
    assert settings("{train: {type: ByPatient, k: 3, fold: 0}, val: {type: Fold}}")["data.train.fold"] == 2


def test_constants_are_set_where_folds_refer_to_them() -> None:
    """Other values that refer to them agree with the fold."""
    entry = "{type: Fold, k: '${vars.k}', fold: '${vars.fold}'}"
    assert settings(f"{{train: {entry}, val: [{entry}]}}") == {"vars.k": 5, "vars.fold": 2}


def test_folds_of_a_trial_count() -> None:
    data = {"data": parse_untyped("{train: {type: Fold}, val: {type: Points}}", "")}
    trial = {"data.val": parse_untyped("{type: Fold}", "")}
    assert fold_settings(data, trial, 5, 2)["data.val.k"] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{train: {type: Fold}, val: {type: Points}}", r"sweep.folds needs a dataset of type Fold in data.val\n"),
        (
            "{train: {type: Fold}, val: {type: Concat, datasets: [{type: Fold}]}}",
            "data.val.datasets.0.k, which is in a list",
        ),
    ],
)
def test_folds_that_cannot_be_set(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(text)
