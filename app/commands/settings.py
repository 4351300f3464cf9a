"""The settings in force: each value and where it came from, or the table that the README shows."""

import argparse
from operator import attrgetter

from app.setting import Setting, shown_text
from app.settings import is_set, load, setting_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to print."""
    parser.add_argument("--table", action="store_true", help="print the README's table instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or every setting's value and origin."""
    if arguments.table:
        print(readme_table())
        return 0
    settings = load()
    for field, setting in setting_table().items():
        origin = "set" if is_set(setting) else "default"
        print(f"{setting.variable} = {shown(setting, attrgetter(field)(settings))}  ({origin})")
    return 0


def shown(setting: Setting, value: object) -> str:
    """Return a value as an operator may see it: no password, nothing for unset."""
    if value is None or value == ():
        return "(none)"
    return shown_text(setting, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def readme_table() -> str:
    """Return every setting with its default, rule and meaning as a Markdown table."""
    rows = ["| variable | default | must be | meaning |", "|---|---|---|---|"]
    for setting in setting_table().values():
        default = f"`{setting.default}`" if setting.default else ""
        words = setting.rule.words.replace("|", "\\|")
        rows.append(f"| `{setting.variable}` | {default} | {words} | {setting.meaning} |")
    return "\n".join(rows)
