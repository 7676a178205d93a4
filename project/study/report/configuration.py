"""What somebody set in the yaml files and options of a run, against the defaults of the engine."""

from pathlib import Path

from project.core.config.yaml_files import flatten, parse_untyped
from project.core.errors import ConfigError, message_of, shorten
from project.core.installation import find_shared
from project.study.columns import NOT_COMPARED
from project.study.files import MAX_YAML, read_file
from project.study.report.html import Html, section, tag
from project.study.report.pieces import details, format_number, grid, problem, read_text

_MAX_LENGTH = 200  # characters of a value
_MAX_FILE = 100_000  # characters of a file that are shown


def show_configuration(run: Path, settings: dict[str, object], problems: list[str]) -> Html:
    """Return a section with the settings that differ from the defaults, and the whole configuration.

    Args:
        run: the run directory.
        settings: the values of its config.yaml by config path.
        problems: receives what cannot be read.
    """
    given = _read(run / "given.yaml", problems)
    default_file = find_shared("configs/default.yaml")
    defaults = _read(default_file, problems) if default_file else None
    chosen = given if given is not None else {path: _as_yaml(str(value)) for path, value in settings.items()}
    rows = [
        [tag("th", path, scope="row"), _value(path, text, settings), (defaults or {}).get(path, "")]
        for path, text in chosen.items()
        if path.split(".")[0] not in NOT_COMPARED
        and not _equal(text, (defaults or {}).get(path))
        and (given is not None or text != "null" or path in (defaults or {}))
    ]
    note = "what was set in yaml files and options, where it differs from configs/default.yaml"
    if given is None:
        note = "what differs from configs/default.yaml; without given.yaml, defaults of components are among it"
    if defaults is None:
        note = "what is not null" if given is None else "what was set in yaml files and options"
    head = ["setting", "value", "default"] if defaults else ["setting", "value"]
    table = grid("settings", head, [row[: len(head)] for row in rows], class_="facts code")
    whole = read_text(run / "config.yaml", problems) or ""
    cut = problem(f"only the first {_MAX_FILE} characters are shown") if len(whole) > _MAX_FILE else None
    text = tag("pre", whole[:_MAX_FILE], tabindex=0)
    return section("Settings", table, details("config.yaml, all settings", cut, text), note=note)


def _read(file: Path, problems: list[str]) -> dict[str, str] | None:
    """Return the values of a yaml file as text, by config path; None if it is missing or damaged."""
    name = f"{file.parent.name}/{file.name}"
    try:
        tree = parse_untyped(read_file(file, MAX_YAML), name)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{name} cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError:
        problems.append(f"{name} is not a text file in UTF-8")
        return None
    except ConfigError as error:
        problems.append(message_of(error))
        return None
    if not isinstance(tree, dict):
        problems.append(f"{name} is damaged: it has no settings")
        return None
    return {path: _as_yaml(str(value)) for path, value in flatten(tree).items()}


def _as_yaml(text: str) -> str:
    return "null" if text == "None" else text


def _equal(text: str, default: str | None) -> bool:
    """Return whether two texts of yaml mean the same; numbers may be written differently."""
    if default is None or text == default:
        return text == default
    try:
        return float(text) == float(default)
    except ValueError:
        return text.lower() == default.lower() and text.lower() in ("true", "false")


def _value(path: str, text: str, settings: dict[str, object]) -> Html:
    """Return the cell of a value; a reference is shown with what it refers to."""
    if "${" in text and path in settings:
        resolved = format_number(settings[path], 12)
        return tag("td", shorten(resolved, _MAX_LENGTH), " ", tag("small", shorten(text, _MAX_LENGTH), class_="dim"))
    return tag("td", shorten(text, _MAX_LENGTH))
