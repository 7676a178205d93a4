"""The command `report`: a run, or the runs of a directory, as one page without a server.

Imports `config`, `console`, `errors`, `files`, `installation`, `run`, `study` and `study.table`. Read `command.py`
first. `html.py` makes the frame of all pages, `run_page.py` the page of a run, and `root_page.py` that of many:
`runs_view.py` says what differs between them, `root_tables.py` makes the tables, and `root_data.py` what the scripts
read. `serving.py` serves a page while runs train; `reading.py` reads runs again that have changed.

Of the page of a run, `evaluation.py` shows results (with `samples.py` and `confusion.py`), `configuration.py` what was
set, and `surroundings.py` environment, speed, log and code; `embedding.py` puts pictures into the page. Of that of
many, `importance.py` ranks the settings. `downsampling.py` shortens curves, and `pieces.py` has what both pages share.
Of the scripts, `main.js` starts `run.js` or `root.js`; the first lines of each say what it provides.
"""
