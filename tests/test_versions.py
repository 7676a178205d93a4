"""Declared versions: constraints.txt and the lowest versions lie in the ranges of pyproject.toml."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts/lowest_versions.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED: dict[str, SpecifierSet] = {
    canonicalize_name(Requirement(text).name): Requirement(text).specifier for text in SCRIPT["declared"]()
}


def pins(text: str) -> dict[str, str]:
    """Return the versions by name in a constraints file."""
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)$", text)}


def outside(versions: dict[str, str]) -> list[str]:
    """Return the direct dependencies without a version, or with one outside the declared range."""
    return [name for name, allowed in DECLARED.items() if name not in versions or versions[name] not in allowed]


def test_constraints_pin_every_direct_dependency_in_its_range() -> None:
    assert {"torch", "jsonargparse", "pytest", "mypy"} <= DECLARED.keys()
    assert outside(pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))) == []


def test_uv_installs_the_versions_of_constraints_txt() -> None:
    """`uv sync` reads no constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    expected = [line for line in lines if line and not line.startswith("#")]
    found = PYPROJECT["tool"]["uv"]["constraint-dependencies"]
    assert found == expected, "write these to tool.uv.constraint-dependencies of pyproject.toml:\n" + "\n".join(
        f'    "{line}",' for line in expected
    )


def test_uv_installs_the_extra_dev() -> None:
    assert PYPROJECT["dependency-groups"]["dev"] == [f"{PYPROJECT['project']['name']}[dev]"]


def test_classifiers_name_the_versions_of_python_that_are_tested() -> None:
    """The versions of CI are those that uv resolves, and include the lowest that is required."""
    if not (workflow := ROOT / ".github/workflows/ci.yml").is_file():
        pytest.skip("no workflow of GitHub")
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    versions = jobs["system"]["strategy"]["matrix"]["python"]
    marker = Marker(PYPROJECT["tool"]["uv"]["environments"][0])
    assert [marker.evaluate({"python_version": each, "python_full_version": f"{each}.9"}) for each in versions] == [
        True for _ in versions
    ]
    assert f">={versions[0]}" == PYPROJECT["project"]["requires-python"]
    classifiers = PYPROJECT["project"]["classifiers"]
    named = [each.rpartition(" ")[2] for each in classifiers if each.startswith("Programming Language :: Python :: 3.")]
    assert set(named) <= set(versions)


def test_dev_has_what_the_extras_need_that_tests_use() -> None:
    """`dev` repeats their requirements: one that is changed in one place only would be tested in another version."""
    extras = dict(PYPROJECT["project"]["optional-dependencies"])
    dev = set(extras.pop("dev"))
    assert [name for name, requirements in extras.items() if not dev.issuperset(requirements)] == ["plots"]


def test_lowest_versions_are_the_declared_ones(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "scripts/lowest_versions.py"), run_name="__main__")
    lowest = pins(capsys.readouterr().out)
    assert lowest.keys() == DECLARED.keys()
    assert outside(lowest) == []
    assert all(f">={version}" in str(DECLARED[name]) for name, version in lowest.items())


@pytest.mark.parametrize("requirement", ["torch", "torch<3", "torch==2.13", "torch!=2.11,>=2.10"])
def test_a_requirement_needs_a_lower_bound(requirement: str) -> None:
    with pytest.raises(ValueError, match="must begin with its lower bound; write NAME>=VERSION"):
        SCRIPT["constraint"](requirement)
