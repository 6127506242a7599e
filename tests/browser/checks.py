"""What a page can be asked about itself: how its text stands out, and what breaks a rule."""

CONTRASTS = """() => {
  const rgb = (color) => (color.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const over = ([r, g, b, a = 1], under) =>
    [r, g, b].map((part, index) => part * a + under[index] * (1 - a));
  const back = (node) => {
    if (node === null) return rgb(getComputedStyle(document.documentElement).backgroundColor);
    const color = rgb(getComputedStyle(node).backgroundColor);
    return (color[3] ?? 1) === 1 ? color : over(color, back(node.parentElement));
  };
  const light = (color) => {
    const [r, g, b] = color.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim();
    const node = walk.currentNode.parentElement;
    const isSeen = node.checkVisibility({ visibilityProperty: true }) && !node.closest(".sr");
    if (!text || !isSeen) continue;
    const under = back(node);
    const style = getComputedStyle(node);
    const [one, two] = [light(over(rgb(style.color), under)), light(under)].sort((a, b) => b - a);
    found.push([(one + 0.05) / (two + 0.05), `${text.slice(0, 30)} (${style.color})`]);
  }
  return found;
}"""
"""Returns contrast and text of each text that is seen, as WCAG 2.2 computes it."""

FAULTS = """() => {
  const faults = [];
  const name = (node) => node.outerHTML.slice(0, 90);
  const all = (...selectors) => document.querySelectorAll(selectors.join(", "));
  const labelled = (node) =>
    node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length
    || document.getElementById(node.getAttribute("aria-labelledby") ?? "");
  for (const node of all("button", "a[href]", "input", "select", "[tabindex]", "dialog")) {
    if (!labelled(node)) faults.push(`no name: ${name(node)}`);
    if (node.tabIndex > 0) faults.push(`tabindex above 0: ${name(node)}`);
  }
  for (const node of all("nav", "aside", "section", "[role=region]", "[role=listbox]")) {
    if (!node.hasAttribute("aria-label") && !labelled(node)) faults.push(`no name: ${name(node)}`);
  }
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for",
                           "aria-activedescendant"]) {
    for (const node of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of node.getAttribute(attribute).split(" ")) {
        if (!document.getElementById(id)) faults.push(`${attribute} of nothing: ${name(node)}`);
      }
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) faults.push(`id twice: ${id}`);
  }
  for (const tag of ["main", "h1", "nav", "header", "footer"]) {
    const count = document.querySelectorAll(tag).length;
    if (count !== 1) faults.push(`${count} of ${tag}`);
  }
  for (const node of all("svg:not([aria-hidden], [aria-label])", "img:not([alt])")) {
    faults.push(`picture without words: ${name(node)}`);
  }
  for (const node of document.querySelectorAll("[role=option]")) {
    if (!node.closest("[role=listbox]")) faults.push(`option without a list: ${name(node)}`);
  }
  for (const node of document.querySelectorAll("table:not(#chart *)")) {
    if (!node.querySelector("th[scope=col]")) faults.push(`table without heads: ${name(node)}`);
  }
  let level = 0;
  for (const node of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(node.tagName[1]);
    if (own > level + 1 && !node.closest("dialog")) faults.push(`level left out: ${name(node)}`);
    level = own;
  }
  for (const node of all("[aria-hidden=true] :is(a, button, input, [tabindex])")) {
    faults.push(`reached, but hidden: ${name(node)}`);
  }
  if (!document.documentElement.lang) faults.push("no language");
  if (document.querySelector("[style]:not(#chart *):not(#chart)")) faults.push("inline style");
  return faults;
}"""
"""Returns what has no name, points at nothing, is there twice, or is out of order."""
