"""Write docs/llms.txt, the index of the documentation for coding assistants: https://llmstxt.org describes the format.

    python scripts/write_llms_txt.py

Sections and pages are those of the navigation in zensical.toml; a page has its title and its first sentence.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILE = "docs/llms.txt"


def describe_site(root: Path) -> str:
    """Return the text of docs/llms.txt.

    Args:
        root: directory of zensical.toml and docs/.
    """
    site = tomllib.loads((root / "zensical.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        f"# {site['site_name']}",
        "",
        f"> {site['site_description']}",
        "",
        "Links lead to pages of the site. The source of `how_to/callback/` is docs/how_to/callback.md.",
        "AGENTS.md, at the root of the repository, has the rules for changes.",
    ]
    for section in site["nav"]:
        ((title, pages),) = section.items()
        lines += ["", f"## {title}", *(describe_page(root / "docs", page) for page in list_pages(pages))]
    return "\n".join(lines) + "\n"


def list_pages(entry: Any) -> Iterator[str]:
    """Yield the paths of the pages in an entry of the navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from list_pages(part)


def describe_page(docs: Path, page: str) -> str:
    """Return the line of a page: its address on the site, its title and its first sentence."""
    text = (docs / page).read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    address = re.sub(r"(^|/)(index|README)\.md$", r"\1", page).removesuffix(".md")
    address += "" if address.endswith("/") or not address else "/"
    return f"- [{title.lstrip('# ')}]({address or './'}): {first_sentence(rest)}".removesuffix(": ")


def first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph, without links; empty if the page has none."""
    text = re.sub(r"^(```.*?^```|!\[.*?\]\(.*?\)|\[!\[.*)$", "", text, flags=re.M | re.S)
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if re.match(r"[`*]*[A-Z0-9]", paragraph):
            flat = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
            sentence = re.split(r"(?<=[.:])\s(?=[A-Z`*-]|$)", flat, maxsplit=1)[0]
            return sentence if sentence.endswith("?") else sentence.removesuffix(":").removesuffix(".") + "."
    return ""


if __name__ == "__main__":
    (ROOT / FILE).write_text(describe_site(ROOT), encoding="utf-8")
