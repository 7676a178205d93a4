import pytest

from benchmarks import gpu


@pytest.mark.slow
def test_gpu_benchmark_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only checks that it runs; the numbers mean nothing."""
    small = {"COUNT": 8, "BATCH": 4, "SIDE": 32, "WORKERS": 0, "EPOCHS": 4, "DEVICE": "cpu"}
    for name, value in {"NETS": {"ViT-S/16": "ViT"}, **small}.items():
        monkeypatch.setattr(gpu, name, value)
    gpu.measure(rounds=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if " ratio " in line]
    assert [line.split("plain")[0].strip() for line in lines] == ["ViT-S/16", "ViT-S/16, compiled"]
