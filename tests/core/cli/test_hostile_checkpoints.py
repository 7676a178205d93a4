"""A checkpoint of a stranger runs no code: its configuration opens no file, starts no process and imports nothing."""

import copy
import functools
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project import load
from project.core.errors import ConfigError
from tests.conftest import Cli

Place = tuple[Any, ...]
# Everything that a configuration can name: components, groups, several sets, callbacks, loggers, a profiler.
RICH: dict[str, Any] = {
    "visual": {"type": "tests.components.Row"},
    "model": {
        "net": {"type": "tests.components.MLP", "output": None},
        "scheduler": {"type": "StepLR", "step_size": 1},
        "groups": [{"match": "net.head.*", "lr": 0.1}],
        "clip": {"value": 1.0},
        "loss": {"other": {"type": "torch.nn.CrossEntropyLoss", "inputs": {"input": "logits", "target": "label"}}},
    },
    "data": {
        "train": {"augmentation": {"shift": {"type": "tests.components.RandomShift"}}},
        "val": {"type": None, "one": {"type": "tests.components.Glyphs", "split": "val"}},
    },
    "checkpoint": {"monitor": "val/one/sum"},
    "trainer": {
        "callbacks": [{"type": "EarlyStopping", "monitor": "val/one/sum"}, {"type": "ModelCheckpoint"}],
        "logger": [{"type": "CSVLogger"}],
        "profiler": {"type": "SimpleProfiler"},
    },
}
EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen")
FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove")


DATAPIPE = "torch.utils.data.datapipes.iter.{}"  # calls any function


class Watch:
    """Audit hook that records processes, connections, imports of `hostile`, and access to files outside a directory."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None  # None: nothing is recorded
        self.inside = ""
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        # git for job.sh; the library counts GPUs in a build of torch for them
        is_git = event == "subprocess.Popen" and arguments[0] == "git"
        if self.seen is None or is_git or (event == "ctypes.dlopen" and arguments[0] == "libnvidia-ml.so.1"):
            return
        is_hostile = event in EVENTS or (event == "import" and "hostile" in str(arguments[0]))
        if event in FILE_EVENTS and not isinstance(arguments[0], int):
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  # follows no link
            writes = event != "open" or any(mode in str(arguments[1]) for mode in "wax+")
            is_outside = not path.startswith((f"{self.inside}{os.sep}", "/dev/null", "/dev/shm"))
            is_hostile = is_outside and (writes or "_outside" in path)
        if is_hostile:
            self.seen.append(f"{event} {arguments}")


@functools.cache
def watch() -> Watch:
    """Return the audit hook of this process; none can be removed."""
    return Watch()


def hostile_values(target: str) -> list[Any]:
    """Return values of a configuration that run a command, import a module, or write to `target`."""
    popen = {"args": ["touch", f"{target}/popen"]}
    checkpoint, csv = {"type": "ModelCheckpoint", "dirpath": target}, {"type": "CSVLogger", "save_dir": target}
    return [
        "subprocess.Popen",
        {"type": "subprocess.Popen"} | popen,
        {"class_path": "subprocess.Popen", "init_args": popen},
        [{"class_path": "subprocess.Popen", "init_args": popen}],
        {"type": None, "subprocess.Popen": popen},
        "os.system",
        {"type": "os.system", "command": f"touch {target}/system"},
        {"type": "subprocess.check_output", "args": ["touch", f"{target}/output"]},
        {"type": "project.load", "run": f"{target}/x", "trust": True},
        "hostile.Evil",
        {"type": "hostile.Evil"},
        [{"type": "hostile.Evil"}],
        {"class_path": "hostile.Evil"},
        "project.hostile.Evil",
        "torch.hostile.Evil",
        {"type": "builtins.open", "file": f"{target}/open", "mode": "w"},
        {"class_path": "torch.package.PackageExporter", "init_args": {"f": f"{target}/package"}},
        {"type": "torch.nn.LazyLinear", "out_features": {"class_path": "subprocess.Popen", "init_args": popen}},
        {"type": "LambdaLR", "lr_lambda": "os.system"},
        {"type": "LambdaCallback", "setup": "hostile.Evil"},
        {
            "type": "torch.nn.LazyLinear",
            "out_features": 3,
            "device": json.dumps({"class_path": "subprocess.Popen", "init_args": popen}),
        },
        {"type": "torch.nn.LazyLinear", "out_features": 3, "device": "{class_path: hostile.Evil}"},
        {"type": "torch.nn.LazyLinear", "out_features": 3, "device": "[{class_path: hostile.Evil}]"},
        {"type": DATAPIPE.format("callable.MapperIterDataPipe"), "fn": "project.core.cli.main.main"}
        | {
            "datapipe": {
                "class_path": DATAPIPE.format("utils.IterableWrapperIterDataPipe"),
                "init_args": {"iterable": [["fit", "--root", target]]},
            }
        },
        {"type": ["hostile.Evil"]},
        {"type": {"hostile.Evil": 1}},
        f"{target}/x",
        "../../x",
        checkpoint,
        [checkpoint],
        csv,
        [csv],
        {"type": "SimpleProfiler", "dirpath": target, "filename": "x"},
        {"type": "SimpleProfiler", "filename": f"{target}/x"},
        {"type": None, f"{target}/x": {"type": "tests.components.Glyphs", "split": "val"}},
        {"type": None, "../../x": {"type": "tests.components.Glyphs", "split": "val"}},
    ]


def places(tree: Any, path: Place = ()) -> Iterator[Place]:
    """Yield the path of every entry of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def replace(tree: Any, path: Place, value: Any) -> Any:
    """Return a copy of a tree with another value at a path."""
    changed = copy.deepcopy(tree)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


class Attack:
    """A run whose checkpoint gets a hostile value at a place of its configuration, and a stage that loads it."""

    def __init__(self, cli: Cli, run: Path, outside: Path) -> None:
        self.cli, self.checkpoint, self.outside = cli, run / "checkpoints" / "last.ckpt", outside
        self.content = torch.load(self.checkpoint, weights_only=True)
        self.config = yaml.safe_load(self.content["run_config"])
        self.num_refused = self.num_runs = 0

    def __call__(self, stage: str, place: Place, value: Any) -> list[str]:
        """Return what the stage did to the system."""
        config = yaml.safe_dump(replace(self.config, place, value), sort_keys=False)
        torch.save(self.content | {"run_config": config}, self.checkpoint)
        before = sorted(self.outside.rglob("*"))
        seen: list[str] = []
        watch().seen = seen
        watch().inside = str(self.checkpoint.parents[3])
        try:
            self.num_refused += self._run(stage) == 2
        finally:
            watch().seen = None
        return seen + [str(file) for file in sorted(self.outside.rglob("*")) if file not in before]

    def _run(self, stage: str) -> int:
        if stage == "load":
            try:
                load(self.checkpoint)
            except ConfigError:
                return 2
            return 0
        if stage == "fit":
            self.num_runs += 1
            options = ("--name", f"again{self.num_runs}", "--trainer.max_epochs", "2")
            return self.cli("fit", "--resume", self.checkpoint, *options).code
        return self.cli(stage, "--ckpt_path", self.checkpoint).code


@pytest.fixture
def attack(cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attack:
    ran = cli("fit", "--config", tiny(RICH))
    assert ran.code == 0, ran.err
    outside = tmp_path.parent / f"{tmp_path.name}_outside"
    outside.mkdir()
    (outside / "hostile.py").write_text("class Evil: pass\n")
    monkeypatch.syspath_prepend(str(outside))
    return Attack(cli, tmp_path / "experiments" / "tiny", outside)


@pytest.mark.parametrize(("stage", "part"), [("test", 300)])
def test_hostile_configuration_reaches_nothing(stage: str, part: int, attack: Attack) -> None:
    """One attack of `part`; test_all_hostile_configurations_reach_nothing tries the rest."""
    assert attack(stage, ("log_level",), "DEBUG") == []
    assert attack.num_refused == 0
    assert reached(attack, stage, part) == []
    assert attack.num_refused > 5


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "part"), [("test", 1), ("load", 1), ("predict", 7), ("validate", 7), ("fit", 7)])
def test_all_hostile_configurations_reach_nothing(stage: str, part: int, attack: Attack) -> None:
    assert reached(attack, stage, part) == []


def reached(attack: Attack, stage: str, part: int) -> list[str]:
    """Return what every `part`-th attack did."""
    attacks = list(itertools.product(places(attack.config), hostile_values(str(attack.outside))))[::part]
    found = [f"{stage} {place} {value}: {seen}" for place, value in attacks for seen in attack(stage, place, value)]
    print(f"{stage}: {len(attacks)} hostile configurations, {attack.num_refused} refused")
    return found


def test_watch_sees_files_outside(attack: Attack, tmp_path: Path) -> None:
    """Else the tests above could not fail."""
    watch().seen, watch().inside = [], str(tmp_path)
    (tmp_path / "inside").write_text("")
    (attack.outside / "written").write_text("")
    (attack.outside / "hostile.py").read_text()
    os.close(os.open(f"../{attack.outside.name}/relative", os.O_CREAT | os.O_WRONLY))
    seen, watch().seen = watch().seen, None
    assert [Path(event.split("'")[1]).name for event in seen or []] == ["written", "hostile.py", "relative"]


def test_own_yaml_and_trust_may_name_any_class(cli: Cli, attack: Attack, tmp_path: Path) -> None:
    """What the user's own yaml names is free, and --trust lets the checkpoint name it."""
    (attack.outside / "hostile.py").write_text("from tests.components import Glyphs\nclass Evil(Glyphs): pass\n")
    attack("test", ("data", "eval", "type"), "hostile.Evil")
    ran = cli("test", "--ckpt_path", attack.checkpoint)
    assert (ran.code, ran.err) == (
        2,
        "error: data.eval: the config saved in the checkpoint names 'hostile.Evil', which is not a registered dataset, "
        "nor one of torch, torchmetrics and Lightning\n"
        "If you trust who saved it, add --trust, or a --config of your own that names it; --resume ignores its "
        "values\n",
    )
    assert cli("test", "--ckpt_path", attack.checkpoint, "--trust").code == 0
    (tmp_path / "own.yaml").write_text("data: {eval: {type: hostile.Evil}}")
    assert cli("test", "--ckpt_path", attack.checkpoint, "--config", "own.yaml").code == 0
    assert cli("test", "--ckpt_path", attack.checkpoint, "--data.eval.type", "hostile.Evil").code == 0
    with pytest.raises(ConfigError, match="add --trust"):
        load(attack.checkpoint)
    assert load(attack.checkpoint, trust=True) is not None
