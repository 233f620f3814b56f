"""All places that one job's output goes to, and what each of them is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pfs.errors import CorruptionError, InvalidInputError, NotFoundError
from pfs.paths import to_key
from pfs.shorten import quoted
from pfs.trees.tree import Tree
from pps.egress.delivered import Notes, target_id
from pps.egress.naming import Naming
from pps.egress.packing import PackedDelivery
from pps.egress.send import Delivery, Part
from pps.egress.sql import Database, load
from pps.secret_store import Secrets
from pps.spec.places import split
from pps.spec.task import RUN_INPUT
from pps.spec.types import Egress, SqlEgress
from pps.transfers.errors import PlaceRefusedError
from pps.transfers.open import open_target
from pps.transfers.place import Target

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pfs.store import Store
    from pps.model.catalog import Pipeline

RUN_FILE = "/run.json"
"""Where the commit of a workflow's run has the values of its params."""


@dataclass(frozen=True, slots=True)
class Run:
    """The job whose output is sent. ``inputs``: the commit that it reads of each input, by repo and branch."""

    store: Store
    job: CommitId
    started_ns: int
    inputs: Mapping[tuple[str, str], CommitId]


@dataclass(slots=True)
class _Place:
    """One target with what was noted of it, over all tries; another one as soon as its secret says something else."""

    notes: Notes
    known_as: object = None
    target: Target | None = None
    old: list[Target] = field(default_factory=list)


class Deliveries:
    """Sends an output, which is not committed yet, to where its pipeline's spec says, one place after the other.

    ``pipeline``: as it was when the job began. Secrets are read at each try.
    """

    def __init__(self, run: Run, pipeline: Pipeline, output: Tree) -> None:
        self._run, self._pipeline, self._output = run, pipeline, output
        self._places: dict[str, _Place] = {}

    def send(self, stop: threading.Event) -> None:
        """Send what is not there; may be called again after any failure.

        Raises:
            PlaceRefusedError: two places are one, which values of the run made: nothing was sent.
            Others: as `Delivery.send`.
        """
        self._check_distinct()
        for egress in self._pipeline.spec.egresses:
            if isinstance(egress, SqlEgress):
                load(self._run.store.objects, self._output, _database(self._run.store, egress), stop=stop)
            else:
                self._deliver(egress, stop)
        self._close()

    def _check_distinct(self) -> None:
        """Refuse two deliveries to one name: the one would write over what the other did, again with each run."""
        known = set[tuple[str, ...]]()
        values = self._values()
        for egress in self._pipeline.spec.egresses:
            if isinstance(egress, SqlEgress):
                continue
            naming, levers = Naming(egress.levers, values), egress.levers
            if not naming.is_one:
                continue
            url = f"{naming.text(egress.url).rstrip('/')}/{naming.text(levers.key).lstrip('/')}"
            place = (url, egress.secret, levers.endpoint, levers.profile)
            if place in known:
                raise PlaceRefusedError(
                    f"send to {quoted(url)}", "two deliveries of this pipeline go there: give each its own"
                )
            known.add(place)

    def _deliver(self, egress: Egress, stop: threading.Event) -> None:
        run, spec = self._run, self._pipeline.spec
        naming = Naming(egress.levers, self._values())
        place = self._place(egress, naming.text(egress.url), stop)
        assert place.target is not None, "it was opened"
        part = Part(run.store.objects, self._output, to_key(egress.path))
        if egress.levers.archive == "none":
            Delivery(part, place.target, naming, place.notes, job=run.job).send(stop)
            return
        called = egress.path.rpartition("/")[2] or spec.name
        packed = PackedDelivery(part, place.target, naming, place.notes, job=run.job)
        packed.send(stop, egress.levers, called=called)

    def _place(self, egress: Egress, url: str, stop: threading.Event) -> _Place:
        run, name = self._run, target_id(egress)
        refuse_store(run.store.path, url)
        if name not in self._places:
            meta = Tree(run.store.objects, self._pipeline.meta_root)
            self._places[name] = _Place(Notes(run.store, meta, name))
        place, secret = self._places[name], settings_of(run.store, egress)
        if place.target is None or place.known_as != (url, secret):
            if place.target is not None:
                place.old.append(place.target)
            place.target = open_target(url, egress.levers, secret, stop=stop)
            place.known_as = (url, secret)
        return place

    def _values(self) -> dict[str, str]:
        run = self._run
        day = time.strftime("%Y-%m-%d", time.gmtime(run.started_ns / 1e9))
        values = {"job.id": run.job, "commit.id": run.job, "pipeline.name": self._pipeline.name, "run.date": day}
        return values | {f"params.{name}": value for name, value in self._params().items()}

    def _params(self) -> dict[str, str]:
        """Return the params of the workflow's run that the job is of; none for other jobs."""
        if self._pipeline.spec.transform.task is None:
            return {}
        leaf = next((leaf for leaf in self._pipeline.leaves if leaf.name == RUN_INPUT), None)
        commit = None if leaf is None else self._run.inputs.get((leaf.repo, leaf.branch))
        if leaf is None or commit is None:
            return {}
        try:
            data = self._run.store.repo(leaf.repo).view(commit).read(RUN_FILE)
            given = msgspec.json.decode(data, type=_RunFile).params
        except NotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise CorruptionError(f"{leaf.repo}@{commit}:{RUN_FILE}", f"not the record of a run ({error})") from error
        return {name: _text(value) for name, value in given.items()}

    def take_notes(self) -> list[Notes]:
        """Return what was noted, of places with news, once."""
        notes = [place.notes for place in self._places.values()]
        self._places = {}
        for one in notes:
            if not one.has_news:
                one.session.abandon()
        return [one for one in notes if one.has_news]

    def abandon(self) -> None:
        """Take away what is there of files that are not whole."""
        for place in self._places.values():
            for target in (place.target, *place.old):
                if target is not None:
                    target.abandon()
        self._close()

    def _close(self) -> None:
        for place in self._places.values():
            for target in (place.target, *place.old):
                if target is not None:
                    target.close()
            place.target, place.old = None, []


def refuse_store(home: Path, url: str) -> None:
    """Refuse the folder of the store itself, or one in it, as a destination.

    Raises:
        PlaceRefusedError: it is one.
    """
    scheme, _, path = split(url)
    if scheme == "file" and Path(path).resolve().is_relative_to(home.resolve()):
        raise PlaceRefusedError(f"send to {quoted(url)}", "that is in the store itself")


class _RunFile(msgspec.Struct):
    params: dict[str, object] = {}


def _text(value: object) -> str:
    """Return a param as a text: texts as they are, all else as JSON has it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _database(store: Store, egress: SqlEgress) -> Database:
    password = Secrets(store).values(egress.secret).get(egress.key) if egress.secret else None
    if egress.secret and password is None:
        raise NotFoundError(f"secret {egress.secret!r} has no key {egress.key!r}")
    text = None if password is None else password.decode(errors="replace").strip()
    return Database(egress.url, egress.format, egress.columns, text)


def settings_of(store: Store, egress: Egress) -> dict[str, str]:
    """Return what the secret of an egress says of where and as whom; nothing without one.

    Raises:
        NotFoundError: there is no such secret. InvalidInputError: it has a value that is no text.
    """
    if not egress.secret:
        return {}
    values = Secrets(store).values(egress.secret)
    try:
        return {name: value.decode().strip() for name, value in values.items()}
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"secret {egress.secret!r} has a value that is no text") from error
