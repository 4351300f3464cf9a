/** Tabs as a keyboard expects them: one stop in the tab order, arrows, Home and End inside. */

import { element } from "./element.js";

/** Fill `list` with a tab for each of `views` ({name, label}); `choose(name)`. Return a function that marks one. */
export function makeTabs(list, views, choose) {
  const tabs = views.map(({ name, label }) =>
    element(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": `view-${name}`,
        click: () => choose(name),
      },
      label,
    ),
  );
  list.append(...tabs);
  list.addEventListener("keydown", event => {
    const here = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    const target = tabs[(next + tabs.length) % tabs.length];
    target.focus();
    target.click();
  });
  return chosen =>
    tabs.forEach((tab, i) => {
      const selected = views[i].name === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    });
}
