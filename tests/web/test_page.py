"""The page in a real browser, on the real service: what a person sees, not what the code says."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running_service import JSON, READY_LIMIT_S, RunningService
from tests.web.browser import Browser
from tests.web.looking import DRAWN, FIGURE, VIEWS, figures_of, look, post

ARROW_RIGHT, ARROW_LEFT, END, HOME = "\ue014", "\ue012", "\ue010", "\ue011"
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


def estimate(value: float | None, error: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ± {error:.2f}".replace("-", "−")


def test_how_underlyings_move_together(window, service, http, recorded, surface):
    for chain in recorded[:15]:
        for name in ("AAA", "AAB"):
            post(http, chain, name)
    look(window, service, "drift", "AAA")
    window.wait("document.querySelector('#drift-together')?.innerText.includes('AAB')")
    names = window.run("return [...document.querySelectorAll('#drift-follows tbody th')].map(each => each.innerText)")
    told = http.get("/v1/correlations", params={"underlyings": ",".join(names)}).json()
    assert told["underlyings"][:2] == ["AAA", "AAB"]
    i, j = (told["factors"].index(f"{name}.forward") for name in names[:2])
    assert told["correlation"][i][j] > 0.5
    row = window.run("return document.querySelector('#drift-together tbody tr').innerText")
    assert estimate(told["correlation"][i][j], told["standard_error"][i][j]) in row
    follows = told["spot_vol"]["AAA"]
    row = window.run("return document.querySelector('#drift-follows tbody tr').innerText")
    for figure in ("correlation", "beta", "ratio"):
        assert estimate(follows[figure], follows[f"{figure}_sd"]) in row
    assert window.console_errors() == []


def test_too_few_surfaces_to_say_how_they_move_are_said_so(window, tmp_path: Path, recorded: list[bytes]):
    service = RunningService(tmp_path / "data", SMILEKEEPER_WORKERS="1")
    try:
        service.wait_until_ready()
        with httpx.Client(base_url=service.base_url, headers=JSON, timeout=30.0) as http:
            post(http, recorded[0])
            look(window, service, "drift")
            window.wait("document.querySelector('#drift-together')?.innerText.includes('One underlying so far')")
            post(http, recorded[0], "ETH")
        look(window, service, "drift")
        window.wait("document.querySelector('#drift-together')?.innerText.includes('Not enough data yet: 0 changes')")
        assert "no change of forward and level is known" in window.text("#drift-follows")
        assert window.console_errors() == []
    finally:
        service.stop(signal.SIGTERM)


def test_health_accounts_for_every_chain(window, service, surface):
    look(window, service, "health")
    window.wait("document.querySelector('#health-account')?.innerText.includes('BTC')")
    assert "balances" in window.text("#health-account")
    assert "1 warm of 1" in window.text("#health-machine")


def test_health_tells_what_happened(window, service, http, surface):
    nothing = {"underlying": "VOID", "source": "test", "as_of": "2023-04-12T11:12:00Z", "premium": "coin"}
    quote = {"expiry": "2023-04-28T08:00:00Z", "strike": 30_000, "type": "C", "bid": 0.03, "ask": 0.031}
    assert http.post("/v1/chains/native", json={**nothing, "quotes": [quote]}).status_code == 202
    look(window, service, "health")
    window.wait("document.querySelector('#health-events')?.innerText.includes('VOID')")
    newest = http.get("/v1/events", params={"limit": 1}).json()["events"][0]
    assert (newest["underlying"], newest["kind"]) == ("VOID", "failed")
    row = window.text("#health-events tbody tr")
    assert newest["message"] in row
    assert "✕" in row
    assert f"{newest['at'][11:19]} UTC" in row
    assert window.run("return document.querySelectorAll('#health-events tbody tr').length") <= 10


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


def drawn_traces(window: Browser) -> dict[str, dict[str, Any]]:
    """Return the traces of the smile by name."""
    script = "return document.getElementById('smile-chart').data.map(({name, x, y, marker}) => ({name, x, y, marker}))"
    return {trace["name"]: trace for trace in window.run(script)}


def test_the_quotes_a_smile_was_fitted_to_are_drawn(window, service, http, surface):
    (quotes,) = [
        each for each in http.get("/v1/surfaces/BTC/quotes").json()["slices"] if each["expiry"][:7] == "2023-05"
    ]
    look(window, service)
    window.click(f"[data-expiry='{quotes['expiry']}']")
    window.wait("document.querySelector('#smile-card h2').innerText.includes('26 May 2023')")
    window.wait("document.getElementById('smile-chart')?.data?.some(({name}) => name === 'not fitted to')")
    drawn = drawn_traces(window)
    used = [i for i, each in enumerate(quotes["used"]) if each]
    assert 0 < len(used) < len(quotes["used"])
    for name, column in (("bid", "bid_vol"), ("ask", "ask_vol")):
        assert drawn[name]["x"] == [quotes["strike"][i] for i in used]
        assert drawn[name]["y"] == pytest.approx([100 * quotes[column][i] for i in used])
    others = [i for i, each in enumerate(quotes["used"]) if not each]
    sides = [(i, column) for column in ("bid_vol", "ask_vol") for i in others if quotes[column][i] is not None]
    assert drawn["not fitted to"]["x"] == [quotes["strike"][i] for i, _ in sides]
    assert all(symbol.endswith("-open") for symbol in drawn["not fitted to"]["marker"]["symbol"])
    residuals = drawn["mid − model, bar: bid to ask"]
    error = [100 * (quotes["mid_vol"][i] - quotes["model_vol"][i]) for i in used]
    assert [residuals["y"][i] for i in used] == pytest.approx(error)
    assert [residuals["y"][i] for i in others if quotes["mid_vol"][i] is None] == [None] * len(others)
    low, high = min(drawn["model"]["x"]), max(drawn["model"]["x"])
    beyond = sum(not low <= quotes["strike"][i] <= high for i in others)
    assert (f"{beyond} of them lie farther out" in window.text("#smile-note")) is (beyond > 0)
    assert window.console_errors() == []


def test_the_pressed_button_says_what_is_shown(window, service, surface):
    pressed = "document.querySelector('[aria-label=Shown] [aria-pressed=true]').innerText === arguments[0]"
    look(window, service)
    window.wait(DRAWN, "smile-chart")
    window.click("[data-value=all]")
    window.wait(pressed, "All")
    window.wait("document.querySelector('#smile-card h2').innerText === 'Smiles, every expiry'")
    window.click(f"[data-expiry='{surface['slices'][4]['expiry']}']")
    window.wait(pressed, "One expiry")


def test_without_quotes_the_page_says_so(window, service, surface):
    window.emulate("Network.enable")
    window.emulate("Network.setBlockedURLs", urls=["*/quotes*"])
    try:
        look(window, service)
        window.wait("document.querySelector('#smile-note')?.innerText.includes('Bid and ask marks are missing')")
        window.wait(DRAWN, "smile-chart")
        assert not {"bid", "ask", "not fitted to"} & drawn_traces(window).keys()
    finally:
        window.emulate("Network.setBlockedURLs", urls=[])


def test_the_fit_before_is_there_from_the_start(window, service, http, surface):
    path, version = "/v1/surfaces/BTC/quotes", surface["prev_version"]
    before = http.get(path, params={"version": version}).json()["slices"][4]
    look(window, service)
    window.click(f"[data-expiry='{before['expiry']}']")
    window.wait("document.querySelector('#smile-card h2').innerText.includes('26 May 2023')")
    window.wait("document.getElementById('smile-chart')?.data?.some(({name}) => name === 'fit before')")
    line = drawn_traces(window)["fit before"]
    assert line["x"] == before["strike"]
    assert line["y"] == pytest.approx([100 * vol for vol in before["model_vol"]])


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


def test_a_restart_of_everything_is_survived(window, tmp_path: Path, recorded: list[bytes]):
    """API, workers and store are killed at once and started again on what the store had written."""
    settings = {"SMILEKEEPER_WORKERS": "1", "SMILEKEEPER_APPENDFSYNC": "always"}
    first = RunningService(tmp_path / "data", **settings)
    again = None
    try:
        first.wait_until_ready()
        with httpx.Client(base_url=first.base_url, headers=JSON, timeout=120.0) as http:
            before = [post(http, chain) for chain in recorded[:2]][-1]
            look(window, first)
            window.wait(FIGURE, "forward", figures_of(before)["forward"])
            window.wait(DRAWN, "smile-chart")
            first.supervisor.kill()
            first.supervisor.wait()
            window.wait("document.querySelector('#banner').checkVisibility()")
            again = RunningService(tmp_path / "data", **settings, SMILEKEEPER_PORT=str(first.port))
            window.wait("document.querySelector('#connection').dataset.phase === 'live'", limit_s=READY_LIMIT_S)
            assert figures_of(before)["forward"] in window.text("[data-figure=forward]")
            after = post(http, recorded[3])
            assert after["prev_version"] == before["version"]
        for name, text in figures_of(after).items():
            window.wait(FIGURE, name, text)
        window.wait("document.getElementById('smile-chart').data.some(({name}) => name === 'fit before')")
        window.wait("document.getElementById('smile-chart').data.some(({name}) => name === 'bid')")
    finally:
        for service in filter(None, (first, again)):
            service.supervisor.kill()
            service.supervisor.wait()


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
            if httpx.get(f"{service.base_url}/livez", timeout=10.0).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"not live:\n{service.log.read_text()}")
