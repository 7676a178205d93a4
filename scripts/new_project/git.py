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
        self.folder = folder
        # Somebody else's index or repository, as within a hook, is not meant.
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | variables

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What git prints.

        Args:
            arguments: of git.
            check: whether a failure is a mistake; what it printed is returned otherwise.

        Raises:
            Mistake: git fails, or is missing.
        """
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise Mistake(f"git is missing, or the folder {self.folder}") from error
        if check and done.returncode:
            raise Mistake(f"git {arguments[0]} failed in {self.folder}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def sign(self) -> "Git":
        """Commits can be made: under a name of the script's own where the user has given git none."""
        if not self("var", "GIT_COMMITTER_IDENT", check=False):
            for role in ("AUTHOR", "COMMITTER"):
                self.environment |= {f"GIT_{role}_NAME": "start_new_proj", f"GIT_{role}_EMAIL": "start_new_proj@local"}
        return self
