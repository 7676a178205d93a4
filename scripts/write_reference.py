"""Write the generated pages of the documentation: docs/reference/settings.md and components.md, with its pictures.

    python scripts/write_reference.py

Run it after a change of a setting or component, and commit what it writes.
"""

import sys
from pathlib import Path

from reference.components_page import components_page
from reference.pictures import write_pictures
from reference.settings_page import settings_page

REFERENCE = Path(__file__).parent.parent / "docs/reference"


def pages(pictures: Path) -> dict[str, str]:
    """Return the pages by the names of their files.

    Args:
        pictures: directory of the pictures.
    """
    return {"settings.md": settings_page(), "components.md": components_page(pictures)}


if __name__ == "__main__":
    for note in write_pictures(REFERENCE / "pictures"):
        print(note, file=sys.stderr)
    for name, text in pages(REFERENCE / "pictures").items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
