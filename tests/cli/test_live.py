"""The lines of a run's live view."""

from __future__ import annotations

from cli.live import describe
from pps.model import events


def test_an_attached_run_says_whose_settings_count() -> None:
    assert "with its own isolation and slots" in describe(events.Attached())


def test_code_that_is_gone_is_named() -> None:
    line = describe(events.CodeGone("edges", ("p.sh", "q.sh"), "/home/me"))
    assert line == "edges: p.sh, q.sh gone from /home/me: the stored copy runs"


def test_a_part_that_the_output_has_not_is_named() -> None:
    line = describe(events.NothingToSend("edges", "abc", "/none"))
    assert line == "edges@abc: egress: the output has no /none: nothing of it is sent"
