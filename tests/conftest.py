"""What holds for every test: no network, repeatable examples, nothing left behind in the process."""

from __future__ import annotations

import gc
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from support.chain import Chain
    from support.scored_run import Scored
    from support.shared import SharedFolder

# No example database (it would be written into the repository), the same examples every time.
settings.register_profile("project", database=None, deadline=None, derandomize=True)
settings.load_profile("project")


MOST_PROCESSES = 4
"""Of tests, whatever the number of cores."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process for each core: they seldom wait, and each imports every library once."""
    return min(MOST_PROCESSES, os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that share a folder first, so that they go to one process: others would wait for it."""
    items.sort(key=lambda item: "shared_folder" not in getattr(item, "fixturenames", ()))


def pytest_configure() -> None:
    """Search for garbage seldom: the libraries make a million objects that stay."""
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later search."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter tidy up at its end, as libraries expect."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    """Makes a folder once for all test processes: (its name, a function that fills it) → its path."""
    from support.shared import made_once

    return partial(made_once, tmp_path_factory)


@pytest.fixture(scope="session")
def chain(shared_folder: SharedFolder) -> Chain:
    """A tiny run from orders to a comparison, with one export; copy what a test changes."""
    from support.chain import make_chain, read_chain

    return read_chain(shared_folder("chain", make_chain))


@pytest.fixture(scope="session")
def scored(chain: Chain) -> Scored:
    """Its exported model with its store and its score files; copy what a test changes."""
    from support.scored_run import scored_run

    return scored_run(chain)
