"""Calls of git in a directory."""

import os
import subprocess
from pathlib import Path


class UserError(Exception):
    """Error of the user, printed without a traceback; exit code 2."""


class Git:
    """Runner of git commands in a directory.

    Args:
        folder: the directory.
        variables: further environment variables of git.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder, self.environment = folder, dict(os.environ)
        for name in self("rev-parse", "--local-env-vars").split():
            self.environment.pop(name, None)  # in a git hook, they name another repository
        self.environment |= variables

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run git and return its output; if `check` is False and git fails, return an empty string.

        Raises:
            UserError: git fails or is not installed.
        """
        code, printed, said = self.run(*arguments)
        if code and check:
            command = next(word for word in arguments if word[0] != "-" and "." not in word)
            raise UserError(f"git {command} failed in {self.folder}: {said or printed}")
        return "" if code else printed

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run git and return the exit code, the output and the error output."""
        command = ["git", "-c", "core.quotePath=false", *arguments]
        try:
            done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        except OSError as error:
            raise UserError(f"cannot run git in {self.folder}: {error.strerror}") from error
        printed, said = (os.fsdecode(text).removesuffix("\n") for text in (done.stdout, done.stderr))
        return done.returncode, printed, said.strip()

    def with_identity(self) -> "Git":
        """Return self, with a default identity for commits if the user has none."""
        if not self("var", "GIT_COMMITTER_IDENT", check=False):
            for role in ("AUTHOR", "COMMITTER"):
                self.environment.setdefault(f"GIT_{role}_NAME", "start_new_proj")
                self.environment.setdefault(f"GIT_{role}_EMAIL", "start_new_proj@localhost")
        return self

    def check_top(self, what: str) -> None:
        """Check that the directory is the top of a repository with a commit.

        Raises:
            UserError: it is not.
        """
        top = self("rev-parse", "--show-toplevel", check=False)
        if not top or not self.folder.samefile(top):
            raise UserError(f"{what} {self.folder} must be a git repository of its own: clone it")
        if not self("rev-parse", "-q", "--verify", "HEAD", check=False):
            raise UserError(f"{what} {self.folder} has no commit yet")
