"""Tests of the environment, speed, log and changes of the code on a page."""

import json
from pathlib import Path

from project.core.run.lineage import LINEAGE, Segment, add_segment
from project.study.report.surroundings import show_diffs, show_environment, show_log, show_origin, show_speed
from project.study.runs import RunRow
from tests.study.report.run_files import DIFF, ENVIRONMENT, LOG, write_files


def test_speed_is_from_the_summary_and_the_log() -> None:
    shown = str(show_speed(RunRow(Path("x"), seconds=60.0, steps=150), LOG))
    for name, value in (
        ("steps per second", "2.5"),
        ("seconds per epoch, median", "1.7"),
        ("seconds of the first epoch", "2.5"),
        ("training, all starts together", "1 min 0 s"),
    ):
        assert f"{name}</th><td>{value}</td>" in shown
    assert show_speed(RunRow(Path("x")), "no epochs") is None


def test_warnings_are_shown_once_with_their_number() -> None:
    shown = str(show_log(LOG))
    assert shown.count('class="warning">the loss is &lt;b&gt;large&lt;/b&gt;</td><td>2 times</td>') == 1
    assert "1 different warnings" in shown
    assert show_log("") is None


def test_a_long_log_is_cut() -> None:
    lines = "".join(f"2026-01-01 10:00:00 WARNING number {index}\n" for index in range(2_000))
    shown = str(show_log(lines))
    assert len(shown) < 70_000
    assert "1970 more are left out" in shown
    assert "only the last 50000 characters are shown" in shown
    assert "number 1999\n" in shown


def test_environment_says_what_changed_when_the_run_was_resumed(tmp_path: Path) -> None:
    resumed = {f"environment.resume{n}.json": json.dumps(ENVIRONMENT | {"threads": {"torch": n}}) for n in (10, 9)}
    write_files(tmp_path, {"environment.json": json.dumps(ENVIRONMENT), **resumed})
    problems: list[str] = []
    shown = str(show_environment(tmp_path, problems))
    assert problems == []
    assert '<th scope="row">python.version</th><td>3.11.7</td>' in shown
    assert '<th scope="row">git.commit</th><td>—</td>' in shown
    assert "packages (2)" in shown
    assert shown.index("Changed at resume9") < shown.index("1 → 9") < shown.index("Changed at resume10")
    assert show_environment(tmp_path / "other", problems) is None


def test_environment_sums_up_the_data(tmp_path: Path) -> None:
    """Files may be many, and their names a stranger's."""
    files = {f"<{n}>.bin": {"size": n, "modified": "2026", "sha256": None if n else "0"} for n in range(400)}
    data = {"files": files, "directories": {"d": {"files": 7, "size": 9}}, "left_out": []}
    more = {"numerics": {"fingerprint": "0123456789abcdef"}, "data": data}
    changed = {"data": data | {"files": {"<0>.bin": {"size": 5, "sha256": "1"}}, "left_out": ["sha256"]}}
    texts = {"environment.json": ENVIRONMENT | more, "environment.resume1.json": ENVIRONMENT | more | changed}
    write_files(tmp_path, {name: json.dumps(text) for name, text in texts.items()})
    shown = str(show_environment(tmp_path, []))
    assert '<th scope="row">numerics.fingerprint</th><td>0123456789abcdef</td>' in shown
    assert '<th scope="row">data</th><td>400 files, 1 of them with sha256; 1 directories of 7 files</td>' in shown
    assert "<0>" not in shown
    assert shown.count("&lt;399&gt;.bin") == 0  # only the first facts are shown
    assert "703 more are left out" in shown
    assert "0 → 5" in shown
    for damaged in (7, {"files": 3}, {"files": {"x": 1}}, [1]):
        write_files(tmp_path, {"environment.json": json.dumps(ENVIRONMENT | {"data": damaged})})
        assert show_environment(tmp_path, []) is not None


def test_a_fork_says_where_it_comes_from(tmp_path: Path) -> None:
    problems: list[str] = []
    assert show_origin(tmp_path, problems) is None
    origin = {"run": "/runs/<a>", "checkpoint": "/runs/c.ckpt", "step": 4, "sha256": "0"}
    for run, source in (("/runs/<a>", "/runs/&lt;a&gt;"), (None, "/runs/c.ckpt")):
        add_segment(tmp_path, Segment(4, forked_from=origin | {"run": run}))
        assert f">forked from {source} after step 4</p>" in str(show_origin(tmp_path, problems))
    assert problems == []
    (tmp_path / LINEAGE).write_text("[7]")
    assert show_origin(tmp_path, problems) is None
    assert [f"{tmp_path / LINEAGE} is damaged" in problem for problem in problems] == [True]


def test_lines_of_a_diff_have_their_colour(tmp_path: Path) -> None:
    """The header of a file is no change, and a removed line that begins with -- is one."""
    write_files(tmp_path, {"git.diff": f"{DIFF}--- a comment of SQL\n", "git.resume1.diff": DIFF})
    shown = str(show_diffs(tmp_path, []))
    assert '<span class="place">--- a/nets.py\n</span>' in shown
    assert '<span class="removed">-width = 1\n</span>' in shown
    assert '<span class="added">+width = &quot;&lt;/script&gt;&quot;\n</span>' in shown
    assert '<span class="removed">--- a comment of SQL\n</span>' in shown
    assert "git.resume1.diff, 6 lines" in shown


def test_a_huge_diff_is_cut(tmp_path: Path) -> None:
    write_files(tmp_path, {"git.diff": f"+{'x' * 5000}\n" * 3000})
    shown = str(show_diffs(tmp_path, []))
    assert "1000 more lines are left out" in shown
    assert len(shown) < 1_200_000
    assert "<details><summary>" in shown


def test_content_of_new_files_is_shown_of_code_only(tmp_path: Path) -> None:
    """A page is sent to others, and git.diff contains all files that git does not ignore, such as .env."""
    parts = [
        f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
        f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,2 @@\n+{text}\n+2\n"
        for name, text in ((".env", "password"), ("net.py", "width"))
    ]
    changed = "diff --git a/a.yaml b/a.yaml\n--- a/a.yaml\n+++ b/a.yaml\n@@ -1 +1 @@\n-old\n+new\n"
    (tmp_path / "git.diff").write_text("".join([*parts, changed]))
    shown = str(show_diffs(tmp_path, []))
    assert "password" not in shown
    assert [text in shown for text in ("+++ b/.env", "+width", "+2", "-old", "+new")] == [True] * 5
    assert shown.count("(git.diff contains this file)") == 1


def test_odd_times_in_a_log_are_passed_over() -> None:
    log = "2026-01-01 10:00:01 INFO    epoch 1/3   step 10   2.5.5 s   a\n"
    assert show_speed(RunRow(Path("x"), steps=1), log) is not None
    assert len(str(show_log("2026-01-01 10:00:01 WARNING " + "x" * 100_000))) < 60_000
