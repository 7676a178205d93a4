"""The command `verify`, from options to an exit code."""

import os
from collections.abc import Sequence
from pathlib import Path

from project.core.cli.main import run_command
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, first_line, without_commands
from project.core.installation import COMMAND
from project.core.log import is_rank_zero
from project.study.options import Option, Options, describe_options, parse_options
from project.study.replay.stretches import check_run
from project.study.verify.known_states import Steps, read_record
from project.study.verify.verdict import VERIFIED, Verdict, describe
from project.study.verify.verifying import choose_segments, verify_segments

_ALL = "all"
OPTIONS = {
    "steps": Option("number of steps to train again, in segments chosen at random; all (default: a tenth of the run)"),
    "trust": Option("let the configuration of the run name any class", 0),
    "help": Option("show this", 0),
}
_HELP = f"""usage: {COMMAND} verify RUN [--steps N|all] [--trust]

Train segments of a run again, each from one of its checkpoints to the next, and compare the states at their ends and
the logged values with what the run recorded, bit for bit. The result is written to RUN/{VERIFIED}.

  {COMMAND} verify experiments/digits
  {COMMAND} verify experiments/digits --steps all

options:
{describe_options(OPTIONS)}

With `checkpoint.milestones: 8`, a run keeps checkpoints from which short segments start. Exit codes: 0 if all is equal,
1 if something differs, or an exception was raised; 2 for a mistake in the options.
"""


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Train segments of a run again, and compare the states at their ends with those that the run recorded.

    Args:
        argv: `verify`, the run directory, and options.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0 if everything is equal, 1 if something differs, 2 for a mistake; others are those of `fit`.

    Example::

        main(["verify", "experiments/digits", "--steps", "all"])
    """
    return run_command(lambda: _command(argv), interruption, "ERROR")


def _command(argv: Sequence[str]) -> int:
    options = parse_options("verify", argv[1:], OPTIONS)
    if "help" in options.values:
        print_text(_HELP)
        return 0
    return _verify(_run(options), _budget(options), "trust" in options.values)


def _run(options: Options) -> Path:
    if len(options.words) != 1:
        raise ConfigError(f"verify takes one run directory: {COMMAND} verify RUN")
    run = Path(options.words[0])
    check_run(run)
    if not os.access(run, os.W_OK | os.X_OK):
        raise ConfigError(f"{run} cannot be written to, so {VERIFIED} would be lost; copy the run")
    if (run / VERIFIED).is_dir():
        raise ConfigError(f"{run / VERIFIED} is a directory, in whose place nothing is written; remove it")
    return run.absolute()


def _budget(options: Options) -> int | str | None:
    """Return the number of steps, `all`, or None for the default."""
    text = options.text("steps", "")
    if not text or text == _ALL:
        return text or None
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0):
        raise ConfigError(f"--steps is '{text}'; it takes a number of at least 1, or all")
    return int(text)


def _verify(run: Path, budget: int | str | None, trusts: bool) -> int:
    record = read_record(run)
    segments = record.segments
    if not segments and not record.problems:
        raise ConfigError(f"{run} has neither checkpoints nor digests of states: there is nothing to compare with")
    verdict = Verdict(record, segments)
    if segments and budget == _ALL:
        chosen, how = segments, "all"
    else:
        chosen = choose_segments(segments, budget if isinstance(budget, int) else None) if segments else []
        how = "chosen at random"
    steps = sum(segment.number for segment in chosen)
    for text in record.problems:
        _print(f"contradiction: {text}")
    for text in record.notes:
        _print(f"note: {text}")
    if record.links:
        _print(f"chain: {len(record.links)} links, the last of step {record.links[-1].step}: {record.links[-1].link}")
    _print(f"training {steps} steps again, {len(chosen)} of {len(segments)} segments, {how}")
    _train_again(verdict, chosen, trusts)
    for line in verdict.lines():
        _print(f"{line}")
    if is_rank_zero():
        verdict.write()
    return 0 if verdict.is_equal else 1


def _train_again(verdict: Verdict, segments: Sequence[Steps], trusts: bool) -> None:
    """Verify segments, and print a line of each."""
    try:
        for verified in verify_segments(verdict.record, segments, trusts):
            for text in verified.warnings:
                if text not in verdict.warnings:
                    _print(f"note: {text}")
            verdict.verified.append(verified)
            _print(f"{describe(verified)}")
    except ConfigError as error:
        if verdict.is_equal:
            raise
        # What is wrong was found before: a state that was changed, with which a net of the run cannot start.
        verdict.record.notes.append(f"the next segment cannot be trained again: {first_line(error)}")
        _print(f"note: {verdict.record.notes[-1]}")


def _print(text: str) -> None:
    if is_rank_zero():
        print_text(f"{without_commands(text)}\n")
