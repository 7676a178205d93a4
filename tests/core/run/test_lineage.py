"""lineage.json tells what each step of a run was computed from, after resumes, forks and kills at any moment."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.errors import ConfigError
from project.core.files import link
from project.core.run import start
from project.core.run.lineage import LINEAGE, Segment, add_segment, read_lineage, segment_of
from project.core.run.summary import RunSummary
from project.study.verify.known_states import read_record
from tests.conftest import Cli, slow_except
from tests.exactness import curves, differing, flat, outcome

FORK = {"run": "a", "checkpoint": "a/c.ckpt", "step": 4, "sha256": "0"}
STEPS: dict[str, Any] = {
    "model": {"net": {"dropout": 0.2}},
    "data": {"val": None},
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "trainer": {"limit_train_batches": 3, "max_epochs": 2},
}


def later(step: int, number: int, **values: Any) -> Segment:
    return Segment(step, f"config.resume{number}.yaml", f"environment.resume{number}.json", **values)


def step_of(run: Path, step: int) -> Path:
    (path,) = (run / "checkpoints").glob(f"*_step_{step:06d}.ckpt")
    return path


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str]) -> Callable[..., None]:
    """Return a function that trains a run of 6 steps, with more options."""
    config = tiny(STEPS)

    def call(*options: str | Path) -> None:
        ran = cli("fit", *([] if "--resume" in options else ["--config", config]), *options)
        assert ran.code == 0, ran.err

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a place for the run that all tests copy."""
    return {}


@pytest.fixture
def run(fit: Callable[..., None], trained: dict[str, Path], tmp_path_factory: Any, tmp_path: Path) -> Path:
    """Return the directory of a run of 6 steps."""
    run = tmp_path / "experiments/tiny"
    if not trained:
        fit()
        trained["run"] = Path(shutil.copytree(run, tmp_path_factory.mktemp("trained") / "tiny"))
    elif not run.exists():
        shutil.copytree(trained["run"], run)
        config = (run / "config.yaml").read_text()
        assert "root: experiments" in config
    return run


def test_segments_are_read_as_they_were_written(tmp_path: Path) -> None:
    first = Segment(pretrained={"path": "p", "sha256": "0"})
    add_segment(tmp_path, first)
    add_segment(tmp_path, later(5, 1))
    add_segment(tmp_path, later(9, 2))
    assert read_lineage(tmp_path) == [first, later(5, 1), later(9, 2)]
    add_segment(tmp_path, later(7, 3))
    add_segment(tmp_path, later(7, 4))
    assert read_lineage(tmp_path) == [first, later(5, 1), later(7, 4)]
    assert [segment_of(read_lineage(tmp_path), step) for step in (1, 5, 6, 7, 8)] == [
        *(first, first, later(5, 1), later(5, 1), later(7, 4))
    ]


def test_a_start_that_repeats_the_first_one_has_its_origin(tmp_path: Path) -> None:
    """A fork that is killed before its first step is resumed in its own directory, and is a fork still."""
    add_segment(tmp_path, Segment(4, forked_from=FORK))
    add_segment(tmp_path, later(4, 1))
    assert read_lineage(tmp_path) == [later(4, 1, forked_from=FORK)]
    add_segment(tmp_path, later(6, 2))
    assert read_lineage(tmp_path) == [later(4, 1, forked_from=FORK), later(6, 2)]
    with pytest.raises(ConfigError, match=r"^step 4 was trained by a, from which this run was forked after step 4$"):
        segment_of(read_lineage(tmp_path), 4)


def test_a_new_run_forgets_what_was_there(tmp_path: Path) -> None:
    add_segment(tmp_path, Segment(4, forked_from=FORK))
    add_segment(tmp_path, Segment())
    assert read_lineage(tmp_path) == [Segment()]


def test_of_an_older_run_the_first_segment_is_assumed(tmp_path: Path) -> None:
    assert read_lineage(tmp_path) == [Segment(assumed=True)]
    add_segment(tmp_path, later(3, 2))
    assert read_lineage(tmp_path) == [Segment(assumed=True), later(3, 2)]


def changed(**values: object) -> str:
    return json.dumps([asdict(Segment()) | values])


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "7", "[7]", "null", "[" * 100_000, "\udcff"),
        changed(from_step="3"),
        changed(from_step=-1),
        changed(from_step=True),
        changed(from_step=2.5),
        changed(config=7),
        changed(config="../../secret.yaml"),
        changed(environment="/etc/passwd"),
        changed(pretrained="x"),
        changed(pretrained={"path": "x"}),
        changed(pretrained={"path": "x", "sha256": 7}),
        changed(finetuned={"path": "x", "sha256": "0"}),
        changed(forked_from=FORK | {"step": "4"}),
        changed(forked_from=FORK | {"step": -4}),
        changed(forked_from=FORK | {"run": 3}),
        changed(forked_from=[1]),
        changed(assumed="no"),
        changed(other=1),
        json.dumps([asdict(Segment(5)), asdict(later(5, 1))]),
        json.dumps([asdict(Segment(5)), asdict(later(3, 1))]),
    ],
)
def test_a_damaged_file_is_one_line(text: str, tmp_path: Path) -> None:
    """A run directory may be a stranger's: each value is checked, and no file outside of it is named."""
    (tmp_path / LINEAGE).write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/{LINEAGE} is damaged: .+$") as raised:
        read_lineage(tmp_path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_directory_in_its_place_is_damage(tmp_path: Path) -> None:
    (tmp_path / LINEAGE).mkdir()
    with pytest.raises(ConfigError, match="is damaged: it is no file"):
        read_lineage(tmp_path)


def test_a_damaged_file_ends_a_resume_before_anything_changes(cli: Cli, run: Path) -> None:
    (run / LINEAGE).write_text("[")
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()}
    ran = cli("fit", "--resume", step_of(run, 2))
    assert ran.code == 2
    assert len(ran.err.strip().splitlines()) == 1
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()} == before


def test_a_resume_from_an_earlier_step_cuts(fit: Callable[..., None], run: Path) -> None:
    assert read_lineage(run) == [Segment()]
    fit("--resume", step_of(run, 4), "--model.optimizer.lr", "0.1")
    assert read_lineage(run) == [Segment(), later(4, 1)]
    fit("--resume", step_of(run, 2))
    assert read_lineage(run) == [Segment(), later(2, 2)]
    for segment in read_lineage(run):
        assert (run / segment.config).is_file()
        assert set(json.loads((run / segment.environment).read_text())) >= {"numerics", "data", "packages"}


def test_a_resume_without_the_file_says_what_is_not_known(fit: Callable[..., None], run: Path) -> None:
    (run / LINEAGE).unlink()
    fit("--resume", step_of(run, 4))
    assert read_lineage(run) == [Segment(assumed=True), later(4, 1)]
    assert re.search(
        r"WARNING an older version trained this run.*config\.yaml.*--finetune", (run / "log.txt").read_text()
    )


@pytest.mark.slow
def test_weights_of_finetune_are_those_of_the_first_segment(
    fit: Callable[..., None], run: Path, tmp_path: Path
) -> None:
    """All settings are recorded: job.sh alone has them besides, and a replay needs them."""
    weights = run / "checkpoints/last.ckpt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    options = ["--finetune.skip", "[net.head.*]", "--finetune.strict", "false"]
    fit("--name", "tuned", "--finetune", weights.relative_to(tmp_path), *options)
    tuned = run.with_name("tuned")
    settings = {"path": str(weights), "rename": None, "skip": ["net.head.*"], "strict": False, "sha256": digest}
    assert read_lineage(tuned) == [Segment(finetuned=settings)]
    fit("--resume", step_of(tuned, 3))
    assert read_lineage(tuned) == [Segment(finetuned=settings), later(3, 1)]


@pytest.mark.slow
def test_pretrained_weights_are_those_of_the_first_segment(fit: Callable[..., None], run: Path, tmp_path: Path) -> None:
    weights = run / "checkpoints/last.ckpt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    fit("--name", "pre", "--model.pretrained.path", weights.relative_to(tmp_path))
    pre = run.with_name("pre")
    assert read_lineage(pre) == [Segment(pretrained={"path": str(weights), "sha256": digest})]
    fit("--resume", step_of(pre, 3), "--name", "fork")
    (fork,) = read_lineage(run.with_name("fork"))
    assert fork.pretrained is None
    assert fork.forked_from is not None


def test_fast_dev_run_records_nothing(fit: Callable[..., None], tmp_path: Path) -> None:
    fit("--trainer.fast_dev_run", "true")
    assert not [*tmp_path.rglob(LINEAGE)]


@pytest.mark.parametrize("name", slow_except(["restore_loggers", "describe_environment", "add_segment"], "add_segment"))
def test_a_killed_resume_leaves_no_lie(
    name: str, cli: Cli, fit: Callable[..., None], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded is true of the checkpoints in the directory, wherever the start was killed."""
    with monkeypatch.context() as patch:
        patch.setattr(start, name, kill)
        patch.setattr(RunSummary, "_end", kill)
        assert cli("fit", "--resume", step_of(run, 3), "--model.optimizer.lr", "0.1").code != 0
    assert read_lineage(run) == [Segment()]
    assert read_record(run).problems == []  # summary.json is that of the finished run
    fit("--resume", run)
    assert read_lineage(run) == [Segment(), later(3, 2)]
    assert "lr: 0.01\n" in (run / "config.resume2.yaml").read_text()


@pytest.mark.parametrize("name", slow_except(["describe_environment", "add_segment"], "add_segment"))
def test_a_killed_fork_is_no_run_of_its_own(name: str, cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the checkpoint, but without its lineage, it would look as if it had trained all steps itself."""
    monkeypatch.setattr(start, name, kill)
    assert cli("fit", "--resume", step_of(run, 3), "--name", "fork").code != 0
    assert not [*run.with_name("fork").glob("checkpoints/*")]


@pytest.mark.parametrize("name", slow_except(["last.ckpt", "epoch_0001_step_000006.ckpt"], "last.ckpt"))
def test_a_fork_whose_checkpoint_is_removed_meanwhile_is_refused(
    name: str, cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its origin, which still trains: last.ckpt is another one then."""
    checkpoint = run / "checkpoints" / name

    def go_on(*_: object) -> dict[str, Any]:
        step_of(run, 6).unlink()
        link(step_of(run, 5), run / "checkpoints/last.ckpt")
        return {}

    monkeypatch.setattr(start, "describe_environment", go_on)
    ran = cli("fit", "--resume", checkpoint, "--name", "fork", "--trainer.max_epochs", "3")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {checkpoint} was removed or replaced while this run started")
    assert not run.with_name("fork").exists()


def kill(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def fork(fit: Callable[..., None], run: Path) -> Callable[..., Path]:
    """Return a function that forks the run, or another one, under a name."""

    def call(name: str, step: int, *options: str, origin: Path = run) -> Path:
        fit("--resume", step_of(origin, step), "--name", name, *options)
        return run.with_name(name)

    return call


def test_an_unchanged_fork_ends_with_the_same_bits(fork: Callable[..., Path], run: Path) -> None:
    """So does a fork of a fork, whose origin is the first one."""
    one = fork("one", 2)
    two = fork("two", 4, origin=one)
    whole = outcome(run)
    for forked, step, origin in ((one, 2, run), (two, 4, one)):
        expected = {path: value for path, value in whole.items() if ".curves." not in path}
        expected |= {path: value for path, value in outcome_after(run, step).items() if ".curves." in path}
        assert not differing(expected, outcome(forked))
        source = step_of(origin, step)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        origins = {"run": str(origin), "checkpoint": str(source), "step": step, "sha256": digest}
        assert read_lineage(forked) == [Segment(step, forked_from=origins)]


def outcome_after(run: Path, step: int) -> dict[str, Any]:
    """Return the curves of a run after a step, as `outcome` does."""
    return flat({"curves": {tag: [each for each in points if each[0] > step] for tag, points in curves(run).items()}})


@pytest.mark.slow
def test_a_changed_fork_differs_only_after_its_start(fork: Callable[..., Path], run: Path) -> None:
    changed = fork("changed", 3, "--model.optimizer.lr", "0.1")
    for step in (3, 4, 6):
        one, two = (torch.load(step_of(each, step), weights_only=True) for each in (run, changed))
        equal = all(torch.equal(one["state_dict"][key], value) for key, value in two["state_dict"].items())
        assert equal == (step == 3)
    assert "lr: 0.1\n" in (changed / read_lineage(changed)[0].config).read_text()


@pytest.mark.slow
def test_a_fork_of_last_ckpt_names_the_file_of_its_step(fit: Callable[..., None], run: Path) -> None:
    """The origin may go on, and its last.ckpt is another one then."""
    fit("--resume", run / "checkpoints/last.ckpt", "--name", "long", "--trainer.max_epochs", "3")
    (segment,) = read_lineage(run.with_name("long"))
    assert segment.forked_from is not None
    assert segment.forked_from["checkpoint"] == str(step_of(run, 6))
