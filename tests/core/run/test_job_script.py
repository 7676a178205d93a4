"""job.sh runs nothing but the run, whatever the paths contain; git.diff has the bytes of the files."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from project.core import installation
from project.core.files import write_text
from project.core.run.git import describe_commit, read_git
from project.core.run.run_directory import RunDirectory
from tests.conftest import CONFIGS
from tests.core.run.test_run_directory import CONFIG

# Parts of paths. Each would create the file `marker` if a shell ran it.
PARTS = [
    "plain",
    "two words",
    "it's",
    'a "quoted" one',
    "$(touch marker)",
    "`touch marker`",
    "a\ntouch marker\n# b",
    "ends with a newline\n",
    "{braces} {0} {name}",
    "percent %s %(x)s",
    "back\\slash",
    "star*?[a]",
    "-rf",
    "; touch marker;",
    "!! & | > marker",
    "größe",
    os.fsdecode(b"not \xff utf-8"),
]
STUB = '#!/usr/bin/env bash\nprintf "%s\\0" "$PWD" "$@" > "$ARGUMENTS"\n'


# Of Slurm, srun only runs what follows its options, and scontrol knows no job.
SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'


def run_script(
    script: Path,
    tmp_path: Path,
    *argv: str,
    cwd: Path = Path("/"),
    slurm: Mapping[str, str] | None = None,
    shell: str = "bash",
) -> list[str]:
    """Run job.sh with a `python` that only notes its directory and arguments; return them."""
    stubs, arguments = tmp_path / "bin", tmp_path / "arguments"
    stubs.mkdir(exist_ok=True)
    for name, text in (("python", STUB), ("srun", SRUN), ("scontrol", "#!/usr/bin/env bash\nexit 1\n")):
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    environment = {"PATH": f"{stubs}:{os.environ['PATH']}", "ARGUMENTS": str(arguments), "CDPATH": str(tmp_path)}
    environment |= slurm or {}
    ran = subprocess.run([shell, str(script), *argv], cwd=cwd, env=environment, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    return [os.fsdecode(word) for word in arguments.read_bytes().split(b"\0")[:-1]]


@pytest.mark.parametrize("part", PARTS)
def test_script_is_safe_for_every_path(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, root = tmp_path / "work" / part, tmp_path / "root" / part
    work.mkdir(parents=True)
    (work / "cli.py").touch()
    monkeypatch.chdir(work)
    directory = RunDirectory(str(root), "a b=c")
    directory.create(CONFIG, replace=False, options=("--finetune", str(root / "other.ckpt")))
    directory.release()
    run = root / "a b=c"
    name = ["--name", "a b=c_rerun", "--finetune", str(root / "other.ckpt")]
    # A newline at the end of a path is lost in `$(pwd)`; the script then uses the path that was written.
    words = run_script(run / "job.sh", tmp_path, "--seed", "5")
    assert words == [str(work), "cli.py", "fit", "--config", str(run / "config.yaml"), *name, "--seed", "5"]
    assert run_script(Path("job.sh"), tmp_path, cwd=run) == [*words[:-2]]
    assert run_script(Path("a b=c/job.sh"), tmp_path, cwd=root) == [*words[:-2]]
    assert not [*tmp_path.rglob("marker")]


@pytest.mark.parametrize("part", PARTS)
def test_slurm_script_is_safe_for_every_path(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """job.sh hands over to scripts/slurm.sh, which also replaces %a in a job array."""
    work, root = tmp_path / "work" / part, tmp_path / "root" / part
    (work / "scripts").mkdir(parents=True)
    (work / "cli.py").touch()
    shutil.copy(CONFIGS.parent / "scripts/slurm.sh", work / "scripts")
    monkeypatch.chdir(work)
    directory = RunDirectory(str(root), "a b=c")
    directory.create(CONFIG, replace=False)
    directory.release()
    run = root / "a b=c"
    task = {"SLURM_PROCID": "0", "SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    words = run_script(run / "job.sh", tmp_path, "--seed", "%a", slurm=task | {"SLURM_CPUS_PER_TASK": "2"})
    expected = [
        str(work),
        "cli.py",
        "fit",
        "--config",
        str(run / "config.yaml"),
        "--name",
        "a b=c_rerun",
        "--seed",
        "3",
    ]
    assert words == expected
    assert not [*tmp_path.rglob("marker")]


def test_script_that_slurm_copied_finds_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directory = RunDirectory(str(tmp_path / "root"), "x")
    directory.create(CONFIG, replace=False)
    directory.release()
    (tmp_path / "copy.sh").write_text((tmp_path / "root/x/job.sh").read_text())
    words = run_script(tmp_path / "copy.sh", tmp_path)
    assert words[3:] == ["--config", str(tmp_path / "root/x/config.yaml"), "--name", "x_rerun"]


@pytest.mark.parametrize("slurm", [{}, {"SLURM_PROCID": "0", "SLURM_JOB_ID": "9"}], ids=["shell", "Slurm"])
@pytest.mark.parametrize("is_installed", [False, True], ids=["other directory", "wheel"])
def test_script_of_a_run_outside_the_checkout(
    is_installed: bool, slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run started elsewhere, or by the command that a wheel installs, is repeated by what is there."""
    monkeypatch.chdir(tmp_path)
    start = str(CONFIGS.parent / "cli.py")
    if is_installed:
        name, start = installation.PACKAGE.name, f"-m{installation.PACKAGE.name}"
        shared = tmp_path / "share" / name / "scripts"
        shared.mkdir(parents=True)
        shutil.copy(CONFIGS.parent / "scripts/slurm.sh", shared)
        monkeypatch.setattr(installation, "CHECKOUT", None)
        monkeypatch.setattr(installation, "PACKAGE", tmp_path / "lib/python3.11/site-packages" / name)
        (tmp_path / "scripts").mkdir()
        (tmp_path / "scripts/slurm.sh").write_text("exit 1  # of the user")
    directory = RunDirectory(str(tmp_path / "root"), "x")
    directory.create(CONFIG, replace=False)
    directory.release()
    words = run_script(tmp_path / "root/x/job.sh", tmp_path, slurm=slurm)
    assert words[:4] == [str(tmp_path), start, "fit", "--config"]


def test_rerun_of_the_longest_name_has_an_allowed_name(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path / "root"), "x" * 128)
    directory.create(CONFIG, replace=False)
    directory.release()
    name = run_script(tmp_path / "root" / ("x" * 128) / "job.sh", tmp_path, shell="sh")[-1]
    assert name == "x" * 122 + "_rerun"
    RunDirectory(str(tmp_path), name)


@pytest.mark.parametrize("content", [b"a\r\nb\r\n", b"caf\xe9\n"], ids=["line ends of Windows", "not UTF-8"])
@pytest.mark.parametrize("part", ["plain", "two words\n", "$(touch marker)"])
def test_difference_restores_the_files_byte_for_byte(
    part: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / part
    work.mkdir()
    monkeypatch.chdir(work)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "config", "color.ui", "always"], check=True)
    Path("code.py").write_bytes(b"first\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    Path("code.py").write_bytes(content)
    diff = read_git().diff
    assert diff is not None
    write_text(tmp_path / "git.diff", diff)
    Path("code.py").write_bytes(b"first\n")
    subprocess.run([*git, "apply", str(tmp_path / "git.diff")], check=True)
    assert Path("code.py").read_bytes() == content


def test_difference_contains_a_change_made_at_the_time_of_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same size and time as in the index may differ, if the index is not newer."""
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.trustctime=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "config", "core.trustctime", "false"], check=True)
    for content in ("first\n", "other\n"):
        Path("code.py").write_text(content)
        os.utime("code.py", (1e9, 1e9))
        if content == "first\n":
            subprocess.run([*git, "add", "."], check=True)
            subprocess.run([*git, "commit", "-qm", "x"], check=True)
            os.utime(".git/index", (1e9, 1e9))
    assert "+other" in str(read_git().diff)


def test_commit_has_a_plus_if_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert describe_commit() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert describe_commit() == head
    (tmp_path / "new").write_text("two")
    assert describe_commit() == f"{head}+"
