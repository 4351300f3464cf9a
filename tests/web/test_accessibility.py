"""The page for people who use no mouse, need contrast, or want nothing to move."""

import pytest

from tests.web.looking import VIEWS, look

TAB = "\ue004"
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of any size."""

NAME = """
const nameOf = node =>
  [node.tagName, node.id, node.getAttribute("aria-label") ?? node.innerText?.slice(0, 30)].filter(Boolean).join(" ");
"""
CONTROLS = f"""{NAME}
const seen = node => node.checkVisibility({{visibilityProperty: true}}) && node.getClientRects().length > 0;
const all = document.querySelectorAll("a[href], button, input, select, [tabindex]");
return [...all].filter(node => node.tabIndex >= 0 && !node.disabled && seen(node)).map(nameOf);
"""
FOCUS = f"""{NAME}
const node = document.activeElement;
const {{outlineStyle, outlineWidth, boxShadow}} = getComputedStyle(node);
const marked = (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
const {{top, bottom}} = node.getBoundingClientRect();
return {{name: nameOf(node), marked, inView: bottom > 0 && top < innerHeight}};
"""
CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = text => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], under) => [...[r, g, b].map((c, i) => c * a + under[i] * (1 - a)), 1];
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(c => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = node => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
  return layers.reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
};
const worst = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  const text = walker.currentNode.data.trim();
  if (!text || !node.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
  if (node.closest(":disabled, script, style, noscript, .unseen, .skip")) continue;
  const style = getComputedStyle(node);
  const [under, ink] = [ground(node), rgba(node.closest("svg") ? style.fill : style.color)];
  const [a, b] = [luminance(over(ink, under)), luminance(under)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  worst.set(text.slice(0, 40), Math.min(ratio, worst.get(text.slice(0, 40)) ?? 21));
}
return Object.fromEntries(worst);
"""
MOVING = """
const moves = ({transitionDuration, animationName, animationDuration}) =>
  transitionDuration.split(", ").some(each => parseFloat(each) > 0) ||
  (animationName !== "none" && parseFloat(animationDuration) > 0);
const styles = [...document.querySelectorAll("body, body *")].map(node => getComputedStyle(node));
return document.getAnimations().length + styles.filter(moves).length;
"""


def drawn(window, view: str) -> None:
    """Wait for the charts of ``view``."""
    for chart in VIEWS[view]:
        window.wait("document.getElementById(arguments[0])?.data", chart)


@pytest.mark.parametrize("view", VIEWS)
def test_the_keyboard_reaches_every_control_and_shows_where_it_is(window, service, surface, view):
    look(window, service, view)
    drawn(window, view)
    window.run("document.body.focus()")
    controls = window.run(CONTROLS)
    assert len(controls) >= 5
    reached = {}
    for _ in range(len(controls) + 8):
        window.press(TAB)
        focus = window.run(FOCUS)
        reached[focus.pop("name")] = focus
    assert [each for each in controls if each not in reached] == []
    assert {each: reached[each] for each in controls if not all(reached[each].values())} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_text_stands_out_from_its_ground(window, service, surface, view, scheme):
    window.prefer(scheme)
    look(window, service, view)
    drawn(window, view)
    contrasts = window.run(CONTRASTS)
    assert len(contrasts) > 20
    assert {text: ratio for text, ratio in contrasts.items() if ratio < LEAST_CONTRAST} == {}


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_moves_for_those_who_want_it_so(window, service, surface, view):
    window.prefer("light", motion="reduce")
    look(window, service, view)
    drawn(window, view)
    assert window.run("return matchMedia('(prefers-reduced-motion: reduce)').matches")
    assert window.run(MOVING) == 0
