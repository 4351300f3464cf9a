"""The whole pure path: a chain of known vols comes back as a certified surface, and every refusal has its reason."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.quant import calibration
from app.quant.calibration import NoSmile, SurfaceStatus, calibrate_surface
from app.quant.certificate import Certificate, Evidence
from app.quant.chain import OptionChain
from app.quant.errors import UnknownModel
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import SliceState
from app.quant.smile import ExpiryStatus
from app.quant.warm_up import known_chain
from app.quant.year_fraction import MS_PER_DAY

ARRAYS = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")


def known_vol(k: np.ndarray, t: float) -> np.ndarray:
    """The smile that known_chain is priced from."""
    return 0.6 - 0.1 * k + 0.15 * k * k / np.sqrt(t + 0.05)


@pytest.mark.parametrize("model", [name for name, m in MODELS.items() if m.arbitrage_free])
def test_known_vols_come_back_certified(model: str) -> None:
    fit = calibrate_surface(known_chain(), model=model)
    assert fit.status is SurfaceStatus.OK
    assert fit.certificate.arbitrage_free
    assert fit.certificate.method is Evidence.EXACT
    tolerance = 0.02 if model == "essvi" else 0.005
    for s in fit.surface.slices:
        k = np.linspace(-0.8, 0.8, 9) * 0.6 * np.sqrt(s.t)
        vol = np.sqrt(s.curve.total_variance(k) / s.t)
        np.testing.assert_allclose(vol, known_vol(k, s.t), atol=tolerance)


def test_the_same_chain_gives_the_same_numbers() -> None:
    first, second = (calibrate_surface(known_chain()) for _ in range(2))
    assert [s.curve.parameters() for s in first.surface.slices] == [s.curve.parameters() for s in second.surface.slices]
    again = [calibrate_surface(known_chain(), previous=first.surface) for _ in range(2)]
    assert [s.curve for s in again[0].surface.slices] == [s.curve for s in again[1].surface.slices]


def test_drift_of_an_unchanged_market_is_nothing() -> None:
    first = calibrate_surface(known_chain())
    second = calibrate_surface(known_chain(), previous=first.surface)
    assert first.drift.vol_rms is None
    assert second.drift.vol_rms is not None
    assert second.drift.vol_rms < 1e-3
    assert second.drift.per_node
    assert second.drift.per_parameter


def test_every_expiry_is_accounted_for() -> None:
    chain = known_chain()
    as_of_ms = chain.expiries[0].expiry_ms  # the first expiry has just expired
    seen = np.full(len(chain.expiries[0]), as_of_ms)
    expiries = [replace(e, timestamp_ms=seen) for e in chain.expiries]
    thin = expiries[-1]
    four = {name: getattr(thin, name)[:4] for name in ARRAYS}
    expiries.append(replace(thin, expiry_ms=thin.expiry_ms + 30 * MS_PER_DAY, **four))
    fit = calibrate_surface(replace(chain, as_of_ms=as_of_ms, expiries=tuple(expiries)))
    statuses = [r.status for r in fit.report.slices]
    assert statuses == [ExpiryStatus.EXPIRED, *[ExpiryStatus.OK] * 3, ExpiryStatus.TOO_FEW_QUOTES]
    for report, quotes in zip(fit.report.slices, expiries, strict=True):
        assert report.quotes_used + sum(report.quotes_dropped.values()) == len(quotes)
        assert (report.reason is None) == (report.status is ExpiryStatus.OK)


def test_a_chain_without_a_smile_says_why() -> None:
    chain = known_chain()
    with pytest.raises(NoSmile, match="none of 4 expiries") as refusal:
        calibrate_surface(replace(chain, as_of_ms=chain.expiries[-1].expiry_ms))
    assert {e.status for e in refusal.value.excluded} == {ExpiryStatus.EXPIRED}


def test_unknown_model() -> None:
    with pytest.raises(UnknownModel, match="sticky"):
        calibrate_surface(known_chain(), model="sticky")


def refuse(*models: str) -> "CertifierDouble":
    return CertifierDouble(models)


class CertifierDouble:
    """The real certifier, made to refuse the first candidates."""

    def __init__(self, refusals: Sequence[str]) -> None:
        self._left = len(refusals)
        self._certify = calibration.certify

    def __call__(self, slices: Sequence[SliceState]) -> Certificate:
        certificate = self._certify(slices)
        if self._left:
            self._left -= 1
            return replace(certificate, arbitrage_free=False, failures=("not proven",))
        return certificate


def test_an_uncertified_fit_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "certify", refuse(DEFAULT_MODEL))
    fit = calibrate_surface(known_chain())
    assert fit.status is SurfaceStatus.DEGRADED
    assert fit.surface.model == "svi"
    assert fit.reason == f"fell back to svi: {DEFAULT_MODEL}: not proven"


def test_nothing_certified_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "certify", refuse(DEFAULT_MODEL, "svi", "essvi"))
    fit = calibrate_surface(known_chain())
    assert fit.status is SurfaceStatus.REJECTED
    assert "essvi: not proven" in (fit.reason or "")


def shifted(chain: OptionChain, vol_points: float) -> OptionChain:
    """The chain with every premium moved by about ``vol_points`` of vol, through a cheap vega of 0.4 sqrt(t)."""
    moved = []
    for e in chain.expiries:
        t = (e.expiry_ms - chain.as_of_ms) / (365 * MS_PER_DAY)
        bump = (
            0.4 * np.sqrt(t) * vol_points / 100.0 * np.exp(-0.5 * (np.log(e.strike / 100.0) / (0.6 * np.sqrt(t))) ** 2)
        )
        moved.append(replace(e, bid=e.bid + bump * (e.bid > 0.0), ask=e.ask + bump))
    return replace(chain, expiries=tuple(moved))


def test_a_real_move_passes_through_in_one_update() -> None:
    before = calibrate_surface(known_chain())
    after = calibrate_surface(shifted(known_chain(), 5.0), previous=before.surface)
    moved = [float(a - b) for a, b in zip(after.nodes[:3, 2], before.nodes[:3, 2], strict=True)]
    assert all(m > 0.9 * 0.04 for m in moved), moved
