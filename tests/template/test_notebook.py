"""The notebook is its source, also in a child, and its cells run."""

import sys
from pathlib import Path

import pytest

import project
from tests.template.conftest import ROOT

sys.path.append(str(ROOT / "scripts"))
from new_project.renaming import Renaming

jupytext, nbformat = pytest.importorskip("jupytext"), pytest.importorskip("nbformat")
SOURCE, NOTEBOOK = ROOT / "notebooks/tour.py", ROOT / "notebooks/tour.ipynb"


def cells(source: str, form: str) -> list[tuple[str, str]]:
    """Return kind and text of the cells of a notebook, or of its source (`py:percent`)."""
    return [(cell.cell_type, cell.source) for cell in jupytext.reads(source, form).cells]


def test_notebook_is_its_source_without_outputs() -> None:
    """Outputs contain times and paths; `jupytext --update --to ipynb notebooks/tour.py` writes the notebook."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert cells(text, "ipynb") == cells(SOURCE.read_text(encoding="utf-8"), "py:percent")
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in nbformat.reads(text, 4).cells)


def test_notebook_of_a_child_is_its_source() -> None:
    """A package of another name is renamed in both alike."""
    package = Path(project.__file__).parent
    members = {part for path in package.iterdir() for part in (path.name, path.stem)}
    functions = {name for name in vars(project) if not name.startswith("_")}
    renaming = Renaming(project.__name__, "Alpha", members | functions | {"Predictor"})
    texts = {path: renaming.text(path.read_text(encoding="utf-8"), path.suffix) for path in (SOURCE, NOTEBOOK)}
    assert cells(texts[NOTEBOOK], "ipynb") == cells(texts[SOURCE], "py:percent")
    assert "import Alpha\n" in texts[SOURCE]
    assert f"{project.__name__}." not in texts[NOTEBOOK]


@pytest.mark.slow
def test_cells_run(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The assertions of the notebook hold: a replayed step has the bits of the run, and the file the labels."""
    monkeypatch.setenv("PYTHONPATH", str(copy))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    notebook = nbformat.read(copy / "notebooks/tour.ipynb", 4)
    place = {"metadata": {"path": str(copy / "notebooks")}}
    client = pytest.importorskip("nbclient").NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=place
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    right = [float(line.partition(": ")[2]) for line in printed.splitlines() if line.startswith("right: ")]
    assert len(right) == 2
    assert min(right) > 0.9
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"image/png", "image/svg+xml"} <= kinds
