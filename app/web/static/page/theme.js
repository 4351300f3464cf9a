/** Dark or light: the system's choice until a person makes one, which is kept in this browser. */

const KEY = "smilekeeper.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Make `button` the switch; `changed()` runs after every change, the system's included. */
export function makeThemeSwitch(button, changed) {
  const show = () => {
    const dark = current() === "dark";
    document.documentElement.dataset.theme = current();
    button.setAttribute("aria-pressed", String(dark));
    button.setAttribute("aria-label", "Dark theme");
    button.textContent = dark ? "☾" : "☀";
    changed();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, current() === "dark" ? "light" : "dark");
    show();
  });
  system.addEventListener("change", show);
  show();
}

function current() {
  const kept = localStorage.getItem(KEY);
  return kept ?? (system.matches ? "dark" : "light");
}
