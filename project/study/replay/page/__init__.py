"""The page of replayed steps, replay.html: one file, in the style of the command `report`.

Read `writing.py` first: it makes the page of what `step_record.py` says of the steps. `verdict.py` shows whether the
replay equals the run, `steps.py` a step, with `samples.py` its samples. `tables.py` makes tables of any length, of
which `tables.js` shows a part, and `marks.py` says which rows are unusual. `replay.js` chooses the step that is shown.
"""

from project.study.replay.page.writing import write_page

__all__ = ["write_page"]
