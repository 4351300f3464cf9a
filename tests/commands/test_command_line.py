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
        timeout=60,
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


def test_starting_the_supervisor_does_not_wait_for_numpy():
    script = "import app.commands.run, sys; print({'numpy', 'numba', 'fastapi'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
