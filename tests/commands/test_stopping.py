"""A command that is asked to stop, or that nobody reads any more, ends in words, with a shell's status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import atexit, sys, time
import click
from commands.group import Commands
from tsa_model import stopping

@click.group(cls=Commands)
def main(): ...

@click.command()
def wait():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleared up", flush=True)

@click.command()
def swallow():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass
    for step in range(1000):
        stopping.check()
        print("went on", flush=True)

@click.command()
def swallow_to_the_end():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass

@click.command()
def hold():
    with stopping.held():
        print("ready", flush=True)
        for _ in range(3000):
            time.sleep(0.01)
            if stopping.asked():
                break
        print("step done", flush=True)
    print("went on", flush=True)

@click.command()
def end_slowly():
    def clear_up():
        print("ready", flush=True)
        time.sleep(2)
        print("cleared up", flush=True)
    atexit.register(clear_up)

@click.command()
def talk():
    for number in range(100_000):
        print("line", number, flush=True)

found = {"wait": wait, "swallow": swallow, "swallow-to-the-end": swallow_to_the_end, "talk": talk,
         "hold": hold, "end-slowly": end_slowly}
Commands.list_commands = lambda self, ctx: list(found)
Commands.get_command = lambda self, ctx, name: found.get(name)
main()
"""


def start(command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["wait", "swallow", "swallow-to-the-end"])
def test_a_request_to_stop_ends_a_command(command: str, number: signal.Signals, status: int) -> None:
    process = start(command)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    shown, words = process.communicate(timeout=60)
    assert process.returncode == status
    assert words == "Interrupted: everything that was running was stopped.\n"
    assert shown == ("cleared up\n" if command == "wait" else "")


def test_sigterm_waits_for_work_that_ends_itself() -> None:
    process = start("hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    shown, words = process.communicate(timeout=60)
    assert process.returncode == 143
    assert words == "Interrupted: everything that was running was stopped.\n"
    assert shown == "step done\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_after_the_work_does_not_make_it_a_failure(number: signal.Signals) -> None:
    process = start("end-slowly")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    shown, words = process.communicate(timeout=60)
    assert (process.returncode, words, shown) == (0, "", "cleared up\n")


def test_a_reader_who_goes_away_ends_a_command_in_words() -> None:
    process = start("talk")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == "Nobody reads the output any more: the command was stopped.\n"
