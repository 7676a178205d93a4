"""Renaming of a package in texts, without touching other uses of the same word."""

import re


class Renaming:
    """Renaming of a package in texts.

    Args:
        old: current name of the package.
        new: new name of the package.
        members: names in the package: `core`, `registry.py`, `registry`, ...
    """

    def __init__(self, old: str, new: str, members: set[str]) -> None:
        self.old, self.new, self.members = old, new, members
        member = "|".join(sorted(map(re.escape, members), key=len, reverse=True))
        self.everywhere = [
            rf"(?<!\w){old}(?=_ops(?:\b|_))",  # namespace of the operations
            rf"(?<![\w-])(?<!(?<!\.)/){old}(?=/(?:(?:{member})\b|\{{))",  # a relative path
            rf"(?<=[\"'`]){old}(?=[/.][\"'`])",
            rf"(?<![\w.-]){old}(?=\.(?:{member})\b)",  # a dotted path
            rf"(?<=\bfrom ){old}(?= import\b)",
            rf"(?<=\bimport ){old}(?= as \w|[ \t]*[;#,\r]|[ \t]*$)",
            rf"(?<=\bpython -m ){old}(?![\w./-])",
            rf"(?<=\"-m\", \"){old}(?=\")",  # of a Dockerfile
            rf"(?<=\buv run ){old}(?![\w./-])",  # the console command
            rf"^{old}(?= (?:--|[a-z]+ --)\w)",
        ]
        self.languages = {
            ".md": [
                rf"(?<=`){old}(?=`)",
                rf"(?<=\.\./){old}\b",
                rf"(?<=--proj_name ){old}\b",
                rf"(?<=share/){old}(?=/)",
                rf"(?<=/){old}(?=\.(?:bash|fish)\b)",  # the scripts for completion
            ],
            ".toml": [
                rf"(?<=[\"']){old}(?=[\"'/:\[])",
                rf"(?<=share/){old}(?=/)",
                rf"^{old}(?= = [\"']{old}\.)",  # the console command in [project.scripts]
            ],
            # Code in JSON: a line ends with \n in its text. `__file__` and the like are no members.
            ".ipynb": [rf"(?<=\bimport ){old}(?=(?:\\n)?\")", rf"(?<![\w.-]){old}(?=\.__)", rf"(?<=`){old}(?=`)"],
        }

    def text(self, text: str, suffix: str) -> str:
        """Rename the package in the text of a file.

        Args:
            text: the text with the old name.
            suffix: suffix of the file, which selects rules for its language.
        """
        rules = [*self.everywhere, *self.languages.get(suffix, [])]
        if suffix == ".py" and re.search(rf"^\s*(from|import) {self.old}\b", text, re.M):
            rules.append(rf"(?<![\w.-]){self.old}(?=\.[A-Za-z_])")  # members of the imported package
        if suffix == ".md" and (example := re.search(r"--proj_name (\w+)", text)) and example[1] != self.old:
            text = Renaming(example[1], self.new, self.members).text(text, suffix)  # the example name of the page
        return re.sub("|".join(rules), self.new, text, flags=re.M)
