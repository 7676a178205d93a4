"""A server answers whatever it is sent, and needs no more memory over time."""

from pathlib import Path

import pytest

from tests.deploy.server.picture_model import write_picture_model
from tests.deploy.server.server_process import running


@pytest.mark.slow
def test_faults_leave_no_traces(tmp_path: Path) -> None:
    """After ten thousand faults, all were answered, memory, files and threads are as before, and answers are right."""
    with running(write_picture_model(tmp_path / "model.onnx"), tmp_path / "errors.txt") as process:
        wrong = process.send_exchanges(range(2_000))
        files, threads, memory = process.files, process.threads, process.memory
        wrong += process.send_exchanges(range(2_000, 10_000))
        assert not wrong, "\n".join(wrong[:20])
        process.wait_for_files(files)
        assert process.memory - memory < 10e6
        assert process.files <= files
        assert process.threads <= threads
        process.check_answers(100)
    log = (tmp_path / "errors.txt").read_text()
    assert log.count("\n") <= 1, log[:5000]  # the address: what clients send does not fill the disk
