"""`pps run-datum`: one datum of a job again, here, as its worker ran it."""

from __future__ import annotations

import shlex
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.commands.job import job_address
from cli.exits import FAILED, ExitCode, usage_error
from cli.output import Record, emit, emit_one, field, size_of

if TYPE_CHECKING:
    from pps.executor import DatumDone, WorkUnit
    from pps.jobs.repeat import Again, Repeat

_LOOK_S = 0.05
_COLUMNS = [("FILE", field("path")), ("SIZE", size_of("size")), ("COMPARED", field("how"))]


@click.command("run-datum")
@click.argument("job", metavar="PIPELINE@JOB")
@click.argument("datum", metavar="DATUM")
@click.option("--shell", is_flag=True, help="Open a shell in the place of the command, and print the command.")
@click.option(
    "-o", "--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep what it wrote there."
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "namespace", "container", "none"]),
    default="auto",
    show_default=True,
    help="How the command comes to see /pfs.",
)
@options.json_option
def run_datum(job: str, datum: str, shell: bool, keep: Path | None, isolation: str, as_json: bool) -> None:
    """Run one datum of a job again, here, as its worker ran it; nothing is committed.

    It has the inputs of that job, the version of the pipeline that ran, its code, variables, secrets and limits, in one
    attempt. What the command prints goes to stderr; then the files that it wrote are listed, and whether they are what
    the datum has in the store. Exit code: the command's (128 and the number of the signal that ended it); 1 if the
    datum failed otherwise. With --shell it is the shell's.
    """
    from cli.job_gateways import job_gateways
    from pps.jobs.jobs import Jobs

    if shell and (keep is not None or as_json):
        raise usage_error("--shell goes with neither --keep nor --json")
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise usage_error(f"{keep} is not empty: name a new folder for what it writes")
    with (
        wiring.open_store() as store,
        tempfile.TemporaryDirectory(prefix="pps-datum-", ignore_cleanup_errors=True) as folder,
    ):
        found = Jobs(store).repeating(
            *job_address(job), datum, work_dir=Path(folder), isolation=isolation, gateways=job_gateways(store)
        )
        with found as (repeat, compare):
            if shell:
                raise ExitCode(_shell(repeat))
            again = compare(_run(repeat))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                repeat.keep(keep)
    _tell(again, as_json=as_json)
    if again.state != "success":
        raise ExitCode(again.exit_code or (128 + again.signal if again.signal else FAILED))


def _run(repeat: Repeat) -> DatumDone:
    """Run the command and show what it prints as it comes."""
    from pps.workers.log_follower import Follower
    from pps.workers.logs import log_path, parse
    from pps.workers.stop import Stop

    (task,) = repeat.unit.datums
    stop, over = Stop(), threading.Event()
    ended: list[DatumDone | BaseException] = []

    def work() -> None:
        try:
            ended.append(repeat.run(stop=stop))
        except BaseException as error:  # raised below, in the thread that waits
            ended.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=work, name="pps-datum")
    thread.start()
    path = log_path(repeat.log_dir, repeat.unit.pipeline, repeat.unit.job, datum=task.id)
    try:
        with Follower(path) as follower:
            while True:
                last = over.wait(_LOOK_S)
                while data := follower.read():
                    for line in parse(data):
                        click.echo(line.text, err=True, nl=not line.tag.islower())
                if last:
                    break
    except BaseException:
        stop.set(0.0)
        raise
    finally:
        thread.join()
    (result,) = ended
    if not isinstance(result, BaseException):
        return result
    raise result


def _shell(repeat: Repeat) -> int:
    from cli.terminal import on_terminal
    from pps.workers.stop import Stop

    click.echo(f"# the command of this datum, to run by hand in this shell:\n{by_hand(repeat.unit)}", err=True)
    stop = Stop()
    try:
        return on_terminal(lambda tty: repeat.shell(tty, stop=stop))
    finally:
        stop.set(0.0)


def by_hand(unit: WorkUnit) -> str:
    """Return the command of a unit as one types it into a shell."""
    line = shlex.join(unit.transform.cmd)
    if not unit.transform.stdin:
        return line
    end = "END"
    while end in unit.transform.stdin:
        end += "_"
    return "\n".join([f"{line} <<'{end}'", *unit.transform.stdin, end])


def _tell(again: Again, *, as_json: bool) -> None:
    files: list[Record] = [{"path": one.path, "size": one.size, "how": one.how} for one in again.files]
    if as_json:
        record: Record = {
            "datum": again.datum,
            "before": str(again.before),
            "state": again.state,
            "reason": again.reason,
            "exit_code": again.exit_code,
            "signal": again.signal,
            "files": files,
        }
        emit_one(record, as_json=True)
        return
    emit(files, _COLUMNS, as_json=False)
    was = f"in the job it was {again.before}"
    click.echo(
        f"datum {again.datum[:12]}: {again.state}{f': {again.reason}' if again.reason else ''} ({was})", err=True
    )
