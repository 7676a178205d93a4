import subprocess
import sys
import zipfile
from pathlib import Path

from project.registry import Registry

ROOT = Path(__file__).parent.parent
PACKAGE = str(Registry.__module__).partition(".")[0]


def test_wheel_contains_code_data_and_yaml(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packaged = {
        path.relative_to(ROOT).as_posix()
        for package in (PACKAGE, "ops")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith((f"{PACKAGE}/", "ops/"))} == packaged
    assert {f"{PACKAGE}/py.typed", "ops/csrc/cpu/ssim.cpp", "ops/py.typed"} <= packaged
    yaml = {path.name for path in (ROOT / "configs").rglob("*.yaml")}
    assert {Path(name).name for name in names if name.endswith(".yaml")} == yaml >= {"default.yaml", "debug.yaml"}
    assert not [name for name in names if name.startswith("tests/")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
