// The quote of the selected symbol: large, and now and then in words for who listens.

import { minus, shown, sign, signed } from "./decimals.js";
import { by, oncePerFrame, say } from "./dom.js";
import { clock } from "./times.js";

const SPOKEN_EVERY_MS = 15_000;

export class Quote {
  #leaves = [];
  #quote = null;
  #bar = null;
  #name = "";
  #draw = oncePerFrame(() => this.#show());

  constructor(stream) {
    this.stream = stream;
    this.speaks = by("speak");
    this.speaks.addEventListener("click", () => {
      const isOn = this.speaks.getAttribute("aria-pressed") !== "true";
      this.speaks.setAttribute("aria-pressed", String(isOn));
      if (!isOn) say(by("spoken"), "");
    });
    setInterval(() => this.#speak(), SPOKEN_EVERY_MS);
  }

  follow(name) {
    this.#leaves.forEach((leave) => leave());
    this.#name = name;
    this.#quote = this.#bar = null;
    const [symbol, venue] = name.split("@");
    say(by("quote-symbol"), symbol);
    say(by("quote-venue"), venue);
    document.title = `${symbol} – Tapeline`;
    this.#show();
    this.#leaves = [
      this.stream.follow(`quotes:${name}`, (event) => this.#heard("quote", event)),
      this.stream.follow(`bars:${name}:M1`, (event) => this.#heard("bar", event)),
    ];
  }

  #heard(what, event) {
    const value = event.kind === "update" ? event.data : event.data?.at?.(-1);
    if (value === undefined) return;
    if (what === "quote") this.#quote = value;
    else if (!this.#bar || value.open_time >= this.#bar.open_time) this.#bar = value;
    this.#draw();
  }

  #show() {
    const quote = this.#quote;
    const change = minus(this.#bar?.close, this.#bar?.open);
    say(by("quote-last"), shown(this.#bar?.close));
    say(by("quote-change"), signed(change));
    by("quote").dataset.way = ["down", "flat", "up"][sign(change) + 1];
    say(by("quote-bid"), shown(quote?.bid));
    say(by("quote-bid-size"), shown(quote?.bid_size));
    say(by("quote-ask"), shown(quote?.ask));
    say(by("quote-ask-size"), shown(quote?.ask_size));
    say(by("quote-spread"), shown(minus(quote?.ask, quote?.bid)));
    say(by("quote-time"), quote ? clock(quote.event_time) : "–");
    by("quote-crossed").hidden = quote?.crossed !== true;
  }

  #speak() {
    if (this.speaks.getAttribute("aria-pressed") !== "true" || !this.#quote) return;
    const [symbol, venue] = this.#name.split("@");
    const { bid, ask } = this.#quote;
    const last = this.#bar ? `, last ${shown(this.#bar.close)}` : "";
    say(by("spoken"), `${symbol} at ${venue}: bid ${shown(bid)}, ask ${shown(ask)}${last}`);
  }
}
