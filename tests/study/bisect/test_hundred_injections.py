"""A hundred injected differences: all are named with digests, and how many without.

`pytest -m slow -s tests/study/bisect/test_hundred_injections.py` prints the figures; it takes some minutes.
Without digests, 10 were named (edited code, which a replay repeats), 88 got the run and a range of steps, and 2 were
missed: the flipped bit of a running mean and that of a gradient had vanished before the next value or checkpoint.
"""

from collections import Counter
from pathlib import Path

import pytest

from project.core.config import trust
from project.study.bisect.bisecting import Answer, bisect_runs
from project.study.bisect.process import Request
from tests.study.bisect.components import Branching
from tests.study.bisect.injections import KINDS, Injection, injected, losses_of, replay_here, train

EACH = 10


@pytest.mark.slow
def test_a_hundred_differences_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_PACKAGES", (*trust._PACKAGES, "tests"))
    train(tmp_path, "a", digests={"all": 1})
    train(tmp_path, "logged")
    losses, found, answers = losses_of(tmp_path / "a"), Counter[str](), list[str]()
    for kind in KINDS:
        for seed in range(EACH):
            with injected(kind, seed, losses) as injection:
                recorded = train(tmp_path, f"{kind}{seed}", callback=injection.callback, digests={"all": 1})
            with injected(kind, seed, losses) as injection:
                logged = train(tmp_path, f"{kind}{seed}logged", callback=injection.callback)
                edited = Branching.edited_below

            def replay(request: Request, own: float = edited) -> None:
                """Replay each run with its own code; what else was injected has gone."""
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Branching, "edited_below", 0 if request.run.name in ("a", "logged") else own)
                    replay_here(request)

            with_digests = bisect_runs(tmp_path / "a", recorded, replay=replay)
            without = bisect_runs(tmp_path / "logged", logged, replay=replay)
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
    print("\n".join([*answers, *(f"{count:4} {what}" for what, count in found.items())]))
    assert sum(count for what, count in found.items() if what.endswith("with digests")) == EACH * len(KINDS)
    assert not any(what.endswith("wrong") for what in found)


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
