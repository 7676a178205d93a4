"""Tests of the table in docs/coming_from/index.md: our own column is true."""

import re

import pytest

from project.commands import WITHOUT_TORCH
from project.core.cli.arguments import COMMANDS, STAGES
from project.core.cli.unsupported import check_arguments
from project.core.errors import ConfigError
from tests.template.coming_from.pages import read_page
from tests.template.conftest import ROOT

# The test that proves a cell of our column, by the beginning of its row.
PROOFS = {
    "the same run twice": ("core/run/test_exact_resume.py", "test_resume_from_every_step_is_exact"),
    "killed (SIGKILL)": ("core/run/test_kills.py", "test_run_killed_at_a_chosen_moment"),
    "killed after the end": ("core/run/test_exact_resume.py", "test_resume_within_an_epoch_and_at_its_end_is_exact"),
    "SIGUSR1": ("slurm/test_jobs.py", "test_preemption_by_slurm"),
    "a misspelled key at the top": ("core/cli/mistakes.yaml", "has no setting 'modle'; did you mean 'model'"),
    "a misspelled argument": ("core/cli/mistakes.yaml", r"\(MLP\) has no setting 'hiden'; did you mean 'hidden'"),
}


def cells(row: str) -> list[str]:
    """Return the cells of the row that begins with some words."""
    line = re.search(rf"^\| {re.escape(row)}.*$", read_page("index"), re.M)
    assert line is not None, row
    return [cell.strip() for cell in line[0].strip("|").split("|")]


@pytest.mark.parametrize("row", PROOFS)
def test_cell_has_a_test_that_proves_it(row: str) -> None:
    """A test that is renamed or removed leaves no claim on the page."""
    path, name = PROOFS[row]
    assert cells(row)[1] in ("same bits", "yes", "refused, with the nearest name")
    assert re.search(name, (ROOT / "tests" / path).read_text(encoding="utf-8"))


def test_commands_are_those_of_the_command_line() -> None:
    listed = re.findall(r"`(\w+)`", cells("commands, beside")[1])
    assert {*listed} == {*STAGES, *COMMANDS} - {"fit", "validate", "test"}
    assert {*WITHOUT_TORCH} <= {*listed}


def test_strategies_that_split_a_model_are_refused() -> None:
    assert cells("strategies for")[1] == "no"
    for name in ("fsdp", "deepspeed"):
        with pytest.raises(ConfigError, match="split over devices"):
            check_arguments({"strategy": name}, is_fit=True)


def test_number_of_experiments() -> None:
    found = [path for path in (ROOT / "configs").glob("*.yaml") if path.stem != "default"]
    assert cells("ready experiments")[1] == str(len(found))
