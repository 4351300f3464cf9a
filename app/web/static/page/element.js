/** Building elements. Text goes in as text, never as markup: names of underlyings come from whoever posts chains. */

/** Return a new element; `attributes` are set as such (false and null: left out), functions become listeners. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child != null));
  return node;
}

/** Put `text` into `node` if it is not there already, so that a redraw disturbs neither selection nor screen reader. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make `child` all there is in `node`, unless it says what is there already: a redraw takes no focus and no place. */
export function renew(node, child) {
  const old = node.firstElementChild;
  if (old?.isEqualNode(child)) return;
  const focused = old != null && old === document.activeElement;
  const scrolled = old?.scrollLeft ?? 0;
  node.replaceChildren(child);
  child.scrollLeft = scrolled;
  if (focused) child.focus({ preventScroll: true });
}

/** Return a table in a box that scrolls sideways by itself. `columns` are {label, title?, words?}, `rows` cells. */
export function table(caption, columns, rows) {
  const head = columns.map(({ label, title, words }) =>
    element("th", { scope: "col", title, class: words ? "words" : null }, label),
  );
  const body = rows.map(cells =>
    element(
      "tr",
      {},
      cells.map((cell, i) =>
        element(
          i === 0 ? "th" : "td",
          { scope: i === 0 ? "row" : null, class: columns[i].words ? "words" : null },
          cell,
        ),
      ),
    ),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, body),
    ),
  );
}

/** Return a card: a titled section. */
export function card(title, note, ...children) {
  const heading = element("h2", {}, title);
  return element(
    "section",
    { class: "card" },
    element("header", {}, heading, note == null ? null : element("p", { class: "note" }, note)),
    children,
  );
}

/** Return a word with a mark before it: never colour alone. `kind` is good, warn, bad or quiet. */
export function verdict(kind, text) {
  return element(
    "span",
    { class: `verdict ${kind}` },
    element("span", { class: "mark", "aria-hidden": "true" }, MARKS[kind]),
    text,
  );
}

const MARKS = { good: "✓", warn: "!", bad: "✕", quiet: "–" };
