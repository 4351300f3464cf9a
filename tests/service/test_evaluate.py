"""Queries answered from a published document: each way to name a point, each refusal, and the numbers themselves."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from app.quant.black import black_price
from app.quant.calibration import calibrate_surface
from app.quant.errors import InvalidQuery
from app.quant.nodes import node_vols
from app.quant.surface import VolSurface
from app.quant.vol_band import VolBand
from app.quant.warm_up import known_chain
from app.service.document import decode_document, encode_document
from app.service.evaluate import evaluate, nodes_of, surface_of
from app.service.points import MAX_POINTS, Points
from app.service.publish import document_of


@pytest.fixture(scope="module")
def surface() -> VolSurface:
    chain = known_chain()
    return surface_of(decode_document(encode_document(document_of(calibrate_surface(chain), chain))))


def points(n: int = 1, *, greeks: bool = False, **columns: Any) -> Points:
    empty: list[Any] = [None] * n
    named = {name: columns.get(name, empty) for name in ("expiry_ms", "tenor_days", "strike", "delta", "log_moneyness")}
    return Points(**named, is_call=columns.get("is_call", empty), greeks=greeks)


def test_the_document_gives_back_the_surface(surface: VolSurface) -> None:
    fitted = calibrate_surface(known_chain()).surface
    assert [s.curve for s in surface.slices] == [s.curve for s in fitted.slices]
    assert [s.forward for s in surface.slices] == [s.forward for s in fitted.slices]


def test_the_document_gives_back_the_nodes() -> None:
    fit = calibrate_surface(known_chain())
    document = decode_document(encode_document(document_of(fit, known_chain())))
    np.testing.assert_array_equal(nodes_of(document), fit.nodes)
    np.testing.assert_array_equal(nodes_of(document), node_vols(surface_of(document)))
    elsewhere = msgspec.structs.replace(
        document, vol_grid=msgspec.structs.replace(document.vol_grid, tenor_days=[1.0, 2.0, 3.0, 4.0])
    )
    with pytest.raises(InvalidQuery, match="other nodes"):
        nodes_of(elsewhere)


def test_on_an_expiry_the_slice_itself_answers(surface: VolSurface) -> None:
    s = surface.slices[1]
    answer = evaluate(surface, points(2, expiry_ms=[s.expiry_ms] * 2, strike=[90.0, 110.0], is_call=[False, True]))
    k = np.log(np.array([90.0, 110.0]) / s.forward)
    np.testing.assert_allclose(answer["vol"], np.sqrt(s.curve.total_variance(k) / s.t), rtol=1e-12)
    price = black_price(s.forward, np.array([90.0, 110.0]), np.array(answer["vol"]), s.t, np.array([False, True]))
    np.testing.assert_allclose(answer["price_quote"], price * s.discount_factor, rtol=1e-12)
    np.testing.assert_allclose(answer["price_coin"], np.array(answer["price_quote"]) / s.forward, rtol=1e-14)
    assert answer["status"].tolist() == ["ok", "ok"]


def test_ways_to_name_a_strike_agree(surface: VolSurface) -> None:
    s = surface.slices[2]
    by_delta = evaluate(surface, points(3, expiry_ms=[s.expiry_ms] * 3, delta=["25P", 0.25, "ATM"], greeks=True))
    assert by_delta["delta"][:2] == pytest.approx([-0.25, 0.25], abs=1e-10)
    assert by_delta["strike"][2] == pytest.approx(s.forward)
    strikes = by_delta["strike"].tolist()
    by_strike = evaluate(surface, points(3, expiry_ms=[s.expiry_ms] * 3, strike=strikes))
    by_k = evaluate(
        surface, points(3, expiry_ms=[s.expiry_ms] * 3, log_moneyness=[math.log(k / s.forward) for k in strikes])
    )
    assert by_strike["vol"] == pytest.approx(by_delta["vol"], rel=1e-12)
    assert by_k["vol"] == pytest.approx(by_delta["vol"], rel=1e-12)


def test_bars_come_with_the_document_and_only_where_they_are_known(surface: VolSurface) -> None:
    answer = evaluate(surface, points(3, tenor_days=[0.5, 20.0, 200.0], delta=["ATM"] * 3))
    assert np.isnan(answer["vol_low"][0])
    assert np.isnan(answer["vol_high"][2])
    half_width = surface.half_width(np.zeros(1), 20.0 / 365.0)[0]
    assert answer["vol_low"][1] == pytest.approx(answer["vol"][1] - half_width, rel=1e-12)
    assert answer["vol_high"][1] == pytest.approx(answer["vol"][1] + half_width, rel=1e-12)


def test_no_band_reaches_below_zero(surface: VolSurface) -> None:
    wide = VolBand((-1.0, 1.0), (1.0, 1.0), (2.0, 2.0))
    vague = replace(surface, slices=tuple(replace(s, band=wide) for s in surface.slices))
    answer = evaluate(vague, points(1, tenor_days=[20.0], log_moneyness=[0.0]))
    assert answer["vol_low"].tolist() == [0.0]
    assert answer["vol_high"][0] == pytest.approx(answer["vol"][0] + 2.0)


def test_tenors_between_and_beyond(surface: VolSurface) -> None:
    answer = evaluate(surface, points(4, tenor_days=[0.5, 20.0, 90.0, 200.0], delta=["ATM"] * 4))
    assert answer["status"].tolist() == ["extrapolated", "ok", "ok", "extrapolated"]
    variances = [v * v * t for v, t in zip(answer["vol"], answer["t"], strict=True)]
    assert variances == sorted(variances)


def test_an_expired_point_is_a_status(surface: VolSurface) -> None:
    answer = evaluate(
        surface, points(2, expiry_ms=[surface.as_of_ms, None], tenor_days=[None, 30.0], delta=["ATM"] * 2)
    )
    assert answer["status"].tolist() == ["expired", "ok"]
    assert np.isnan(answer["vol"][0])
    assert np.isnan(answer["price_coin"][0])


def test_the_out_of_the_money_side_by_default(surface: VolSurface) -> None:
    answer = evaluate(surface, points(2, tenor_days=[30.0] * 2, log_moneyness=[-0.2, 0.2], greeks=True))
    assert answer["delta"][0] < 0.0 < answer["delta"][1]


@pytest.mark.parametrize(
    ("columns", "pointer"),
    [
        ({"strike": [1.0]}, "/expiry/0"),
        ({"expiry_ms": [1], "tenor_days": [1.0], "strike": [1.0]}, "/expiry/0"),
        ({"tenor_days": [30.0]}, "/strike/0"),
        ({"tenor_days": [30.0], "strike": [1.0], "delta": ["25P"]}, "/strike/0"),
        ({"tenor_days": [-1.0], "strike": [1.0]}, "/tenor_days/0"),
        ({"tenor_days": [30.0], "strike": [-5.0]}, "/strike/0"),
        ({"tenor_days": [30.0], "delta": ["25X"]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": ["P"]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": ["\N{SUPERSCRIPT TWO}P"]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": ["0P"]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": [0.0]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": [1.5]}, "/delta/0"),
        ({"tenor_days": [30.0], "delta": ["25P"], "is_call": [True]}, "/type/0"),
        ({"tenor_days": [30.0], "log_moneyness": [50.0]}, "/log_moneyness/0"),
    ],
)
def test_refusals_point_at_the_place(surface: VolSurface, columns: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        evaluate(surface, points(**columns))
    assert refusal.value.pointer == pointer


def test_points_of_every_kind_at_once_answer_as_each_alone(surface: VolSurface) -> None:
    columns: dict[str, list[Any]] = {
        "expiry_ms": [
            surface.slices[0].expiry_ms,
            None,
            None,
            surface.as_of_ms,
            None,
            surface.slices[2].expiry_ms,
            None,
        ],
        "tenor_days": [None, 0.5, 20.0, None, 200.0, None, 33.0],
        "strike": [95.0, None, None, 90.0, None, None, None],
        "delta": [None, "25P", "ATM", None, None, 0.4, "25P"],
        "log_moneyness": [None, None, None, None, 0.1, None, None],
        "is_call": [True, None, None, False, None, None, None],
    }
    together = evaluate(surface, points(7, greeks=True, **columns))
    assert together["status"].tolist() == ["ok", "extrapolated", "ok", "expired", "extrapolated", "ok", "ok"]
    for i in range(7):
        alone = evaluate(surface, points(1, greeks=True, **{name: [values[i]] for name, values in columns.items()}))
        assert together["status"][i] == alone.pop("status")[0]
        for name, (value,) in alone.items():
            assert together[name][i] == pytest.approx(value, rel=1e-12, nan_ok=True), name


@pytest.mark.parametrize("model", ["svi", "essvi", "sabr"])
def test_every_model_answers_by_delta_and_far_out(model: str) -> None:
    surface = calibrate_surface(known_chain(), model=model).surface
    deltas = [-0.999, -0.5, -0.1, -1e-9, 1e-9, 0.1, 0.5, 0.999]
    tenors = [0.5, 2.0, 20.0, 90.0, 200.0]
    columns = {"tenor_days": tenors * len(deltas), "delta": [delta for delta in deltas for _ in tenors]}
    answer = evaluate(surface, points(len(columns["delta"]), greeks=True, **columns))
    none = answer["status"] == "no_such_delta"
    assert none.mean() < 0.2
    np.testing.assert_allclose(answer["delta"][~none], np.array(columns["delta"])[~none], rtol=1e-9)
    for name, values in answer.items():
        if name not in ("status", "vol_low", "vol_high"):
            assert np.isfinite(values[~none]).all(), name


def test_too_many_points(surface: VolSurface) -> None:
    n = MAX_POINTS + 1
    with pytest.raises(InvalidQuery, match="at most"):
        evaluate(surface, points(n, tenor_days=[30.0] * n, strike=[100.0] * n))
