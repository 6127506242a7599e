// All that is known of one bar: its values, how it came about, and what its last revision changed.

import { minus, shown, signed } from "./decimals.js";
import { by, el } from "./dom.js";
import { remarks } from "./marks.js";
import { moment } from "./times.js";

const REASONS = {
  live: "live: it can still change",
  final: "final: its time is over",
  late: "late: trades came after it was final",
  correction: "correction: the venue corrected a trade",
  cancel: "cancel: the venue took a trade back",
  gap: "gap: trade ids were found missing",
  gap_repair: "gap_repair: missing trades came",
  backfill: "backfill: computed anew from history",
};
const COMPARED = ["open", "high", "low", "close", "volume", "vwap", "trades", "late"];

export class Inspector {
  #bar = null;

  constructor() {
    this.box = by("bar-facts");
  }

  /**
   * @param bar The bar, or null.
   * @param before Its emission before the last revision, if this page saw it.
   * @param isPointed Whether the cursor is on it; otherwise it is the last one.
   */
  show(bar, before, anomalies, isPointed) {
    this.#legend(bar, anomalies);
    by("bar-which").textContent = bar === null ? "" : isPointed ? "under the cursor" : "the last one";
    if (bar === null) {
      this.box.replaceChildren(el("p", { class: "none" }, "No bar yet."));
      return;
    }
    this.#bar = bar;
    const facts = [
      ["Opens, UTC", moment(bar.open_time)], ["Closes", moment(bar.close_time)],
      ["State", bar.is_final ? "final" : "provisional"],
      ["Revision", String(bar.revision)],
      ["Reason", REASONS[bar.reason] ?? bar.reason],
      ["Complete", bar.complete ? "yes" : "no: trades are missing"],
      ["Partial", bar.partial ? "yes: the series begins in it" : "no"],
      ["Late trades", String(bar.late)],
      ["Open", shown(bar.open)], ["High", shown(bar.high)],
      ["Low", shown(bar.low)], ["Close", shown(bar.close)],
      ["Volume", shown(bar.volume)], ["VWAP", shown(bar.vwap)],
      ["Trades", String(bar.trades)],
      ["Duplicates refused", String(bar.duplicates)],
      ["Offsets", `${bar.first_offset} – ${bar.last_offset}, partition ${bar.source_partition}`],
    ];
    if (bar.quotes > 0) facts.push(["Quotes", String(bar.quotes)]);
    const list = el("dl", { class: "facts" });
    for (const [name, value] of facts) list.append(el("dt", {}, name), el("dd", {}, value));
    this.box.replaceChildren(...this.#changes(bar, before), ...this.#odd(anomalies), list);
  }

  #legend(bar, anomalies) {
    const parts = bar === null ? [] : [
      ["O", shown(bar.open)], ["H", shown(bar.high)], ["L", shown(bar.low)],
      ["C", shown(bar.close)], ["Vol", shown(bar.volume)],
    ];
    const values = parts.map(([name, value]) => el("span", {}, el("i", {}, name), ` ${value}`));
    const notes = bar === null ? [] : remarks(bar, anomalies);
    by("legend").replaceChildren(
      ...(bar === null ? [] : [el("span", { class: "when" }, moment(bar.open_time))]),
      ...values, ...notes.map((note) => el("span", { class: "note" }, note)),
    );
  }

  #changes(bar, before) {
    if (bar.revision <= 1) return [];
    if (before === undefined) {
      const text = `Revised ${bar.revision - 1} times, last by ${bar.reason}.`;
      return [el("p", { class: "revised" }, bar.revision === 2 ? `Revised by ${bar.reason}.` : text)];
    }
    const changed = COMPARED.filter((name) => before[name] !== bar[name]);
    const rows = changed.map((name) =>
      el(
        "tr", {}, el("th", { scope: "row" }, name), el("td", { class: "num" }, shown(before[name])),
        el("td", { class: "num" }, shown(bar[name])),
        el("td", { class: "num" }, difference(bar[name], before[name])),
      ),
    );
    const caption = `Revision ${before.revision} to ${bar.revision}, by ${bar.reason}`;
    if (rows.length === 0) return [el("p", { class: "revised" }, `${caption}: no value changed.`)];
    const heads = ["", "Before", "Now", "By"].map((text) => el("th", { scope: "col" }, text));
    return [
      el(
        "div", { class: "scrolls" },
        el("table", { class: "changes" }, el("caption", {}, caption),
          el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)),
      ),
    ];
  }

  #odd(anomalies) {
    return anomalies.map((each) =>
      el("p", { class: `odd ${each.severity}` },
        el("strong", {}, `${each.severity}: ${each.kind}`), each.detail ? ` ${each.detail}` : ""),
    );
  }
}

function difference(now, before) {
  if (now === null || before === null) return "";
  return signed(minus(String(now), String(before)));
}
