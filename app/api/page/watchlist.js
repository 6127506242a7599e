// The list of symbols with their live quotes; only rows in sight are followed.

import { minus, shown, sign, signed } from "./decimals.js";
import { by, el, oncePerFrame, say } from "./dom.js";

const MOST_ROWS = 400;
const REFRESH_MS = 10_000;
const PAGE_STEP = 10;

export class Watchlist {
  #rows = new Map();
  #names = [];
  #seen = [];
  #active = null;
  #selected = null;
  #draw = oncePerFrame(() => this.#drawChanged());
  #changed = new Set();

  /** @param onSelect Told the `SYMBOL@VENUE` that was chosen. */
  constructor(api, stream, onSelect) {
    Object.assign(this, { api, stream, onSelect });
    this.list = by("symbols");
    this.filter = by("filter");
    this.sight = new IntersectionObserver((entries) => this.#sighted(entries), {
      root: this.list, rootMargin: "120px",
    });
    this.filter.addEventListener("input", () => this.#fill());
    this.filter.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      event.preventDefault();
      if (event.key === "ArrowDown") this.list.focus();
      else if (this.#seen.length > 0) this.#choose(this.#seen[0]);
    });
    this.list.addEventListener("keydown", (event) => this.#pressed(event));
    this.list.addEventListener("focus", () => this.#activate(this.#active ?? this.#seen[0]));
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.#choose(row.dataset.name);
    });
  }

  /** All that were found, filtered or not. */
  get names() {
    return this.#names;
  }

  /** Load the symbols, and again every so often; return their names. */
  async start() {
    const names = await this.#load();
    setInterval(() => document.hidden || this.#load().catch(() => null), REFRESH_MS);
    return names;
  }

  async #load() {
    const { data } = await this.api.get("api/symbols");
    const names = data.map(({ symbol, venue }) => `${symbol}@${venue}`);
    if (names.join() !== this.#names.join() || this.#names.length === 0) {
      this.#names = names;
      this.#fill();
      if (names.length > 0) this.#tellFirst(names[0]);
    }
    return names;
  }

  /** Tell once that there are symbols, to who found none at the start. */
  #tellFirst(name) {
    this.onFirst?.(name);
    this.onFirst = null;
  }

  /** Mark a symbol as the one that is shown. */
  select(name) {
    this.#rows.get(this.#selected)?.row.setAttribute("aria-selected", "false");
    this.#selected = this.#active = name;
    const row = this.#rows.get(name)?.row;
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
  }

  #fill() {
    const wanted = this.filter.value.trim().toUpperCase();
    const found = this.#names.filter((name) => name.toUpperCase().includes(wanted));
    this.#seen = found.slice(0, MOST_ROWS);
    const kept = new Set(this.#seen);
    for (const name of this.#rows.keys()) if (!kept.has(name)) this.#drop(name);
    const rows = this.#seen.map((name) => this.#row(name).row);
    this.list.replaceChildren(...rows);
    const more = found.length - rows.length;
    const count = `${found.length} of ${this.#names.length}`;
    say(by("symbols-count"), more > 0 ? `${count}; type to find the other ${more}` : count);
    by("symbols-none").hidden = found.length > 0;
    by("symbols-none").textContent = this.#names.length === 0
      ? "No symbol has a record yet." : `No symbol has “${this.filter.value}” in its name.`;
    if (!kept.has(this.#active)) this.#activate(this.#seen[0] ?? null);
  }

  #row(name) {
    const known = this.#rows.get(name);
    if (known) return known;
    const [symbol, venue] = name.split("@");
    const cell = (kind) => el("span", { class: kind });
    const cells = {
      bid: cell("bid num"), ask: cell("ask num"), spread: cell("spread num"),
      last: cell("last num"), change: cell("change num"),
    };
    const hidden = (text) => el("span", { class: "sr" }, text);
    const row = el(
      "li",
      {
        role: "option", id: `symbol-${this.#rows.size}-${Date.now().toString(36)}`,
        "aria-selected": String(name === this.#selected), "data-name": name,
      },
      el("span", { class: "name" }, ...breakable(symbol)), el("span", { class: "venue" }, venue),
      hidden(", last "), cells.last, hidden(", bid "), cells.bid, hidden(", ask "), cells.ask,
      hidden(", spread "), cells.spread, hidden(", in this minute "), cells.change,
    );
    const made = { row, cells, quote: null, bar: null, leave: null };
    this.#rows.set(name, made);
    this.sight.observe(row);
    this.#show(made);
    return made;
  }

  #drop(name) {
    const { row, leave } = this.#rows.get(name);
    this.sight.unobserve(row);
    leave?.();
    this.#rows.delete(name);
  }

  #sighted(entries) {
    for (const { target, isIntersecting } of entries) {
      const name = target.dataset.name;
      const held = this.#rows.get(name);
      if (held === undefined || isIntersecting === (held.leave !== null)) continue;
      if (isIntersecting) {
        const leaves = [
          this.stream.follow(`quotes:${name}`, (event) => this.#heard(name, "quote", event)),
          this.stream.follow(`bars:${name}:M1`, (event) => this.#heard(name, "bar", event)),
        ];
        held.leave = () => leaves.forEach((leave) => leave());
      } else {
        held.leave();
        held.leave = null;
      }
    }
  }

  #heard(name, what, event) {
    const held = this.#rows.get(name);
    const value = event.kind === "update" ? event.data : event.data?.at?.(-1);
    if (held === undefined || value === undefined) return;
    // A revision of an older bar is no last close.
    if (what === "bar" && held.bar && value.open_time < held.bar.open_time) return;
    held[what] = value;
    this.#changed.add(name);
    this.#draw();
  }

  #drawChanged() {
    for (const name of this.#changed) {
      const held = this.#rows.get(name);
      if (held) this.#show(held);
    }
    this.#changed.clear();
  }

  #show({ row, cells, quote, bar }) {
    say(cells.bid, shown(quote?.bid));
    say(cells.ask, shown(quote?.ask));
    say(cells.spread, shown(minus(quote?.ask, quote?.bid)));
    say(cells.last, shown(bar?.close));
    const change = minus(bar?.close, bar?.open);
    say(cells.change, signed(change));
    row.dataset.way = ["down", "flat", "up"][sign(change) + 1];
    row.classList.toggle("crossed", quote?.crossed === true);
  }

  #pressed(event) {
    const at = this.#seen.indexOf(this.#active);
    const last = this.#seen.length - 1;
    const to = {
      ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last,
      PageDown: at + PAGE_STEP, PageUp: at - PAGE_STEP,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.#activate(this.#seen[Math.min(last, Math.max(0, to))]);
    } else if ((event.key === "Enter" || event.key === " ") && this.#active) {
      event.preventDefault();
      this.#choose(this.#active);
    }
  }

  #activate(name) {
    this.#rows.get(this.#active)?.row.classList.remove("active");
    this.#active = name ?? null;
    const row = this.#rows.get(name)?.row;
    if (row === undefined) return this.list.removeAttribute("aria-activedescendant");
    row.classList.add("active");
    this.list.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  }

  #choose(name) {
    this.#activate(name);
    this.onSelect(name);
  }
}

/** Return a symbol that may be broken behind its slashes. */
const breakable = (symbol) =>
  symbol.split("/").flatMap((part, index) => (index === 0 ? [part] : ["/", el("wbr"), part]));
