"""Where MLflow's runs lie, who may write there now, and a clear word when that cannot be done.

One process writes at a time, whatever the store: it holds a lock file. Standard library only, until `client` is called.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import sqlite3
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

PATIENCE = 120.0  # seconds to wait for another writer
REACH = 5.0  # seconds in which a server must answer, and a database must come free
LIBRARIES = ("mlflow", "sqlalchemy", "sqlite3", "alembic", "requests", "urllib3")
OWN = "unset MLFLOW_TRACKING_URI to use mlflow.db in the project folder"
AGAIN = "Results are complete without it; `tesserae mlflow sync` tries again."


class StoreError(Exception):
    """The store cannot be used now; the message says why and what to do. Results do not depend on it."""


class Busy(StoreError):
    """Another process is writing."""


class Store:
    """One tracking store of a project: `uri`, else MLFLOW_TRACKING_URI, else mlflow.db in the project folder.

    A relative path in sqlite:///path counts from the project folder, not from that of the caller.
    """

    def __init__(self, root: Path, uri: str | None = None):
        self.root = root
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        self.database = None
        if self.uri.startswith("sqlite:///"):
            self.database = (root / self.uri.removeprefix("sqlite:///")).absolute()
            self.uri = f"sqlite:///{self.database}"
        self.name = _without_password(self.uri)  # may be shown and kept
        self.served = self.uri.startswith(("http://", "https://"))
        if self.database:
            self._lock = self.database.with_name(f"{self.database.name}.lock")
        else:
            name = hashlib.sha256(self.uri.encode()).hexdigest()[:8]
            self._lock = root / ".tesserae" / f"mlflow-{name}.lock"
        self._signature = ""

    def artifacts(self, experiment: str) -> str | None:
        """Where the files of an experiment's runs go, as a URI; None where a server decides."""
        if self.served:
            return None
        folder = (self.database.parent if self.database else self.root) / "mlruns" / experiment
        return folder.absolute().as_uri()

    def local(self, uri: str) -> Path | None:
        """The folder that a URI names; None if it is not a folder of this machine."""
        parts = urlsplit(uri)
        return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None

    def check_place(self, experiment: Any) -> None:
        """StoreError if an experiment's files would go to the folder of another project, or of this one's past."""
        expected = self.artifacts(experiment.name)
        if expected and self.local(experiment.artifact_location) not in (None, self.local(expected)):
            raise self._error(
                f"the files of its experiment {experiment.name} belong to {experiment.artifact_location}, not to "
                f"{expected} (was the project moved or copied?)",
                f"delete {self.database or 'that experiment'}: a sync builds it anew",
            )

    @contextlib.contextmanager
    def writing(self, patience: float = PATIENCE, say: Callable[[str], None] = print) -> Iterator[bool]:
        """Hold the lock; yields whether nobody else wrote since this object last did.

        Raises Busy if another writer holds it for longer than `patience` seconds.
        """
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            file = open(self._lock, "a+", encoding="utf-8")  # noqa: SIM115 (closed below; closing gives the lock back)
        except OSError as error:
            raise self._error(f"its lock {self._lock} cannot be written ({error})", "check folder and rights") from None
        with file:
            self._acquire(file, patience, say)
            file.seek(0)
            alone = bool(self._signature) and file.read() == self._signature
            self._signature = f"{os.getpid()} {uuid.uuid4().hex}"
            file.truncate(0)
            file.write(self._signature)
            file.flush()
            yield alone

    def client(self) -> Any:
        """A client of a store that is there and answers; to be called while writing."""
        if self.served:
            self._reach()
        elif self.database and self.database.exists():
            self._probe(self.database)
        _prepare_library()
        if self.database and not self.database.exists():
            self._create(self.database)
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.uri)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what goes wrong between MLflow and its store into a StoreError."""
        try:
            yield
        except Exception as error:
            ours = type(error).__module__.partition(".")[0] not in LIBRARIES
            if ours and not isinstance(error, OSError | ImportError):
                raise
            reason = (str(error).strip() or "no reason given").splitlines()[0][:300]
            remedy = f"if {self.database} is damaged, delete it: a sync builds it anew" if self.database else OWN
            raise self._error(f"{type(error).__name__}: {reason}", remedy) from error

    def holds(self, runs: set[str]) -> bool:
        """Whether these runs are in the database, read without MLflow; for other stores: whether it can be so."""
        if not self.database:
            return True
        try:
            with contextlib.closing(_open(self.database, "ro", REACH)) as database:
                found = database.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'").fetchall()
        except sqlite3.Error:  # not there, not readable, or of a version that keeps its runs elsewhere: let MLflow look
            return False
        return runs <= {run for (run,) in found}

    def _acquire(self, file: Any, patience: float, say: Callable[[str], None]) -> None:
        until, reported = time.monotonic() + patience, False
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().partition(" ")[0] or "unknown"
            except OSError as error:
                raise self._error(f"its lock {self._lock} cannot be taken ({error})", "check the file system") from None
            if time.monotonic() >= until:
                reason = f"process {holder} still writes to it after {patience:.0f} s"
                raise Busy(self._message(reason, "wait for it to end"))
            if not reported:
                say(f"MLflow: process {holder} writes to {self.name}; waiting up to {patience:.0f} s for it")
                reported = True
            time.sleep(0.1)

    def _reach(self) -> None:
        """Ask a server for a sign of life: MLflow's own client would try for minutes."""
        try:
            urllib.request.urlopen(f"{self.uri.rstrip('/')}/health", timeout=REACH).close()
        except urllib.error.HTTPError:  # it speaks; whether it lets us in is for MLflow's client to find out
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise self._error(f"no answer ({reason})", f"start the server, or {OWN}") from None

    def _probe(self, file: Path) -> None:
        """See that the database can be written: MLflow would wait long and answer with pages."""
        try:
            with contextlib.closing(_open(file, "rw", REACH)) as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            remedy = "end the program that holds it" if "locked" in str(error) else "check file, folder and rights"
            raise self._error(str(error), remedy) from None
        except sqlite3.DatabaseError as error:
            raise self._error(str(error), f"delete {file}: a sync builds it anew") from None

    def _create(self, file: Path) -> None:
        """Make the database aside and rename it: nobody ever meets half a schema, however this ends."""
        from mlflow.tracking import MlflowClient

        for leftover in file.parent.glob(f"{file.name}.making-*"):
            leftover.unlink()
        aside = file.with_name(f"{file.name}.making-{os.getpid()}")
        with contextlib.chdir(file.parent):  # MLflow's default experiment takes its place from it
            MlflowClient(f"sqlite:///{aside}").search_experiments(max_results=1)
        os.replace(aside, file)

    def _error(self, reason: str, remedy: str) -> StoreError:
        return StoreError(self._message(reason, remedy))

    def _message(self, reason: str, remedy: str) -> str:
        return f"MLflow store {self.name}: {_without_password(reason)}; {remedy}. {AGAIN}"


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _open(file: Path, mode: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, timeout=patience, isolation_level=None)


def _prepare_library() -> None:
    """Import MLflow, set up for a short visit; what the user set stays."""
    import logging

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A connection for each transaction: a database that was deleted and made anew is noticed, no handle stays open.
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    import mlflow.tracking  # noqa: F401

    for name in ("mlflow", "alembic"):  # their news and traces; errors reach us as exceptions
        logging.getLogger(name).setLevel(logging.CRITICAL)
