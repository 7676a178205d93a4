"""git, in one folder."""

import os
import subprocess
from pathlib import Path


class Mistake(Exception):
    """What the person who called the script can mend: told without a traceback, exit code 2."""


class Git:
    """git in a folder.

    Args:
        folder: where.
        variables: of git's environment.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder, self.environment = folder, dict(os.environ)
        for name in self("rev-parse", "--local-env-vars").split():
            self.environment.pop(name, None)  # within a hook, they would mean another repository
        self.environment |= variables

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What git prints; nothing where it may fail, and does.

        Raises:
            Mistake: git fails, or is missing.
        """
        code, printed, said = self.run(*arguments)
        if code and check:
            command = next(word for word in arguments if word[0] != "-" and "." not in word)
            raise Mistake(f"git {command} failed in {self.folder}: {said or printed}")
        return "" if code else printed

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, and what git prints to its output and to its errors."""
        command = ["git", "-c", "core.quotePath=false", *arguments]
        try:
            done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        except OSError as error:
            raise Mistake(f"git cannot be called in {self.folder}: {error.strerror}") from error
        printed, said = (os.fsdecode(text).removesuffix("\n") for text in (done.stdout, done.stderr))
        return done.returncode, printed, said.strip()

    def with_identity(self) -> "Git":
        """Itself, able to commit: under a name of the script's own where the user has given git none."""
        if not self("var", "GIT_COMMITTER_IDENT", check=False):
            for role in ("AUTHOR", "COMMITTER"):
                self.environment.setdefault(f"GIT_{role}_NAME", "start_new_proj")
                self.environment.setdefault(f"GIT_{role}_EMAIL", "start_new_proj@localhost")
        return self

    def check_top(self, what: str) -> None:
        """Raises Mistake where the folder is not that of the whole repository."""
        top = self("rev-parse", "--show-toplevel", check=False)
        if not top or not self.folder.samefile(top):
            raise Mistake(f"{what} {self.folder} must be a git repository of its own: clone it")
        if not self("rev-parse", "-q", "--verify", "HEAD", check=False):
            raise Mistake(f"{what} {self.folder} has no commit yet")
