"""The chain of digests of a run's states: RUN/states.jsonl."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.errors import ConfigError
from project.core.files import write_text
from project.core.run.checkpoint_header import add_link
from project.core.run.state_digest import state_digest

STATES = "states.jsonl"
_HEX = re.compile(r"[0-9a-f]{1,128}")


@dataclass(frozen=True)
class Link:
    """A link of the chain: a line of states.jsonl.

    Args:
        step: the optimizer steps done.
        epoch: the epoch of the last step, from 1.
        digest: digest of the state.
        link: sha256 of the previous link, and of the other values.
    """

    step: int
    epoch: int
    digest: str
    link: str

    @classmethod
    def after(cls, previous: "Link | None", step: int, epoch: int, digest: str) -> "Link":
        """Return the link that follows another one; None for the first link of a run."""
        text = f"{previous.link if previous else ''} {step} {epoch} {digest}"
        return cls(step, epoch, digest, hashlib.sha256(text.encode()).hexdigest())

    def follows(self, previous: "Link | None") -> bool:
        """Return whether this is the link after another one."""
        is_later = previous is None or previous.step < self.step
        return is_later and self == Link.after(previous, self.step, self.epoch, self.digest)

    def head(self) -> dict[str, Any]:
        """Return what summary.json says of the last link."""
        return {"step": self.step, "epoch": self.epoch, "link": self.link}

    @classmethod
    def parse(cls, value: Any) -> "Link":
        """Return a link of json or of a checkpoint.

        Raises:
            ValueError: it is no link.
        """
        types = {"step": int, "epoch": int, "digest": str, "link": str}
        if not (isinstance(value, Mapping) and {name: type(each) for name, each in value.items()} == types):
            raise ValueError(f"a link has {', '.join(types)}")
        if not all(_HEX.fullmatch(value[name]) for name in ("digest", "link")) or not 0 <= value["step"] < 2**63:
            raise ValueError("a link has hexadecimal digests and a number of steps")
        return cls(**value)


class StateChain:
    """The chain of a run that trains. The thread that writes checkpoints adds the links.

    A state is linked before its checkpoint is on the disk, and the checkpoint contains the last link, from which a
    resumed run goes on: killed at any moment, a run has neither lost a link nor one too many (`cut_chain`).

    Args:
        run: the run directory.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    @cached_property
    def _links(self) -> list[Link]:
        """The last link, if there is one; a resumed run has cut the file when this is read first."""
        return read_chain(self.run)[-1:]

    @property
    def head(self) -> Link | None:
        """The last link."""
        return self._links[-1] if self._links else None

    def record(self, is_linked: bool, content: dict[str, Any]) -> None:
        """Add the last link to a checkpoint that is going to be written.

        Args:
            is_linked: whether its own state is linked first.
            content: content of the checkpoint, which no step changes any more.
        """
        if is_linked:
            link = Link.after(self.head, content["global_step"], content["epoch"] + 1, state_digest(content))
            _append(self.run / STATES, link)
            self._links[:] = [link]
        if self.head is not None:
            add_link(content, asdict(self.head))


def read_chain(run: Path) -> list[Link]:
    """Return the links of a run; none for a run of an older version. A last line without an end is no link.

    Raises:
        ConfigError: the file is damaged.
    """
    file = run / STATES
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is damaged: {error}") from error
    return [*_parse(file, text)]


def _parse(file: Path, text: str) -> Iterator[Link]:
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            yield Link.parse(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{file} is damaged in line {number}: {error}") from error


@rank_zero_only
def cut_chain(run: Path, last: Mapping[str, Any], archive: Path | None) -> None:
    """Let the chain of a resumed run end with the link in its checkpoint; that of a fork begins with it.

    Args:
        run: the run directory.
        last: the link in the checkpoint; empty in one of an older version.
        archive: directory that gets a copy of the chain; None keeps none.
    """
    file = run / STATES
    if archive is not None and file.exists():
        shutil.copy(file, archive / STATES)
    try:
        links = [Link.parse(last)] if last else []
        links = [*(link for link in read_chain(run) if links and link.step < links[0].step), *links]
    except (ConfigError, ValueError) as error:
        logger.warning(f"the digests of earlier states are lost: {error}")
    if links:
        write_text(file, "".join(map(_line, links)))
    else:
        file.unlink(missing_ok=True)


def _line(link: Link) -> str:
    return json.dumps(asdict(link)) + "\n"


def _append(file: Path, link: Link) -> None:
    with file.open("a", encoding="utf-8", newline="") as opened:
        opened.write(_line(link))
        opened.flush()
        os.fsync(opened.fileno())
