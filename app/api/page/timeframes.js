// The timeframes to choose from: the usual ones, and those of quotes where there are any.

import { by, el } from "./dom.js";

const USUAL = ["M1", "M5", "M15", "H1", "H4", "D1"];
const OF_QUOTES = ["M1.bid", "M1.ask", "M1.mid"];

export const FIRST = USUAL[0];
export const isKnown = (timeframe) => [...USUAL, ...OF_QUOTES].includes(timeframe);

export class Timeframes {
  #turn = 0;

  /** @param onChoose Told the timeframe that was chosen. */
  constructor(api, onChoose) {
    this.api = api;
    this.box = by("timeframes");
    this.box.addEventListener("change", (event) => onChoose(event.target.value));
  }

  /** Offer the timeframes of a symbol, one of them chosen. */
  async offer(name, chosen) {
    const turn = ++this.#turn;
    this.#show(USUAL.includes(chosen) ? USUAL : [...USUAL, chosen], chosen);
    const found = await Promise.all(OF_QUOTES.map((each) => this.#has(name, each)));
    const more = OF_QUOTES.filter((each, index) => found[index] || each === chosen);
    if (turn === this.#turn && more.length > 0) this.#show([...USUAL, ...more], chosen);
  }

  async #has(name, timeframe) {
    try {
      const { data } = await this.api.get(`api/ohlc/${name}`, { timeframe, limit: 1 });
      return data.length > 0;
    } catch {
      return false;
    }
  }

  #show(timeframes, chosen) {
    if (timeframes.length !== this.box.querySelectorAll("input").length) {
      const inputs = timeframes.map((each) =>
        el("label", {}, el("input", { type: "radio", name: "timeframe", value: each }),
          el("span", {}, each)));
      this.box.replaceChildren(...inputs);
    }
    for (const input of this.box.querySelectorAll("input")) input.checked = input.value === chosen;
  }
}
