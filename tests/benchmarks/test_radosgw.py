"""The server to compare with, as a program."""

from __future__ import annotations

import sys

import pytest

from benchmarks import radosgw


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_starts_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str) -> None:
    monkeypatch.setattr(sys, "argv", ["radosgw", word])
    monkeypatch.setattr(radosgw, "radosgw", None)  # cannot be called
    radosgw.main()
    assert "python -m benchmarks.radosgw" in capsys.readouterr().out
