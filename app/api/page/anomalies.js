// Anomalies: those of the selected symbol live, for marks and list; those of all when asked for.

import { by, el } from "./dom.js";
import { severityOf } from "./marks.js";
import { moment } from "./times.js";

const LISTED = 50;
const ALL_EVERY_MS = 10_000;

const keyOf = (each) => `${each.source_partition}-${each.tick_offset}-${each.kind}`;

export class Anomalies {
  #leave = null;
  #name = null;
  #mine = new Map();
  #all = null;

  /** @param onChange Told the selected symbol's anomalies. */
  constructor(api, stream, onChange) {
    Object.assign(this, { api, stream, onChange });
    this.scope = by("anomalies-all");
    this.scope.addEventListener("change", () => this.#loadAll());
    setInterval(() => document.hidden || this.#loadAll(), ALL_EVERY_MS);
  }

  /** The selected symbol's. */
  get mine() {
    return [...this.#mine.values()];
  }

  follow(name) {
    this.#leave?.();
    this.#name = name;
    this.#mine = new Map();
    this.#changed();
    this.#leave = this.stream.follow(`anomalies:${name}`, (event) => this.#heard(event));
  }

  #heard(event) {
    if (event.kind === "update") this.#put([event.data]);
    else if (event.kind === "snapshot") this.#put(event.data);
    else if (event.kind === "gap") this.#reload(this.#name);
  }

  async #reload(name) {
    try {
      const { data } = await this.api.get("api/anomalies", { symbol: name, limit: 1000 });
      if (name === this.#name) this.#put(data);
    } catch {
      // The next message, or the next gap, tries again.
    }
  }

  #put(anomalies) {
    for (const each of anomalies) this.#mine.set(keyOf(each), each);
    this.#changed();
  }

  #changed() {
    this.onChange(this.mine);
    this.#show();
  }

  async #loadAll() {
    if (!this.scope.checked) {
      this.#all = null;
      return this.#show();
    }
    try {
      this.#all = (await this.api.get("api/anomalies", { limit: 200 })).data;
    } catch {
      // What was there stays; the banner says how old data are.
    }
    return this.#show();
  }

  #show() {
    const shown = [...(this.#all ?? this.#mine.values())];
    shown.sort((a, b) => b.event_time - a.event_time);
    by("anomalies-count").textContent = String(shown.length);
    by("anomalies-none").hidden = shown.length > 0;
    by("anomalies-list").replaceChildren(...shown.slice(0, LISTED).map((each) => this.#item(each)));
  }

  #item(anomaly) {
    const severity = severityOf(anomaly);
    const limit = anomaly.threshold === null || anomaly.value === null
      ? "" : ` (${anomaly.value}, limit ${anomaly.threshold})`;
    return el(
      "li", {},
      el("span", { class: `severity ${severity}` }, severity),
      el("span", { class: "what" },
        el("strong", {}, anomaly.kind), this.#all ? ` ${anomaly.symbol}@${anomaly.venue}` : "",
        el("span", { class: "detail" }, `${anomaly.detail}${limit}`)),
      el("time", {}, moment(anomaly.event_time)),
    );
  }
}
