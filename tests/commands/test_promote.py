"""`python -m app promote`, and which models a worker is told to fit."""

import os
import subprocess
import sys

import pytest

from app.__main__ import main
from app.commands.calibration_policy import calibration_policy, challenge_policy
from app.settings import InvalidSettings, load
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import opened


@pytest.fixture
def on_store(monkeypatch: pytest.MonkeyPatch, valkey: RealServer) -> RealServer:  # noqa: F811
    monkeypatch.setenv("REDIS_URL", valkey.url)
    return valkey


def test_promote_until_another_is(on_store, capsys):
    with opened(on_store.url) as store:
        store.submit()
        assert main(["promote", "BTC", "svi"]) == 0
        assert "svi takes over from the one of the settings" in capsys.readouterr().out
        assert main(["promote", "BTC", "essvi"]) == 0
        assert "essvi takes over from svi" in capsys.readouterr().out
        assert store.run(store.api.scores.scores("BTC")).promoted == "essvi"


@pytest.mark.parametrize(
    ("underlying", "model", "words"),
    [("BTC", "sabr", "no absence of arbitrage"), ("BTC", "heston", "is not one of"), ("NOBODY", "svi", "never was")],
)
def test_what_may_not_take_over_is_said(on_store, capsys, underlying, model, words):
    with opened(on_store.url) as store:
        store.submit()
        assert main(["promote", underlying, model]) == os.EX_DATAERR
        assert words in capsys.readouterr().err
        assert store.run(store.api.scores.scores("BTC")).promoted is None


def test_a_store_that_is_away_is_said_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/store.sock")
    assert main(["promote", "BTC", "svi"]) == os.EX_UNAVAILABLE
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("SMILEKEEPER_DATA_DIR", str(tmp_path))
    assert main(["promote", "BTC", "svi"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err


def test_settings_become_policies():
    settings = load(
        {
            "SMILEKEEPER_MODEL": "svi",
            "SMILEKEEPER_MODELS": "ETH=essvi",
            "SMILEKEEPER_CHALLENGERS": "svi_spline,ETH=svi+sabr",
            "SMILEKEEPER_PROMOTE": "auto",
        }
    )
    policy, rules = calibration_policy(settings), challenge_policy(settings)
    assert [policy.model_for(each) for each in ("BTC", "ETH")] == ["svi", "essvi"]
    assert rules.challengers_of("BTC", "svi", "svi") == ("svi_spline",)
    assert rules.challengers_of("ETH", "essvi", "essvi") == ("svi", "sabr")
    assert rules.automatic
    assert not challenge_policy(load({})).automatic


def test_models_nobody_knows_are_all_named():
    with pytest.raises(InvalidSettings) as refused:
        calibration_policy(load({"SMILEKEEPER_MODELS": "BTC=heston", "SMILEKEEPER_CHALLENGERS": "bates"}))
    first, second = refused.value.problems
    assert first.startswith("SMILEKEEPER_MODELS=heston: must be one of ")
    assert second.startswith("SMILEKEEPER_CHALLENGERS=bates: must be one of ")


def test_a_worker_refuses_to_start_with_such_a_model():
    ran = subprocess.run(
        [sys.executable, "-m", "app", "worker"],
        check=False,
        env={**os.environ, "SMILEKEEPER_CHALLENGERS": "bates"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == os.EX_CONFIG
    assert "SMILEKEEPER_CHALLENGERS=bates" in ran.stderr
