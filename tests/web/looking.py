"""What the tests of the page do and look for, whatever they are about."""

from typing import Any

import httpx

from tests.running_service import RunningService
from tests.web.browser import Browser

VIEWS = {
    "smiles": ["smile-chart"],
    "term": ["term-vol", "term-skew", "term-forward", "term-rates"],
    "surface": ["surface-chart"],
    "drift": ["drift-atm", "drift-moved", "drift-error", "drift-inside"],
    "certificate": ["margin-chart"],
    "health": [],
}
DRAWN = "document.getElementById(arguments[0])?.data?.every(trace => trace.y.some(value => value != null))"
FIGURE = "document.querySelector(`[data-figure=${arguments[0]}] .value`)?.innerText.includes(arguments[1])"


def post(http: httpx.Client, chain: bytes, underlying: str = "BTC") -> dict[str, Any]:
    """Post ``chain`` and return the newest surface as soon as it covers it."""
    body = chain.replace(b'"BTC-', f'"{underlying}-'.encode())
    answer = http.post("/v1/chains/deribit", content=body, params={"wait_ms": 20_000})
    assert answer.status_code == 200, answer.text
    return http.get(f"/v1/surfaces/{underlying}").json()


def look(window: Browser, service: RunningService, view: str = "smiles", underlying: str = "BTC") -> None:
    window.open("about:blank")
    window.open(f"{service.base_url}/#underlying={underlying}&view={view}")
    window.wait("document.querySelector('#connection').dataset.phase === 'live'")


def figures_of(surface: dict[str, Any]) -> dict[str, str]:
    """Return what the strip of figures must say about ``surface``."""
    grid = surface["vol_grid"]
    month = dict(zip(grid["delta"], grid["vol"][grid["tenor_days"].index(30.0)], strict=True))
    forward = next(each["forward"] for each in surface["slices"] if each["forward"] is not None)
    return {
        "forward": f"{forward:,.1f}",
        "atm": f"{100 * month['ATM']:.2f} %",
        "reversal": f"{100 * (month['25C'] - month['25P']):+.2f} pts".replace("-", "−"),
        "rmse": f"{100 * surface['fit']['rmse_vol']:.2f} pts",
        "inside": f"{100 * surface['fit']['inside_spread']:.1f} %",
        "arbitrage": "✓",
        "age": "stale",
    }
