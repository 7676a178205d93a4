"""Files that belong to the package and lie outside of it: in a checkout, or where pip has put them."""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None
COMMAND = "python cli.py" if CHECKOUT else PACKAGE.name  # what messages tell the user to run
# Not `pip install NAME`: on PyPI, the name may be that of another project.
_INSTALL = "pip install -c constraints.txt -e ." if CHECKOUT else "pip install, with the file of the wheel"


def describe_missing(error: ModuleNotFoundError) -> str | None:
    """Return what is not installed, and how to install all that is needed; None if something else is wrong.

    Args:
        error: raised while the engine was imported, all of whose packages are dependencies of this one.
    """
    module = (error.name or "").partition(".")[0]
    if not module or module in sys.modules or find_spec(module) is not None:
        return None
    return f"{module} is not installed for {sys.executable}\nInstall what is needed: {_INSTALL}"


def find_shared(name: str) -> Path | None:
    """Return a file or directory of the checkout, or the one that pip installed from the wheel; None if there is none.

    Args:
        name: its path in the checkout, such as configs/default.yaml.
    """
    # site-packages is in lib/python3.x of an environment, on Windows in Lib; `pip install --target` puts all in one.
    shares = [parent / "share" / PACKAGE.name for parent in [*PACKAGE.parents][:4]]
    found = (root / name for root in ([CHECKOUT] if CHECKOUT else shares))
    return next((path for path in found if path.exists()), None)


def start_word(directory: Path) -> str:
    """Return the word after `python` that starts the command line in a directory.

    Args:
        directory: the working directory.
    """
    if CHECKOUT is None:
        return f"-m{PACKAGE.name}"
    return "cli.py" if (directory / "cli.py").is_file() else str(CHECKOUT / "cli.py")


def find_base(file: Path, name: str) -> Path:
    """Return the file that `base: NAME` means in a yaml file: one beside it, else one in configs/."""
    beside = file.parent / name
    return beside if beside.exists() else find_shared(f"configs/{name}") or beside


def describe_installed(name: str) -> str:
    """Return where pip installed the config file of this name, if it did; no text in a checkout."""
    installed = None if CHECKOUT else find_shared(f"configs/{name}")
    return f"\nthe installed one is {installed}" if installed else ""
