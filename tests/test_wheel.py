import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_code_data_and_yaml(tmp_path: Path) -> None:
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
        for package in ("project", "ops")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith(("project/", "ops/"))} == packaged
    assert {"project/py.typed", "project/datasets/digits.npz", "ops/csrc/cpu/ssim.cpp", "ops/py.typed"} <= packaged
    yaml = {path.name for path in (ROOT / "configs").rglob("*.yaml")}
    assert {Path(name).name for name in names if name.endswith(".yaml")} == yaml >= {"default.yaml", "digits.yaml"}
    assert not [name for name in names if name.startswith("tests/")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
