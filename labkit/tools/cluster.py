"""Workers on other machines: a Dask cluster as an executor. Its package comes with the extra ``cluster``."""

import uuid
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import labkit
from labkit.settings import LabError

PATIENCE = 60  # seconds to wait for the first worker
CONNECT = "10s"


@contextmanager
def cluster(address: str, store: Path) -> Iterator[Executor]:
    """The workers of the Dask scheduler at ``address``, such as ``tcp://host:8786``.

    Raises ``LabError`` where no scheduler answers, or a worker that is there has another labkit, more than one
    thread, or does not see the folder ``store``.
    """
    with _client(address) as client:
        try:
            _check(client, store)
        except OSError as error:  # as where a worker ends meanwhile
            raise LabError(f"A worker of {address} does not answer ({error}): start the sweep again.") from None
        yield client.get_executor(pure=False)


def workers_at(address: str, wanted: int | None = None) -> int:
    """How many workers the scheduler has, as soon as there are as many as ``wanted``; where none is, a first one is
    waited for for a while. Raises ``LabError`` where none comes."""
    with _client(address) as client:
        try:
            client.wait_for_workers(wanted or 1, timeout=None if wanted else PATIENCE)
        except TimeoutError:
            raise LabError(
                f"The scheduler at {address} has no worker: start some with dask worker {address} --nthreads 1."
            ) from None
        return len(client.nthreads())


def _client(address: str):
    try:
        from distributed import Client
    except ImportError:
        raise LabError("--scheduler needs Dask: install it with pip install -e '.[cluster]'.") from None
    try:
        return Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise LabError(
            f"No Dask scheduler answers at {address} ({type(error).__name__}): start one with dask scheduler and give "
            "the address that it prints."
        ) from None


def _version() -> str:
    """Asked in the worker's own words: what is installed may be another copy than what is imported."""
    return __import__("labkit").__version__


def _check(client, store: Path) -> None:
    for worker, version in client.run(_version, on_error="return").items():
        if version != labkit.__version__:
            raise LabError(
                f"The worker {worker} has labkit {version}, here it is {labkit.__version__}: bring both to one version, "
                "or stop that worker."
            )
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise LabError(
                f"The worker {worker} has {threads} threads: start it with --nthreads 1, one worker per core."
            )
    token = store / f".seen-{uuid.uuid4().hex}"
    token.touch()
    try:
        for worker, seen in client.run(Path.exists, token).items():
            if not seen:
                raise LabError(
                    f"The worker {worker} does not see {store}: give with --out a folder that all machines share."
                )
    finally:
        token.unlink()
