"""A package under another name: where it is meant, and not where the same word means something else."""

import re


class Renaming:
    """Changes the name in a text.

    Args:
        old: the package's name.
        new: its new one.
        members: what stands in the package: `core`, `registry.py`, `registry`, ...
    """

    def __init__(self, old: str, new: str, members: set[str]) -> None:
        self.old, self.new, self.members = old, new, members
        member = "|".join(sorted(map(re.escape, members), key=len, reverse=True))
        self.everywhere = [
            rf"(?<!\w){old}(?=_ops(?:\b|_))",  # the operations' namespace
            rf"(?<![\w-])(?<!(?<!\.)/){old}(?=/(?:(?:{member})\b|\{{))",  # a path, not an absolute one
            rf"(?<=[\"'`]){old}(?=/[\"'`])",
            rf"(?<![\w.-]){old}(?=\.(?:{member})\b)",  # a dotted path
            rf"(?<=\bfrom ){old}(?= import\b)",
            rf"(?<=\bimport ){old}(?= as \w|[ \t]*[;#,\r]|[ \t]*$)",
        ]
        self.languages = {
            ".md": [rf"(?<=`){old}(?=`)", rf"(?<=\.\./){old}\b", rf"(?<=--proj_name ){old}\b"],
            ".toml": [rf"(?<=[\"']){old}(?=[\"'/:])", rf"(?<=share/){old}(?=/)"],
        }

    def text(self, text: str, suffix: str) -> str:
        """A file's text under the new name.

        Args:
            text: under the old one.
            suffix: of the file's name: what is meant where depends on its language.
        """
        rules = [*self.everywhere, *self.languages.get(suffix, [])]
        if suffix == ".py" and re.search(rf"^\s*(from|import) {self.old}\b", text, re.M):
            rules.append(rf"(?<![\w.-]){self.old}(?=\.[A-Za-z_])")  # the package, as it is imported
        if suffix == ".md" and (example := re.search(r"--proj_name (\w+)", text)) and example[1] != self.old:
            text = Renaming(example[1], self.new, self.members).text(text, suffix)  # the page's own example
        return re.sub("|".join(rules), self.new, text, flags=re.M)
