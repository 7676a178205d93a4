"""What two runs were computed from is compared by files that may be a stranger's."""

import json
from pathlib import Path
from typing import Any

import pytest

from project.core.errors import ConfigError
from project.core.run.git import GitState, read_git
from project.core.run.lineage import Segment
from project.study.bisect.surroundings import CODE, Source, differing_sources, is_present, read_source

COMMIT = "0123456789" * 4


def write(run: Path, settings: str, diff: str | None = None, **environment: Any) -> Path:
    run.mkdir()
    (run / "config.yaml").write_text(settings)
    (run / "environment.json").write_text(json.dumps(environment))
    if diff is not None:
        (run / "git.diff").write_text(diff)
    return run


def test_differences_are_listed(tmp_path: Path) -> None:
    git = {"commit": COMMIT, "is_dirty": True}
    threads: dict[str, Any] = {"torch": 1, "processes": 1}
    one = write(tmp_path / "a", "name: a\nseed: 0\nmodel: {lr: 0.1}\n", "changed", git=git, threads=threads)
    two = write(
        tmp_path / "b",
        "name: b\nseed: 1\nmodel: {lr: 0.1}\n",
        git=git | {"is_dirty": False},
        threads=threads | {"torch": 2},
    )
    sources = [read_source(run, Segment()) for run in (one, two)]
    assert differing_sources(*sources) == {
        "settings": ["seed: 0 -> 1"],
        "environment": ["threads.torch: 1 -> 2"],
        "code": ["commit 0123456789 with changes -> commit 0123456789"],
    }
    assert sources[0].code == GitState(COMMIT, "changed")
    assert sources[0].processes == 1
    assert differing_sources(sources[0], sources[0]) == {}


def test_what_a_run_does_not_tell_is_unknown(tmp_path: Path) -> None:
    """A commit is given to git only if it is one; a link may show files of this machine."""
    run = write(tmp_path / "a", "seed: 0\n", git={"commit": "--output=/tmp/x", "is_dirty": False})
    assert read_source(run, Segment()).code == GitState(None, None)
    (run / "environment.json").write_text(json.dumps({"git": {"commit": COMMIT, "is_dirty": True}}))
    (tmp_path / "secret").write_text("secret")
    (run / "git.diff").symlink_to(tmp_path / "secret")
    assert read_source(run, Segment()).code == GitState(COMMIT, None)
    (run / "environment.json").unlink()
    assert read_source(run, Segment()).environment == {}
    (run / "environment.json").write_text("{")
    with pytest.raises(ConfigError, match=r"environment.json is damaged"):
        read_source(run, Segment())


def test_present_code_is_recognized() -> None:
    present = read_git(CODE)
    assert is_present(present) == (present.commit is not None)
    assert not is_present(GitState(COMMIT, ""))
    assert not is_present(GitState(None, None))


def test_data_that_was_another_is_named() -> None:
    """Of a file with the same content, another time means nothing; of one without a checksum, it is all there is."""
    file = {"size": 1, "modified": "monday", "sha256": "1"}
    one = {"a": file, "b": file, "c": file | {"sha256": None}, "d": file}
    two = {"a": file | {"modified": "friday"}, "b": file | {"sha256": "2"}, "c": one["c"] | {"modified": "friday"}}
    sources = [Source(Path("run"), {}, {}, GitState(None, None), data) for data in (one, two)]
    lines = ["b differs: sha256", "c differs: modified", "only A has d"]
    assert differing_sources(*sources) == {"data": lines}
