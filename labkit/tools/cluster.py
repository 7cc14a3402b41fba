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

    Raises ``LabError`` where no scheduler answers, it has no worker, or a worker has another labkit, more than
    one thread, or does not see the folder ``store``.
    """
    client = _client(address)
    with client:
        _check(client, address, store)
        yield client.get_executor(pure=False)


def workers_at(address: str) -> int:
    """How many workers the scheduler has now."""
    with _client(address) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


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


def _check(client, address: str, store: Path) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise LabError(f"The scheduler at {address} has no worker: start some with dask worker {address}.") from None
    for worker, found in client.get_versions(packages=["labkit"])["workers"].items():
        if (version := found["packages"].get("labkit")) != labkit.__version__:
            raise LabError(
                f"The worker {worker} has labkit {version or 'not at all'}, here it is {labkit.__version__}: bring both "
                "to one version, or stop that worker."
            )
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise LabError(f"The worker {worker} has {threads} threads: start it with --nthreads 1, one worker a core.")
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
