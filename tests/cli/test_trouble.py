"""Trouble that lasts is told once, and that it is over."""

from __future__ import annotations

import pytest

from cli.trouble import Trouble
from pfs.errors import StorageError


def test_the_same_error_is_told_once_and_then_that_it_is_over() -> None:
    lines: list[str] = []
    trouble = Trouble("cron triggers", lines.append)
    away, full = StorageError("read refs", "nobody answers"), StorageError("read refs", "no space")
    for error in (None, away, away, full, away, None, None, away):
        with trouble.told():
            if error is not None:
                raise error
    first, second = f"cron triggers: {away}", f"cron triggers: {full}"
    assert lines == [first, second, first, "cron triggers: works again", first]


def test_a_bug_ends_an_attempt_and_not_the_work() -> None:
    lines: list[str] = []
    with Trouble("cron triggers", lines.append).told():
        raise ZeroDivisionError("a bug")
    assert lines == ["cron triggers: internal error: ZeroDivisionError: a bug"]


def test_a_signal_is_no_trouble() -> None:
    with pytest.raises(KeyboardInterrupt), Trouble("cron triggers", print).told():
        raise KeyboardInterrupt
