"""The processors of a worker, shared out before torch is imported: results depend on its number of threads."""

import os
from collections.abc import Sequence

THREADS = "OMP_NUM_THREADS"


def processors() -> list[int]:
    """Return the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def num_threads(jobs: int) -> int:
    """Return how many threads each of several workers has: the same number for all, whatever is left over."""
    return max(1, len(processors()) // jobs)


def limit_threads(words: Sequence[str]) -> None:
    """Set the number of torch's threads for `sweep --jobs N`, unless the environment does; called before the import.

    Setting it in torch afterwards is not the same: that also changes how its library for matrices chooses threads.

    Args:
        words: the words of the command line.
    """
    given = [
        word.partition("=")[2] or after for word, after in zip(words, [*words[1:], ""], strict=True) if _is_jobs(word)
    ]
    if given and given[-1].isdecimal() and int(given[-1]) > 1:  # else an error is reported later
        os.environ.setdefault(THREADS, str(num_threads(int(given[-1]))))


def _is_jobs(word: str) -> bool:
    return word.partition("=")[0] == "--jobs"
