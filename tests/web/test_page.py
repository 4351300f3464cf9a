"""The page in a real browser, on the real service: what a person sees, not what the code says."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running_service import READY_LIMIT_S, RunningService
from tests.web.browser import Browser

ARROW_RIGHT, ARROW_LEFT, END, HOME = "\ue014", "\ue012", "\ue010", "\ue011"
VIEWS = {
    "smiles": ["smile-chart"],
    "term": ["term-vol", "term-skew", "term-forward", "term-rates"],
    "surface": ["surface-chart"],
    "drift": ["drift-atm", "drift-moved", "drift-error", "drift-inside"],
    "certificate": ["margin-chart"],
    "health": [],
}
DRAWN = "document.getElementById(arguments[0])?.data?.every(trace => trace.y.some(value => value != null))"
PUBLISHED = """
const fetched = window.fetch, quotes = %s;
window.fetch = async (url, options) => {
  if (url === "/openapi.json") return Response.json({paths: {"/v1/surfaces/{underlying}/quotes": {}}});
  if (url.endsWith("/quotes")) return Response.json({slices: [quotes]});
  const answer = await fetched(url, options);
  if (!url.endsWith("/evaluate")) return answer;
  const columns = await answer.json();
  return Response.json({...columns, vol_low: columns.vol.map(v => v - 0.01), vol_high: columns.vol.map(v => v + 0.01)});
};
"""
"""A service that publishes bands of one point and the quotes given."""

LOCKED = """
const Open = WebSocket, fetched = window.fetch;
window.fetch = (url, options) => {
  if (options.headers["X-API-Key"] === "right") return fetched(url, options);
  return Promise.resolve(Response.json({detail: "a key is needed"}, {status: 401}));
};
window.WebSocket = class extends EventTarget {
  static OPEN = 1;
  readyState = 1;
  constructor(url) {
    super();
    this.url = url;
    setTimeout(() => this.dispatchEvent(new Event("open")));
  }
  send(text) {
    if (this.open) return this.open.then(socket => socket.send(text));
    const {op, key} = JSON.parse(text);
    if (op !== "auth" || key !== "right") return this.refuse(`${op} is not the right key`);
    const socket = new Open(this.url);
    this.open = new Promise(done => socket.addEventListener("open", () => done(socket)));
    socket.addEventListener("message", ({data}) => this.dispatchEvent(new MessageEvent("message", {data})));
  }
  refuse(reason) {
    this.readyState = 3;
    this.dispatchEvent(new CloseEvent("close", {code: 4001, reason}));
  }
  close() {}
};
"""
"""A service that knows one key, as callers from other machines meet it."""

FIGURE = "document.querySelector(`[data-figure=${arguments[0]}] .value`)?.innerText.includes(arguments[1])"


def post(http: httpx.Client, chain: bytes, underlying: str = "BTC") -> dict[str, Any]:
    """Post ``chain`` and return the newest surface as soon as it covers it."""
    body = chain.replace(b'"BTC-', f'"{underlying}-'.encode())
    answer = http.post("/v1/chains/deribit", content=body, params={"wait_ms": 20_000})
    assert answer.status_code == 200, answer.text
    return http.get(f"/v1/surfaces/{underlying}").json()


@pytest.fixture(scope="module")
def surface(http: httpx.Client, recorded: list[bytes]) -> dict[str, Any]:
    """The surface of BTC after two chains."""
    post(http, recorded[0])
    return post(http, recorded[1])


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


def test_shows_the_numbers_of_the_surface(window, service, surface):
    look(window, service)
    for name, text in figures_of(surface).items():
        window.wait(FIGURE, name, text)
    rows = window.wait("document.querySelectorAll('#expiries tbody tr').length")
    assert rows == len(surface["slices"])
    assert window.console_errors() == []


def test_draws_the_smile_the_service_evaluates(window, service, http, surface):
    look(window, service)
    window.click(f"[data-expiry='{surface['slices'][4]['expiry']}']")
    window.wait("document.querySelector('#smile-card h2').innerText.includes('26 May 2023')")
    window.wait(DRAWN, "smile-chart")
    line = window.run(
        "const {x, y} = document.getElementById('smile-chart').data.find(({name}) => name === 'model'); return {x, y}"
    )
    columns = {"expiry": [surface["slices"][4]["expiry"]] * len(line["x"]), "strike": line["x"]}
    vols = http.post("/v1/surfaces/BTC/evaluate", content=json.dumps(columns)).json()["vol"]
    assert line["y"] == pytest.approx([100 * vol for vol in vols], rel=1e-9)
    worst = surface["slices"][4]["fit"]["worst"]
    assert min(line["x"]) < worst["strike"] < max(line["x"])


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_without_an_error(window, service, surface, view):
    look(window, service, view)
    for chart in VIEWS[view]:
        drawn = "document.getElementById(arguments[0])?.data?.[0]?.z?.length > 5" if view == "surface" else DRAWN
        window.wait(drawn, chart)
    assert window.text(f"#view-{view}").strip()
    assert window.console_errors() == []


def test_says_where_the_certificate_is_closest_and_why_quotes_were_dropped(window, service, surface):
    look(window, service, "certificate")
    window.wait("document.querySelector('#certificate')?.innerText.includes('Free of static arbitrage, proven')")
    assert window.text("#margins").count("kept") == 3
    for reason, count in surface["fit"]["quotes_dropped"].items():
        assert reason.replace("_", " ") in window.text("#dropped")
        assert str(count) in window.text("#dropped tbody tr:last-child")


def test_health_accounts_for_every_chain(window, service, surface):
    look(window, service, "health")
    window.wait("document.querySelector('#health-account')?.innerText.includes('BTC')")
    assert "balances" in window.text("#health-account")
    assert "1 warm of 1" in window.text("#health-machine")


def test_an_update_arrives_by_itself(window, service, http, recorded, surface):
    before = post(http, recorded[0], "LIVE")
    look(window, service, underlying="LIVE")
    window.wait(FIGURE, "forward", figures_of(before)["forward"])
    window.wait(DRAWN, "smile-chart")
    after = post(http, recorded[3], "LIVE")
    assert figures_of(after)["forward"] != figures_of(before)["forward"]
    for name, text in figures_of(after).items():
        window.wait(FIGURE, name, text, limit_s=5.0)
    window.wait("document.getElementById('smile-chart').data.some(({name}) => name === 'fit before')")
    assert window.console_errors() == []


def test_evaluates_one_point_and_says_why_another_has_no_answer(window, service, surface):
    look(window, service)
    window.wait("document.querySelector('#point-answer')?.innerText.includes('−0.2500')")
    window.run("document.querySelector('#point-place').value = '200P'")
    window.click(".point button")
    window.wait("document.querySelector('#point-answer').innerText.includes('delta must lie in')")


def test_a_failing_query_is_said_and_the_numbers_stay(window, service, surface):
    window.emulate("Network.enable")
    window.emulate("Network.setBlockedURLs", urls=["*/evaluate"])
    try:
        look(window, service)
        window.wait("document.querySelector('#smile-chart')?.innerText.includes('the service cannot be reached')")
        window.wait(FIGURE, "forward", figures_of(surface)["forward"])
    finally:
        window.emulate("Network.setBlockedURLs", urls=[])


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_never_scrolls_sideways(window, service, surface, view):
    window.resize(390, 844, phone=True)
    look(window, service, view)
    for chart in VIEWS[view]:
        window.wait("document.getElementById(arguments[0])?.data", chart)
    assert window.run("return document.documentElement.scrollWidth") == 390
    assert window.text("[data-figure=forward]")


def test_bands_and_quote_marks_are_drawn_where_the_service_publishes_them(window, service, http, surface):
    slice_ = surface["slices"][4]
    quotes = {"expiry": slice_["expiry"], "strike": [25_000, 30_000], "used": [True, False]}
    quotes |= {"bid_vol": [0.60, None], "ask_vol": [0.62, 0.58], "mid_vol": [0.61, None]}
    identifier = window.emulate("Page.addScriptToEvaluateOnNewDocument", source=PUBLISHED % json.dumps(quotes))
    try:
        look(window, service)
        window.click(f"[data-expiry='{slice_['expiry']}']")
        window.wait("document.getElementById('smile-chart')?.data?.some(({name}) => name === 'bid')")
        traces = window.run(
            "return document.getElementById('smile-chart').data.map(({name, x, y, marker}) => [name, [x, y, marker]])"
        )
        drawn = dict(traces)
        assert drawn["bid"][:2] == [[25_000, 30_000], [60, None]]
        assert drawn["ask"][1] == pytest.approx([62, 58])
        assert drawn["ask"][2]["symbol"] == ["triangle-down", "triangle-down-open"]
        edge, model = drawn["error band"][1], drawn["model"][1]
        assert edge[: len(model)] == pytest.approx([vol + 1.0 for vol in model])
        assert edge[len(model) :] == pytest.approx([vol - 1.0 for vol in reversed(model)])
        assert "error bars" not in window.text("#smile-note")
    finally:
        window.emulate("Page.removeScriptToEvaluateOnNewDocument", **identifier)


def test_without_quotes_the_page_says_so(window, service, surface):
    look(window, service)
    window.wait("document.querySelector('#smile-note')?.innerText.includes('does not publish its quotes')")
    window.wait(DRAWN, "smile-chart")
    assert not window.run("return document.getElementById('smile-chart').data.some(({name}) => name === 'bid')")


def test_of_many_underlyings_the_one_looked_at_is_followed(window, service, http, recorded, surface):
    names = [f"MANY{number}" for number in range(9)]
    for name in names:
        before = post(http, recorded[0], name)
    look(window, service, underlying=names[0])
    window.wait("document.querySelectorAll('#underlyings button').length > 8")
    window.click(f"[data-underlying={names[-1]}]")
    window.wait(FIGURE, "forward", figures_of(before)["forward"])
    after = post(http, recorded[3], names[-1])
    window.wait(FIGURE, "forward", figures_of(after)["forward"])
    assert window.console_errors() == []


def test_a_caller_from_elsewhere_is_asked_for_a_key(window, service, surface):
    identifier = window.emulate("Page.addScriptToEvaluateOnNewDocument", source=LOCKED)
    enter = "document.getElementById('key').value = arguments[0]; document.querySelector('#key-form button').click()"
    try:
        window.open(f"{service.base_url}/#underlying=BTC")
        window.wait("document.querySelector('#key-form').checkVisibility()")
        assert "subscribe is not the right key" in window.text("#banner")
        assert "a key is needed" in window.text("#loading")
        window.run(enter, "wrong")
        window.wait("document.querySelector('#banner').innerText.includes('auth is not the right key')")
        window.run(enter, "right")
        window.wait(FIGURE, "forward", figures_of(surface)["forward"])
        assert not window.text("#banner")
    finally:
        window.emulate("Page.removeScriptToEvaluateOnNewDocument", **identifier)
        window.run("sessionStorage.clear()")


def test_tabs_follow_the_keyboard(window, service, surface):
    look(window, service)
    selected = "document.querySelector('[role=tab][aria-selected=true]').innerText === arguments[0]"
    window.run("document.getElementById('tab-smiles').focus()")
    for key, name in ((ARROW_RIGHT, "Term structure"), (ARROW_LEFT, "Smiles"), (END, "Health"), (HOME, "Smiles")):
        window.press(key)
        window.wait(selected, name)
        assert window.run("return document.activeElement.innerText") == name
    assert window.run("return document.querySelectorAll('[role=tab][tabindex=\"0\"]').length") == 1


def test_the_theme_follows_the_system_until_it_is_chosen(window, service, surface):
    ground = "getComputedStyle(document.body).backgroundColor === arguments[0]"
    light, dark = "rgb(243, 245, 248)", "rgb(11, 15, 21)"
    look(window, service)
    window.wait(ground, light)
    window.prefer("dark")
    window.wait(ground, dark)
    window.click("#theme")
    window.wait(ground, light)
    look(window, service)
    window.wait(ground, light)
    window.run("localStorage.clear()")


def test_a_restart_of_the_api_is_said_and_survived(window, service, http, recorded):
    before = post(http, recorded[0], "AGAIN")
    look(window, service, underlying="AGAIN")
    window.wait(FIGURE, "forward", figures_of(before)["forward"])
    os.kill(next(pid for pid, line in service.processes().items() if "-m app api" in line), signal.SIGKILL)
    window.wait("document.querySelector('#banner').checkVisibility()")
    assert "Disconnected since" in window.text("#banner")
    assert "What you see is the last surface received" in window.text("#banner")
    assert figures_of(before)["forward"] in window.text("[data-figure=forward]")
    window.wait("document.querySelector('#connection').dataset.phase === 'live'")
    assert not window.text("#banner")
    after = post(http, recorded[3], "AGAIN")
    for name, text in figures_of(after).items():
        window.wait(FIGURE, name, text)


def test_an_empty_service_explains_itself_and_its_end_is_said(window, tmp_path: Path):
    service = RunningService(tmp_path / "data", SMILEKEEPER_WORKERS="1")
    try:
        wait_until_live(service)
        look(window, service)
        window.wait("document.querySelector('#empty').checkVisibility()")
        assert "No surface yet" in window.text("#empty")
        assert f"{service.base_url}/v1/chains/deribit" in window.text("#post-deribit")
        assert window.console_errors() == []
    finally:
        service.stop(signal.SIGTERM)
    window.wait("document.querySelector('#banner').checkVisibility()")
    assert "Disconnected since" in window.text("#banner")


def wait_until_live(service: RunningService) -> None:
    """Wait for the API alone: nothing is fitted here, so no worker has to be warm."""
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{service.base_url}/livez", timeout=2.0).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"not live:\n{service.log.read_text()}")
