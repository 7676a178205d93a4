"""The memory of this process, and what is free for it."""

import re
from pathlib import Path

from project.core.errors import ConfigError

_SHARE = 0.9  # of the free memory that a process may take: the rest is for other programs
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60  # bytes; version 1 of cgroups writes a number of this size for no limit


def available_memory() -> int:
    """Return the bytes that this process can take without swapping, within the limits of its container or job.

    Raises:
        ConfigError: the operating system does not say.
    """
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError("find batch_size on the CPU needs Linux, which tells the free memory; use a GPU") from error
    return min([1024 * _field(text, "MemAvailable"), *_free_in_groups()])


def limit_memory() -> None:
    """Let allocations of this process fail before the machine swaps, and Linux kill no other process for its memory."""
    import resource  # not on Windows

    limit = status_bytes("VmData") + int(_SHARE * available_memory())
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def status_bytes(field: str) -> int:
    """Return a field of /proc/self/status in bytes: VmData (private memory), VmRSS (resident) or VmHWM (its peak)."""
    return 1024 * _field(Path("/proc/self/status").read_text(encoding="ascii", errors="replace"), field)


def _field(text: str, name: str) -> int:
    found = re.search(rf"^{name}:?\s+(\d+)", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


def _free_in_groups() -> list[int]:
    """Return the free memory of each control group that this process is in and that has a limit."""
    free = []
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        root = _CGROUPS / controllers if controllers else _CGROUPS
        if controllers not in ("", "memory"):
            continue
        directory = root / path.lstrip("/")
        # In a container, the group may be mounted as the root.
        for group in dict.fromkeys([directory, *directory.parents, root]):
            if group == root or root in group.parents:
                free += _free_in_group(group, is_second_version=not controllers)
    return free


def _free_in_group(group: Path, is_second_version: bool) -> list[int]:
    names = (
        ("memory.max", "memory.current") if is_second_version else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    limit, used = (group / name for name in names)
    if not (limit.is_file() and used.is_file()) or (text := limit.read_text().strip()) == "max":
        return []
    if int(text) >= _UNLIMITED:
        return []
    cache = "inactive_file" if is_second_version else "total_inactive_file"  # the kernel frees it when it is needed
    return [int(text) - int(used.read_text()) + _field((group / "memory.stat").read_text(), cache)]
