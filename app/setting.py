"""A setting: its variable, its default, its rule, and what may be shown of it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.setting_rules import KEY, REDIS_URL, Rule, number, whole

HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Setting:
    """How a field is read, and its line in the settings table; an unset variable stands for ``default``."""

    variable: str
    default: str
    rule: Rule
    meaning: str


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """A setting for each field of a dataclass of rules: its name in capitals behind ``prefix``."""

    prefix: str

    def table(self, rules: type[Any]) -> Iterator[tuple[str, Setting]]:
        """Yield the name of each field and how it is read."""
        for each in dataclasses.fields(rules):
            low, high = each.metadata["low"], each.metadata["high"]
            rule = whole(low, high) if each.type is int else number(low, high)
            yield each.name, Setting(self.variable(each.name), f"{each.default:g}", rule, each.metadata["meaning"])

    def variable(self, name: str) -> str:
        """Return the variable that gives the field ``name``."""
        return self.prefix + name.upper()


def shown_text(setting: Setting, text: str) -> str:
    """Return what may be shown of a setting's text: of a URL no password, of a key nothing."""
    if setting.rule is REDIS_URL:
        return redacted_url(text)
    return HIDDEN if setting.rule is KEY else text


def redacted_url(url: str) -> str:
    """Return ``url`` without user, password and query, which may hold a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    if not parts.scheme or not (parts.hostname or parts.path):
        return HIDDEN
    user = "***@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"
