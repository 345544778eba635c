// Light or dark, as the system has it or as it was chosen here. It runs before anything is drawn, so that nothing flashes.
const KEY = "automc-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

function chosen() {
  try {
    return localStorage.getItem(KEY) in NEXT ? localStorage.getItem(KEY) : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

function show(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

show(chosen());
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  let theme = chosen();
  const label = () => { button.textContent = `Theme: ${theme}`; };
  label();
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    try {
      localStorage.setItem(KEY, theme);
    } catch { /* it lasts until the page is left */ }
    show(theme);
    label();
    dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
});
