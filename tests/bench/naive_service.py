"""The yardstick: the service most people would write first. FastAPI, pydantic, brentq, least squares by expiry.

It answers with the fit, and sends it to every WebSocket client. Nothing is queued, certified, stored or warm-started.
"""

import asyncio
import math
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from scipy.optimize import brentq, least_squares
from scipy.stats import norm


class Future(BaseModel):
    instrument_name: str
    bid_price: float | None = None
    ask_price: float | None = None


class Option(BaseModel):
    instrument_name: str
    bid_price: float | None = None
    ask_price: float | None = None


class Chain(BaseModel):
    as_of: datetime
    futures: list[Future]
    options: list[Option]


application = FastAPI()
listeners: set[WebSocket] = set()


def expiry_of(instrument: str) -> datetime:
    return datetime.strptime(instrument.split("-")[1], "%d%b%y").replace(hour=8, tzinfo=UTC)


def black(forward: float, strike: float, vol: float, t: float, is_call: bool) -> float:
    d1 = math.log(forward / strike) / (vol * math.sqrt(t)) + 0.5 * vol * math.sqrt(t)
    d2 = d1 - vol * math.sqrt(t)
    sign = 1.0 if is_call else -1.0
    return sign * (forward * norm.cdf(sign * d1) - strike * norm.cdf(sign * d2))


def implied_vol(price: float, forward: float, strike: float, t: float, is_call: bool) -> float | None:
    try:
        return brentq(lambda vol: black(forward, strike, vol, t, is_call) - price, 1e-4, 10.0)
    except ValueError:
        return None


def svi(parameters: np.ndarray, k: np.ndarray) -> np.ndarray:
    a, b, rho, m, sigma = parameters
    return a + b * (rho * (k - m) + np.sqrt((k - m) ** 2 + sigma**2))


def fit_expiry(t: float, forward: float, options: list[Option]) -> list[float] | None:
    k, w = [], []
    for option in options:
        *_, strike, kind = option.instrument_name.split("-")
        is_call = kind == "C"
        if not option.bid_price or not option.ask_price or is_call != (float(strike) > forward):
            continue
        mid = 0.5 * (option.bid_price + option.ask_price) * forward
        vol = implied_vol(mid, forward, float(strike), t, is_call)
        if vol:
            k.append(math.log(float(strike) / forward))
            w.append(vol * vol * t)
    if len(k) < 6:
        return None
    points, variance = np.array(k), np.array(w)
    start = [0.5 * variance.min(), 0.1, -0.3, 0.0, 0.1]
    bounds = ([-1.0, 1e-6, -0.999, -2.0, 1e-4], [2.0, 5.0, 0.999, 2.0, 2.0])
    return list(least_squares(lambda p: svi(p, points) - variance, start, bounds=bounds).x)


@application.post("/chains")
async def chains(chain: Chain) -> dict[str, Any]:
    now = chain.as_of.replace(tzinfo=UTC) if chain.as_of.tzinfo is None else chain.as_of
    forwards = {
        expiry_of(future.instrument_name): 0.5 * (future.bid_price + future.ask_price)
        for future in chain.futures
        if future.bid_price and future.ask_price and not future.instrument_name.endswith("PERPETUAL")
    }
    slices = {}
    for expiry in sorted({expiry_of(option.instrument_name) for option in chain.options}):
        t = (expiry - now).total_seconds() / (365 * 86400)
        nearest = forwards.get(expiry) or min(forwards.items(), key=lambda item: abs(item[0] - expiry))[1]
        members = [option for option in chain.options if expiry_of(option.instrument_name) == expiry]
        if t > 0 and (fitted := fit_expiry(t, nearest, members)):
            slices[expiry.isoformat()] = fitted
    surface = {"as_of": now.isoformat(), "slices": slices}
    await asyncio.gather(*(listener.send_json(surface) for listener in listeners))
    return surface


@application.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    await socket.accept()
    listeners.add(socket)
    try:
        await socket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        listeners.discard(socket)


if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
