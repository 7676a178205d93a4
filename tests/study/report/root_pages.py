"""Runs and gestures of tests of the page of many runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.study.made_runs import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

LR, DEPTH = "model.optimizer.lr", "model.net.depth"


def write_root(root: Path) -> Path:
    """Three learning rates with two seeds; one run is running."""
    for number, lr in enumerate((1e-3, 1e-2, 1e-1)):
        for seed in range(2):
            level = [0.5, 0.9, 0.7][number] + 0.01 * seed
            name = f"{number}_seed{seed}"
            running = name == "2_seed1"
            curves = {
                "val/accuracy": [level * step / 8 for step in range(1, 9)],
                "val/l1": [1 / step for step in range(1, 9)],
            }
            results = None if running else {"accuracy": level}
            state = "running" if running else "finished"
            make_run(root / name, {LR: lr, "seed": seed, DEPTH: "a b"}, curves, results, state)
    return root


def shown_runs(page: "Page") -> list[str]:
    """Return the names in the table of runs, from top to bottom."""
    return page.locator("#runs tbody tr:visible th").all_inner_texts()


def choose(page: "Page", menu: str, option: str) -> None:
    page.locator("#controls label", has_text=menu).locator("select").select_option(option)
