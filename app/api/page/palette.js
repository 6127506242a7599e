// The colours of style.css, resolved for a canvas, which knows no custom properties.

const NAMES = [
  "panel", "text", "dim", "line", "accent", "up", "down", "info", "warning", "critical", "revised",
  "missing",
];

/** Return the colours of the current theme, by name. */
export function palette() {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

/** Return a colour of the palette, so many times as opaque. */
export function faded(color, share) {
  const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
  return `rgba(${red}, ${green}, ${blue}, ${alpha * share})`;
}
