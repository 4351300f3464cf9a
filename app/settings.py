"""Every setting, and the only reader of the environment. Roots load it once and pass plain values on.

An empty variable counts as unset. A value that breaks its rule, or a SMILEKEEPER_ name nobody knows, refuses to
start: all of them are named at once, with what was found and the rule. Passwords are never shown.
"""

import dataclasses
import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

from app.kernel_cache import folder_of_this_code
from app.quant.gate_rules import ORDERED, GateRules
from app.service.triggers import EVERY, WORDS, Triggers, parse_triggers
from app.setting import RuleSettings, Setting, shown_text
from app.setting_rules import (
    CHALLENGERS,
    FOLDER,
    FSYNC,
    HOST,
    KEY,
    LOG_FORMAT,
    LOG_LEVEL,
    MODEL,
    MODELS,
    NETWORKS,
    PROGRAM,
    PROMOTE,
    REDIS_URL,
    SWITCH,
    WORKERS,
    Assignment,
    Rule,
    number,
    whole,
)

PREFIX: Final = "SMILEKEEPER_"
"""Of every name that is ours alone; REDIS_URL, SHARDS and DEMO keep their common names."""

EVERY_ADDRESS: Final = ("0.0.0.0", "::")
"""Listening there includes the loopback address."""

NUMERIC_THREAD_POOLS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Read by numpy and numba when they are first imported. A fit is one thread and we scale by processes."""

KERNEL_CACHE: Final = "NUMBA_CACHE_DIR"
"""numba's own name for the folder of its cache."""


class InvalidSettings(ValueError):
    """The environment breaks the rules in ``problems``, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


GATE: Final = RuleSettings("SMILEKEEPER_GATE_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The service's settings; see :func:`load`."""

    redis_url: Annotated[
        str | None, Setting("REDIS_URL", "", REDIS_URL, "server to use; empty: one embedded in the data folder")
    ] = field(repr=False)
    shards: Annotated[int, Setting("SHARDS", "1", whole(1, 64), "queues of the underlyings, also in a cluster")]
    demo: Annotated[bool, Setting("DEMO", "1", SWITCH, "replay recorded chains through the public endpoint")]
    demo_speed: Annotated[
        float, Setting("SMILEKEEPER_DEMO_SPEED", "60", number(0.01, 1e6), "recorded seconds replayed in a second")
    ]
    key: Annotated[
        str | None,
        Setting("SMILEKEEPER_KEY", "", KEY, "shown by demo, replay and health where a service asks"),
    ] = field(repr=False)
    host: Annotated[str, Setting("SMILEKEEPER_HOST", "127.0.0.1", HOST, "address the API listens on")]
    port: Annotated[int, Setting("SMILEKEEPER_PORT", "8000", whole(1, 65535), "port the API listens on")]
    trusted_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Setting("SMILEKEEPER_TRUSTED_NETWORKS", "", NETWORKS, "whose callers may do everything, as this machine's may"),
    ]
    requests_per_s: Annotated[
        float, Setting("SMILEKEEPER_REQUESTS_PER_S", "100", number(0.1, 1e6), "requests a second with one key")
    ]
    connections_per_key: Annotated[
        int, Setting("SMILEKEEPER_CONNECTIONS_PER_KEY", "64", whole(1, 100_000), "WebSockets open with one key")
    ]
    workers: Annotated[int, Setting("SMILEKEEPER_WORKERS", "", WORKERS, "calibrating processes")]
    model: Annotated[
        str | None, Setting("SMILEKEEPER_MODEL", "", MODEL, "surface model to fit; empty: the default one")
    ]
    models: Annotated[
        tuple[Assignment, ...], Setting("SMILEKEEPER_MODELS", "", MODELS, "models of underlyings that have their own")
    ]
    challengers: Annotated[
        tuple[Assignment, ...],
        Setting("SMILEKEEPER_CHALLENGERS", "", CHALLENGERS, "models that are scored beside the published one"),
    ]
    promote: Annotated[
        str, Setting("SMILEKEEPER_PROMOTE", "off", PROMOTE, "auto: a challenger that proves better takes over")
    ]
    data_dir: Annotated[
        Path, Setting("SMILEKEEPER_DATA_DIR", "data", FOLDER, "where the embedded server keeps its files")
    ]
    appendfsync: Annotated[
        str, Setting("SMILEKEEPER_APPENDFSYNC", "everysec", FSYNC, "when the embedded server syncs to disk")
    ]
    redis_bin: Annotated[
        Path | None, Setting("SMILEKEEPER_REDIS_BIN", "", PROGRAM, "server program to embed; empty: found")
    ]
    lease_s: Annotated[
        float,
        Setting("SMILEKEEPER_LEASE_S", "3", number(0.5, 600), "seconds until a dead worker's chain is retaken"),
    ]
    fit_limit_s: Annotated[float, Setting("SMILEKEEPER_FIT_LIMIT_S", "10", number(0.1, 3600), "seconds a fit may take")]
    history_limit: Annotated[
        int, Setting("SMILEKEEPER_HISTORY_LIMIT", "500", whole(1, 1_000_000), "surfaces kept of each underlying")
    ]
    history_age_h: Annotated[
        float,
        Setting("SMILEKEEPER_HISTORY_AGE_H", "720", number(0.01, 1e6), "hours surfaces and chains are kept"),
    ]
    chains_limit: Annotated[
        int,
        Setting("SMILEKEEPER_CHAINS_LIMIT", "100", whole(0, 1_000_000), "fitted chains kept of each underlying"),
    ]
    factors_limit: Annotated[
        int,
        Setting(
            "SMILEKEEPER_FACTORS_LIMIT",
            "7200",
            whole(0, 1_000_000),
            "rows of market factors, one in six seconds, kept of each underlying for a week",
        ),
    ]
    stale_after_s: Annotated[
        float, Setting("SMILEKEEPER_STALE_AFTER_S", "120", number(0.1, 1e7), "age from which a surface is stale")
    ]
    longest_wait_s: Annotated[
        float,
        Setting(
            "SMILEKEEPER_LONGEST_WAIT_S",
            "60",
            number(0.1, 1e7),
            "seconds chains may wait before new ones get 503",
        ),
    ]
    store_answers_within_s: Annotated[
        float,
        Setting(
            "SMILEKEEPER_STORE_ANSWERS_WITHIN_S",
            "0.9",
            number(0.1, 600),
            "seconds the store may take before a request gets 503",
        ),
    ]
    max_body_bytes: Annotated[
        int, Setting("SMILEKEEPER_MAX_BODY_BYTES", "8388608", whole(1024, 1 << 30), "largest body of a request")
    ]
    triggers: Annotated[
        Triggers, Setting("SMILEKEEPER_RECALIBRATE", EVERY, Rule(WORDS, parse_triggers), "which chains are fitted")
    ]
    gate: Annotated[GateRules, GATE]
    log_level: Annotated[str, Setting("SMILEKEEPER_LOG_LEVEL", "info", LOG_LEVEL, "least severe event logged")]
    log_format: Annotated[
        str, Setting("SMILEKEEPER_LOG_FORMAT", "auto", LOG_FORMAT, "auto: text on a terminal, else JSON lines")
    ]

    @property
    def log_level_number(self) -> int:
        """Return the level as the logging module counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]

    @property
    def local_host(self) -> str:
        """Return the address at which clients on this machine find the API."""
        return "127.0.0.1" if self.host in EVERY_ADDRESS else self.host

    @property
    def is_local(self) -> bool:
        """Return True where only this machine can reach the API."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def base_url(self) -> str:
        """Return the API's URL for clients on this machine, without a slash at the end."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}"


def setting_table() -> dict[str, Setting]:
    """Return how each field of Settings is read, in the order of the class, by its path such as ``gate.large_jump``."""
    hints = get_type_hints(Settings, include_extras=True)
    table: dict[str, Setting] = {}
    for each in dataclasses.fields(Settings):
        how = hints[each.name].__metadata__[0]
        if isinstance(how, Setting):
            table[each.name] = how
        else:
            table |= {f"{each.name}.{name}": setting for name, setting in how.table(hints[each.name].__origin__)}
    return table


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in ``environment`` (default: this process's). Raises InvalidSettings naming every problem."""
    given = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    problems = _unknown_names(given)
    for name, setting in setting_table().items():
        text = given.get(setting.variable, "").strip() or setting.default
        try:
            values[name] = setting.rule.parse(text)
        except ValueError:
            problems.append(f"{setting.variable}={shown_text(setting, text)}: must be {setting.rule.words}")
    gate = {name: values.pop(f"gate.{name}") for name, _ in GATE.table(GateRules) if f"gate.{name}" in values}
    problems += [
        f"{GATE.variable(lesser)}={gate[lesser]:g}: must be at most {GATE.variable(greater)}={gate[greater]:g}"
        for lesser, greater in ORDERED
        if lesser in gate and greater in gate and gate[lesser] > gate[greater]
    ]
    if problems:
        raise InvalidSettings(problems)
    return Settings(gate=GateRules(**gate), **values)


def required_redis_url(settings: Settings) -> str:
    """Return the server's URL, for a process that has no server of its own. Raises InvalidSettings without one."""
    if settings.redis_url is None:
        raise InvalidSettings(["REDIS_URL is empty: this process needs the URL of the store (`run` starts one itself)"])
    return settings.redis_url


def _unknown_names(given: Mapping[str, str]) -> list[str]:
    known = [setting.variable for setting in setting_table().values()]
    problems = []
    for variable in sorted(given):
        if variable.startswith(PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            problems.append(f"{variable}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return problems


def is_set(setting: Setting) -> bool:
    """Return True where the environment, not the default, gives this setting's value."""
    return bool(os.environ.get(setting.variable, "").strip())


def environment_of_children(**changes: str) -> dict[str, str]:
    """Return this process's environment with ``changes`` (variable=text), for a process it starts."""
    return {**os.environ, **changes}


def use_one_numeric_thread() -> None:
    """Keep numpy and numba single-threaded in this process; call before either is imported."""
    for variable in NUMERIC_THREAD_POOLS:
        os.environ.setdefault(variable, "1")


def use_kernels_of_this_code() -> Path:
    """Make numba keep its cache in the folder of these sources and return it; call before numba is imported."""
    given = os.environ.get(KERNEL_CACHE)
    folder = folder_of_this_code(Path(given) if given else None)
    os.environ[KERNEL_CACHE] = str(folder)
    return folder
