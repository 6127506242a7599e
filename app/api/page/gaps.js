// The gap ledger: which trade ids have not arrived, and which came later.

import { by, el } from "./dom.js";
import { clock, moment } from "./times.js";

const EVERY_MS = 5_000;
const LISTED = 50;

export class Gaps {
  #name = null;
  #mine = [];

  /** @param onChange Told the selected symbol's gaps, repaired ones too. */
  constructor(api, onChange) {
    Object.assign(this, { api, onChange });
    this.scope = by("gaps-all");
    this.scope.addEventListener("change", () => this.refresh());
    setInterval(() => document.hidden || this.refresh(), EVERY_MS);
  }

  /** The selected symbol's, as they were last told. */
  get mine() {
    return this.#mine;
  }

  follow(name) {
    this.#name = name;
    this.#mine = [];
    this.onChange([]);
    this.#show([]);
    this.refresh();
  }

  /** Ask for the ledger now. */
  async refresh() {
    const name = this.#name;
    if (name === null) return;
    try {
      const query = { repaired: true, limit: 200 };
      const mine = (await this.api.get("api/gaps", { ...query, symbol: name })).data;
      const listed = this.scope.checked ? (await this.api.get("api/gaps", query)).data : mine;
      if (name !== this.#name) return;
      if (JSON.stringify(mine) !== JSON.stringify(this.#mine)) this.onChange(mine);
      this.#mine = mine;
      this.#show(listed);
    } catch {
      // What was there stays; the banner says how old data are.
    }
  }

  #show(gaps) {
    const isOpen = (gap) => gap.repaired_at === null;
    const shown = [...gaps].sort(
      (a, b) => isOpen(b) - isOpen(a) || b.detected_at - a.detected_at,
    );
    by("gaps-count").textContent = `${gaps.filter(isOpen).length} open`;
    by("gaps-none").hidden = shown.length > 0;
    by("gaps-list").replaceChildren(...shown.slice(0, LISTED).map((gap) => this.#item(gap)));
  }

  #item(gap) {
    const isOpen = gap.repaired_at === null;
    const source = gap.repaired_by ? ` by ${gap.repaired_by}` : "";
    const state = isOpen ? `found ${clock(gap.detected_at)}`
      : `repaired ${clock(gap.repaired_at)}${source}`;
    const between = `${clock(gap.after_time)} – ${clock(gap.before_time)}`;
    return el(
      "li", {},
      el("span", { class: `severity ${isOpen ? "warning" : "ok"}` }, isOpen ? "open" : "repaired"),
      el("span", { class: "what" },
        el("strong", { class: "num" }, `${gap.from_id} – ${gap.to_id}`),
        this.scope.checked ? ` ${gap.symbol}@${gap.venue}` : "",
        el("span", { class: "detail" }, `between ${between}; ${state}`)),
      el("time", {}, moment(gap.after_time)),
    );
  }
}
