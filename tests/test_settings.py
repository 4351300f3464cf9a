import dataclasses
from pathlib import Path

import pytest

from app.quant.gate_rules import GateRules
from app.setting import redacted_url
from app.settings import (
    InvalidSettings,
    environment_of_children,
    load,
    setting_table,
    use_one_numeric_thread,
)

VARIABLES = {setting.variable for setting in setting_table().values()}


def problems_of(**environment: str) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as refused:
        load(environment)
    return refused.value.problems


def test_an_empty_environment_gives_the_documented_defaults():
    settings = load({})
    assert (settings.host, settings.port, settings.shards, settings.demo) == ("127.0.0.1", 8000, 1, True)
    assert settings.redis_url is None
    assert settings.data_dir == Path("data")
    assert settings.workers >= 1
    assert settings.appendfsync == "everysec"


def test_an_empty_variable_counts_as_unset():
    assert load({"SMILEKEEPER_PORT": "", "SHARDS": " "}) == load({})


def test_values_come_from_the_environment():
    settings = load(
        {
            "REDIS_URL": "rediss://user:pw@redis.example:6380/2",
            "DEMO": "off",
            "SMILEKEEPER_WORKERS": "3",
            "SMILEKEEPER_LEASE_S": "0.5",
            "SMILEKEEPER_LOG_LEVEL": "WARNING",
            "UNRELATED": "ignored",
        }
    )
    assert settings.redis_url == "rediss://user:pw@redis.example:6380/2"
    assert settings.demo is False
    assert settings.workers == 3
    assert settings.lease_s == 0.5
    assert settings.log_level_number == 30


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SMILEKEEPER_PORT", "0"),
        ("SMILEKEEPER_PORT", "tcp://10.0.0.1:80"),
        ("SHARDS", "1.5"),
        ("SMILEKEEPER_LEASE_S", "nan"),
        ("SMILEKEEPER_LEASE_S", "-1"),
        ("SMILEKEEPER_DEMO_SPEED", "inf"),
        ("SMILEKEEPER_APPENDFSYNC", "no"),
        ("DEMO", "maybe"),
        ("SMILEKEEPER_MODEL", "../svi"),
        ("SMILEKEEPER_MODELS", "svi"),
        ("SMILEKEEPER_MODELS", "BTC=svi+essvi"),
        ("SMILEKEEPER_MODELS", "BTC=svi,BTC=essvi"),
        ("SMILEKEEPER_CHALLENGERS", "=svi"),
        ("SMILEKEEPER_CHALLENGERS", "BTC="),
        ("SMILEKEEPER_CHALLENGERS", "svi;essvi"),
        ("SMILEKEEPER_PROMOTE", "always"),
        ("SMILEKEEPER_REDIS_BIN", "/nonexistent/valkey-server"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_with_name_value_and_rule(variable, value):
    (problem,) = problems_of(**{variable: value})
    rule = next(each.rule.words for each in setting_table().values() if each.variable == variable)
    assert problem.startswith(f"{variable}=")
    assert problem.endswith(f"must be {rule}")
    assert value in problem or variable == "REDIS_URL"


def test_models_are_assigned_to_underlyings():
    settings = load(
        {"SMILEKEEPER_MODELS": "BTC=svi_spline, ETH=essvi", "SMILEKEEPER_CHALLENGERS": "svi,essvi,BTC=svi+sabr"}
    )
    assert [(each.underlying, each.models) for each in settings.models] == [
        ("BTC", ("svi_spline",)),
        ("ETH", ("essvi",)),
    ]
    found = {each.underlying: each.models for each in settings.challengers}
    assert found == {"": ("svi", "essvi"), "BTC": ("svi", "sabr")}
    assert [str(each) for each in settings.challengers] == ["svi+essvi", "BTC=svi+sabr"]
    assert load({}).models == load({}).challengers == ()


def test_every_problem_is_named_at_once():
    assert len(problems_of(SHARDS="x", SMILEKEEPER_PORT="y", SMILEKEEPER_PROT="1")) == 3


def test_a_misspelt_name_is_refused_with_the_nearest_one():
    (problem,) = problems_of(SMILEKEEPER_WORKER="4")
    assert problem == "SMILEKEEPER_WORKER: no such setting; did you mean SMILEKEEPER_WORKERS?"


@pytest.mark.parametrize(
    "url", ["redis//:hunter2@host", "http://u:hunter2@host/0", "redis://u:hunter2@host:port/0", "hunter2"]
)
def test_a_refused_url_does_not_show_its_password(url):
    (problem,) = problems_of(REDIS_URL=url) if "port" not in url else (redacted_url(url),)
    assert "hunter2" not in problem


def test_neither_settings_nor_a_refusal_show_the_key():
    assert "hunter2" not in repr(load({"SMILEKEEPER_KEY": "smk_0011aabb_hunter2"}))
    (problem,) = problems_of(SMILEKEEPER_KEY="smk hunter2")
    assert problem == "SMILEKEEPER_KEY=(hidden): must be empty, or a key as `keys create` prints it"


def test_settings_do_not_show_the_url():
    assert "hunter2" not in repr(load({"REDIS_URL": "redis://:hunter2@host:6379/0"}))


def test_redaction_keeps_what_helps_to_find_the_server():
    assert redacted_url("redis://me:pw@host:6379/3?password=pw") == "redis://***@host:6379/3"
    assert redacted_url("unix:///run/store.sock?password=pw") == "unix:///run/store.sock"


def test_defaults_satisfy_their_own_rules_and_names_are_unique():
    table = setting_table()
    for setting in table.values():
        setting.rule.parse(setting.default)
    assert len({setting.variable for setting in table.values()}) == len(table)
    assert {name.partition(".")[0] for name in table} == {each.name for each in dataclasses.fields(load({}))}


def test_each_rule_of_the_gate_has_a_setting_and_its_default():
    assert load({}).gate == GateRules()
    named = {variable.removeprefix("SMILEKEEPER_GATE_").lower() for variable in VARIABLES if "_GATE_" in variable}
    assert named == {each.name for each in dataclasses.fields(GateRules)}
    given = load({"SMILEKEEPER_GATE_REJECTED_ERROR": "0.3", "SMILEKEEPER_GATE_BELIEVED_AFTER": "5"}).gate
    assert given == GateRules(rejected_error=0.3, believed_after=5)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SMILEKEEPER_GATE_REJECTED_ERROR", "11", "must be a number from 0 to 10"),
        ("SMILEKEEPER_GATE_BELIEVED_AFTER", "2.5", "must be a whole number from 1 to 1000"),
        ("SMILEKEEPER_GATE_DEGRADED_ERROR", "0.3", "must be at most SMILEKEEPER_GATE_REJECTED_ERROR=0.25"),
        ("SMILEKEEPER_GATE_REJECTED_INSIDE", "0.9", "must be at most SMILEKEEPER_GATE_DEGRADED_INSIDE=0.8"),
    ],
)
def test_a_wrong_rule_of_the_gate_refuses_to_start(variable, value, words):
    assert problems_of(**{variable: value}) == (f"{variable}={value}: {words}",)


def test_an_unknown_rule_of_the_gate_is_no_setting():
    (problem,) = problems_of(SMILEKEEPER_GATE_REJECTED_EROR="1")
    assert problem.endswith("did you mean SMILEKEEPER_GATE_REJECTED_ERROR?")


def test_children_get_this_environment_and_the_changes(monkeypatch):
    monkeypatch.setenv("SHARDS", "2")
    assert environment_of_children(REDIS_URL="unix:///s")["REDIS_URL"] == "unix:///s"
    assert environment_of_children()["SHARDS"] == "2"


def test_numeric_threads_are_one_unless_said_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    use_one_numeric_thread()
    seen = environment_of_children()
    assert (seen["OMP_NUM_THREADS"], seen["OPENBLAS_NUM_THREADS"]) == ("4", "1")


def test_trusted_networks_are_networks():
    networks = load({"SMILEKEEPER_TRUSTED_NETWORKS": "10.0.0.0/8, fd00::/8"}).trusted_networks
    assert [str(each) for each in networks] == ["10.0.0.0/8", "fd00::/8"]
    assert problems_of(SMILEKEEPER_TRUSTED_NETWORKS="10.0.0.1/8")[0].startswith("SMILEKEEPER_TRUSTED_NETWORKS=")
