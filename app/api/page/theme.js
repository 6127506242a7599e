// Runs before the page is drawn, so that a chosen theme does not flash: a classic script, no module.
(() => {
  const KEY = "tapeline.theme";
  const CHOICES = ["auto", "light", "dark"];
  const root = document.documentElement;
  let chosen = "auto";
  try {
    chosen = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // Storage may be forbidden; then the choice ends with the page.
  }

  function apply() {
    if (!CHOICES.includes(chosen)) chosen = "auto";
    root.dataset.theme = chosen;
    for (const button of document.querySelectorAll("[data-action=theme]")) {
      button.textContent = chosen[0].toUpperCase() + chosen.slice(1);
      button.setAttribute("aria-label", `Theme: ${chosen}`);
    }
    document.dispatchEvent(new Event("theme"));
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    for (const button of document.querySelectorAll("[data-action=theme]")) {
      button.addEventListener("click", () => {
        chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
        try {
          localStorage.setItem(KEY, chosen);
        } catch {
          // See above.
        }
        apply();
      });
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
})();
