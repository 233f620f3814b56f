"""How a process ends: with its code, all output written, handlers run and threads waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = "import atexit, sys, threading; from cli.process import run_process\n"


def ended(script: str, **streams: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN + script]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, env=environment, capture_output=not streams, text=True, check=False, **streams)


@pytest.mark.parametrize(("code", "seen"), [("None", 0), ("0", 0), ("5", 5), ("141", 141), ("True", 1)])
def test_it_ends_with_the_code(code: str, seen: int) -> None:
    assert ended(f"run_process(lambda: sys.exit({code}))").returncode == seen


@pytest.mark.parametrize("thread", ["", "threading.Thread(target=lambda: threading.main_thread().join()).start()\n"])
def test_an_interrupt_where_no_command_is_under_way_ends_it_without_a_word(thread: str) -> None:
    done = ended(thread + "def body():\n    raise KeyboardInterrupt\nrun_process(body)")
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_it_with_the_code_that_shells_know(name: str, code: int) -> None:
    done = ended(
        f"import os, signal\nrun_process(lambda: os.kill(os.getpid(), signal.{name}) or threading.Event().wait())"
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_waits_for_the_end_of_an_import(name: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.{name})\nwhole = True\n")
    body = "def body():\n    import slow\n    print(slow.whole)\n    threading.Event().wait()\n"
    done = ended(f"sys.path.insert(0, {str(tmp_path)!r})\n{body}run_process(body)")
    assert (done.returncode, done.stdout, done.stderr) == (code, "True\n", "")


def test_a_signal_that_is_ignored_stays_so() -> None:
    body = "def body():\n    os.kill(os.getpid(), signal.SIGINT)\n    sys.exit(3)\n"
    done = ended(f"import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{body}run_process(body)")
    assert done.returncode == 3


def test_a_text_instead_of_a_code_is_printed() -> None:
    done = ended("run_process(lambda: sys.exit('so it is'))")
    assert (done.returncode, done.stderr) == (1, "so it is\n")


def test_all_output_is_written_and_handlers_run() -> None:
    done = ended("atexit.register(print, 'behind')\nprint('x' * 100_000)\nrun_process(lambda: sys.exit(3))")
    assert (done.returncode, done.stdout) == (3, "x" * 100_000 + "\nbehind\n")


def test_threads_that_work_are_waited_for() -> None:
    # It ends when the main thread has: so it works still when the process wants to end.
    work = "threading.Thread(target=lambda: (threading.main_thread().join(), print('done'))).start()\n"
    done = ended(work + "run_process(lambda: sys.exit(4))")
    assert (done.returncode, done.stdout) == (4, "done\n")


def test_threads_that_only_serve_are_not() -> None:
    work = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    assert ended(work + "run_process(lambda: sys.exit(0))").returncode == 0


def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = ended("print('x')\nrun_process(lambda: sys.exit(0))", stdout=full.fileno(), stderr=subprocess.PIPE)
    assert done.returncode == 120
    assert "No space left" in done.stderr


def test_an_error_that_is_no_exit_goes_on() -> None:
    done = ended("run_process(lambda: 1 / 0)")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_who_imports_typing_extensions_after_msgspec_has_it() -> None:
    script = "from cli.process import load_msgspec; load_msgspec()\nassert 'typing_extensions' not in sys.modules\n"
    done = ended(script + "import typing_extensions; from msgspec import Struct; print(typing_extensions.TypedDict)")
    assert "TypedDict" in done.stdout
