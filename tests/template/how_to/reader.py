"""Reader of a page who does what it says: writes its files, and calls its commands in this process."""

import importlib
import inspect
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import project
from tests.contract import test_models
from tests.template.conftest import ROOT

FENCE = r"^```(\w*)\n(.*?)^```$"
PAGES = sorted(path.stem for path in (ROOT / "docs/how_to").glob("*.md") if path.stem != "index")
PACKAGE = project.__name__
Call = Callable[[list[str]], str]


class Reader:
    """Reader in a directory that has the configs of the project.

    A fence whose first line is `# PATH` is a file; components in it are imported and registered. Of a fence in bash,
    each line that begins with `python cli.py` is called, and a file is run; `pip install` is not.

    Args:
        folder: current directory.
        call: calls a command with its words and returns its output.
    """

    def __init__(self, folder: Path, call: Call) -> None:
        self.folder, self._call = folder, call
        self.modules: list[str] = []

    def follow(self, name: str, *options: str, skip: str | None = None) -> str:
        """Follow a page of docs/how_to, and return the output of its commands.

        Args:
            name: name of the page.
            options: added to each `fit` and `sweep`, to shorten it.
            skip: regular expression of commands that are not called.
        """
        shown = ""
        for kind, block in re.findall(
            FENCE, (ROOT / f"docs/how_to/{name}.md").read_text(encoding="utf-8"), re.M | re.S
        ):
            if path := re.match(r"# (\S+\.(?:py|yaml|yml|csv|sh))\n", block):
                self._write(path[1], block)
            elif kind == "bash":
                lines = block.replace("\\\n", " ").splitlines()
                shown += "".join(self._run(line, options) for line in lines if not (skip and re.search(skip, line)))
        return shown

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".py" and name.startswith(f"{PACKAGE}/"):
            package = importlib.import_module(path.parent.relative_to(self.folder).as_posix().replace("/", "."))
            package.__path__.append(str(path.parent))
            self.modules.append(f"{package.__name__}.{path.stem}")
            importlib.invalidate_caches()
            importlib.import_module(self.modules[-1])

    def _run(self, line: str, options: tuple[str, ...]) -> str:
        words = shlex.split(line, comments=True)
        if not words or words[0] == "pip":
            return ""
        if words[0] == "python" and (self.folder / words[1]).is_file():
            runpy.run_path(words[1])
            return ""
        assert words[:2] == ["python", "cli.py"], line
        return self.call(*words[2:], *(options if words[2] in ("fit", "sweep") else ()))

    def call(self, *words: str) -> str:
        """Call a command by its words after `python cli.py`, and return its output."""
        return self._call([*words])

    def forget(self) -> None:
        """Remove the modules that a page wrote."""
        for name in self.modules:
            module = sys.modules.pop(name)
            package = sys.modules[name.rpartition(".")[0]]
            package.__path__.remove(str(Path(str(module.__file__)).parent))
            delattr(package, name.rpartition(".")[2])


def check_contract(cls: Any, folder: Path, exports: bool = False) -> None:
    """Run the contract tests of models for a class, as `pytest tests/contract -k NAME` does.

    Args:
        cls: the class.
        folder: directory for their files.
        exports: whether to run the test of the exported model, which takes seconds, or the others.
    """
    tests = {name: getattr(test_models, name) for name in dir(test_models) if name.startswith("test_")}
    chosen = [test for name, test in tests.items() if ("exported" in name) == exports]
    assert len(chosen) >= (1 if exports else 5)
    for test in chosen:
        (directory := folder / test.__name__).mkdir(parents=True)
        given = {"cls": cls, "tmp_path": directory}
        test(**{name: given[name] for name in inspect.signature(test).parameters})
