"""The laws of the house that a tool can check."""

import ast
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parents[1] / "app"
SOURCES = sorted(APP.rglob("*.py"))
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "engine", "core"}


def environment_reads(source: str) -> list[str]:
    names = {"environ", "getenv", "environb", "getenvb"}
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in names for a in node.names))
    ]


def test_imports_point_inward():
    """In a process of its own: the linter silences every logger of the one it runs in."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    linted = subprocess.run([*command, "--no-cache"], cwd=APP.parent, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_names_say_what_is_inside():
    assert [str(path) for path in SOURCES if NAMES_THAT_SAY_NOTHING & {*path.relative_to(APP).parts, path.stem}] == []


def test_settings_alone_reads_the_environment():
    settings = APP / "settings.py"
    assert {
        str(path): reads for path in SOURCES if path != settings and (reads := environment_reads(path.read_text()))
    } == {}
    assert environment_reads(settings.read_text()), "the check itself must see a read"
    assert environment_reads("from os import getenv")
