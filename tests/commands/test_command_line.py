import argparse
import os
import subprocess
import sys

import pytest

from app.__main__ import main
from app.commands import COMMANDS, command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_file_that_declares_and_runs_it(name):
    module = command(name)
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)
    assert module.__doc__


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n    {name}" in said for name in COMMANDS)


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["fly"])
    assert left.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_a_bad_setting_refuses_to_start(monkeypatch, capsys):
    monkeypatch.setenv("SMILEKEEPER_PORT", "eight")
    assert main(["healthy"]) == os.EX_CONFIG
    assert capsys.readouterr().err == (
        "setting refused: SMILEKEEPER_PORT=eight: must be a whole number from 1 to 65535\n"
    )


@pytest.mark.parametrize(
    ("name", "environment"), [("api", {}), ("worker", {}), ("worker", {"SMILEKEEPER_MODEL": "svj"})]
)
def test_a_process_that_cannot_work_so_says_why_and_leaves(name, environment):
    given = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
    ran = subprocess.run(
        [sys.executable, "-m", "app", name],
        check=False,
        env={**given, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == os.EX_CONFIG
    assert ran.stderr.startswith(
        "setting refused: " + ("SMILEKEEPER_MODEL=svj" if environment else "REDIS_URL is empty")
    )


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch):
    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command("healthy"), "run", interrupted)
    assert main(["healthy"]) == 130


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--table"]])
def test_a_reader_that_goes_away_ends_a_command_quietly(arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            check=False,
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=300,
        )
    finally:
        os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_more_than_a_pipe_holds_ends_as_quietly():
    script = (
        "import sys; from app import __main__; from app.commands import command;"
        "command('settings').run = lambda _: [print('x' * 1000) for _ in range(1000)];"
        "sys.exit(__main__.main(['settings']))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writes:
        assert writes.stdout is not None
        assert writes.stderr is not None
        assert writes.stdout.readline() == b"x" * 1000 + b"\n"
        writes.stdout.close()
        assert writes.stderr.read() == b""
    assert writes.returncode == 141


def test_another_broken_pipe_is_no_reader_that_left(monkeypatch):
    def broken(_: argparse.Namespace) -> int:
        raise BrokenPipeError("a connection")

    monkeypatch.setattr(command("healthy"), "run", broken)
    with pytest.raises(BrokenPipeError, match="a connection"):
        main(["healthy"])


def test_a_process_without_an_output_runs(monkeypatch):
    monkeypatch.setattr(command("healthy"), "run", lambda _: 0)
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["healthy"]) == 0


def test_starting_the_supervisor_does_not_wait_for_numpy():
    script = "import app.commands.run, sys; print({'numpy', 'numba', 'fastapi'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
