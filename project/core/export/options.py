"""The option --formats of `export`."""

from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.export.files import check_packages

FORMATS = ("onnx", "pt2")  # suffixes of the files


def parse_formats(text: str | None) -> list[str]:
    """Return the formats that --formats names, separated by commas; onnx without the option.

    Raises:
        ConfigError: one of them is unknown or repeated, or a package that writes it is not installed.
    """
    formats = [name.strip() for name in ("onnx" if text is None else text).split(",")]
    for name in formats:
        if name not in FORMATS:
            near = did_you_mean(name, FORMATS)
            raise ConfigError(f"--formats: no format is called '{name}'{near}\nknown: {join_names(FORMATS)}")
        if formats.count(name) > 1:
            raise ConfigError(f"--formats names {name} twice")
    if "onnx" in formats:
        check_packages()
    return formats
