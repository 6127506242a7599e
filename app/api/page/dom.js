// Elements in a few words. Nothing here sets a style attribute: the page's CSP forbids it.

/** Return an element; attributes whose value is false or null are left out, true is empty. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return the element with an id. */
export const by = (id) => document.getElementById(id);

/** Set a text, if it is another: an unchanged one costs no layout, and no screen reader's time. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Call `work` once before the next frame, however often it is asked for. */
export function oncePerFrame(work) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      work();
    });
  };
}

/** Call `work` at most once in so many milliseconds, and at the end of them. */
export function atMostEvery(everyMs, work) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      work();
    }, everyMs);
  };
}
