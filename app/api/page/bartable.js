// The chart's last bars as a table: for who cannot see the chart, and for copying.

import { shown } from "./decimals.js";
import { by, el } from "./dom.js";
import { remarks } from "./marks.js";
import { moment } from "./times.js";

const ROWS = 20;

export class BarTable {
  constructor() {
    this.body = by("bar-rows");
    this.details = by("bar-table");
  }

  /** Show the last bars, newest first; costs nothing while it is folded away. */
  show(bars, anomaliesByBar) {
    if (!this.details.open) return;
    const rows = [];
    for (let index = bars.size - 1; index >= Math.max(0, bars.size - ROWS); index--) {
      rows.push(this.#row(bars.at(index), anomaliesByBar));
    }
    this.body.replaceChildren(...rows);
  }

  #row(bar, anomaliesByBar) {
    const values = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades];
    const notes = remarks(bar, anomaliesByBar.get(bar.open_time));
    return el(
      "tr", { "data-open-time": bar.open_time },
      el("th", { scope: "row" }, moment(bar.open_time)),
      ...values.map((value) => el("td", { class: "num" }, shown(value))),
      el("td", {}, notes.join(", ") || "final"),
    );
  }
}
