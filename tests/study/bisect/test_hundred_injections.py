"""A hundred injected differences: all are named with digests, and how many without.

`pytest -m slow -s tests/study/bisect/test_hundred_injections.py` prints the figures; it takes some minutes.
Of 100, 100 were named with digests. Without, 10 were named (edited code, which a replay repeats), 88 got the run and
a range of steps, and 2 were missed: the flipped bit of a running mean and that of a gradient had vanished before the
next value or checkpoint.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from project.core.config import trust
from project.core.digest_file import DIGESTS
from project.study.bisect.bisecting import Answer, bisect_runs
from project.study.bisect.process import Request
from project.study.bisect.worker import RESULT
from tests.study.bisect.components import Branching
from tests.study.bisect.injections import KINDS, Injection, injected, losses_of, replay_here, train

EACH = 10


@pytest.mark.slow
def test_a_hundred_differences_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_PACKAGES", (*trust._PACKAGES, "tests"))
    one = train(tmp_path, "a", digests={"all": 1})
    losses, found, answers = losses_of(one), Counter[str](), list[str]()
    for kind in KINDS:
        for seed in range(EACH):
            with injected(kind, seed, losses) as injection:
                two = train(tmp_path, f"{kind}{seed}", callback=injection.callback, digests={"all": 1})
                replay = Replaying(tmp_path / "replays", Branching.edited_below)
            with_digests = bisect_runs(one, two, replay=replay)
            without = bisect_runs(without_digests(one), without_digests(two), replay=replay)
            found[f"{kind}: with digests"] += is_named(with_digests, injection)
            how = judge(without, injection)
            found[f"{kind}: without: {how}"] += 1
            if not is_named(with_digests, injection) or how in ("missed", "wrong"):
                answers += [
                    f"{injection.kind} {seed} step {injection.step} {injection.name}",
                    *with_digests.lines,
                    *without.lines,
                ]
            print(kind, seed, is_named(with_digests, injection), how, flush=True)
            for run in (two, two.with_name(f"{two.name} without")):
                shutil.rmtree(run)
    print("\n".join([*answers, *(f"{count:4} {what}" for what, count in found.items())]))
    assert sum(count for what, count in found.items() if what.endswith("with digests")) == EACH * len(KINDS)
    assert not any(what.endswith("wrong") for what in found)


class Replaying:
    """Replay that uses each run's own code, and does that of the same steps of run A only once.

    Args:
        kept: directory for replays of A.
        edited: how the code of run B is edited; what else was injected has gone.
    """

    def __init__(self, kept: Path, edited: float) -> None:
        self.kept, self.edited = kept, edited

    def __call__(self, request: Request) -> None:
        is_one = request.run.name.startswith("a ") or request.run.name == "a"
        known = self.kept / f"{request.run.name} {request.first} {request.last}"
        if not (is_one and known.exists()):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Branching, "edited_below", 0 if is_one else self.edited)
                replay_here(request)
            if is_one:
                shutil.copytree(request.output, known)
        for name in (RESULT, DIGESTS):
            if is_one:
                shutil.copy2(known / name, request.output)


def without_digests(run: Path) -> Path:
    """Return a run that recorded no digests: digests do not change what is trained."""
    copy = run.with_name(f"{run.name} without")
    if not copy.exists():
        shutil.copytree(run, copy, symlinks=True, ignore=shutil.ignore_patterns(DIGESTS))
    return copy


def is_named(answer: Answer, injection: Injection) -> bool:
    return answer.step == injection.step and answer.names[0].startswith(injection.name)


def judge(answer: Answer, injection: Injection) -> str:
    """Return what is found without digests: the step and tensor, or the run and a range of steps."""
    if answer.is_equal:
        return "missed"
    if answer.step is not None:
        return "named" if is_named(answer, injection) else "wrong"
    assert answer.until is not None
    return "run and range" if answer.departing == "B" and answer.equal < injection.step <= answer.until + 1 else "wrong"
