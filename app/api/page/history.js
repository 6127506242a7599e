// One series' bars, history and live joined without a seam.
//
// The stream is subscribed first, the newest page is asked for when that is confirmed, and both are
// merged by open time and rank, so nothing falls between and nothing counts twice. The page may
// come from a store that is behind the stream by some seconds: then bars that became final just
// before the subscription are still provisional in it. The tail is asked for again until the
// store has taken all that was there when the subscription began.

import { Bars } from "./bars.js";

const PAGE = 500;
const TAIL = 50;
const LONGEST_WAIT_S = 10;
const UNSETTLED_EVERY_MS = 10_000;

export class History {
  #ended = new AbortController();
  #leave = null;
  #older = null; // cursor of the page before the first bar; null: there is none
  #isPaging = false;
  #reloads = 0;
  #unsettled = null;
  #wholeUntil = Infinity; // open time up to which nothing was missed, while that is not all

  /**
   * @param name `SYMBOL@VENUE`.
   * @param tell Told `{kind}`: reset (many bars), bar (bar, change), loaded, failed (problem).
   */
  constructor(api, stream, name, timeframe, tell) {
    Object.assign(this, { api, stream, name, timeframe, tell });
    this.bars = new Bars();
    this.hasLoaded = false;
  }

  start() {
    const name = `bars:${this.name}:${this.timeframe}`;
    this.#leave = this.stream.follow(name, (event) => this.#heard(event));
  }

  stop() {
    this.#leave?.();
    this.#ended.abort();
    clearTimeout(this.#unsettled);
  }

  #heard(event) {
    if (event.kind === "update") this.#live(event.data);
    if (event.kind === "snapshot") {
      const last = this.bars.last?.open_time ?? 0;
      if (this.hasLoaded) this.#wholeUntil = Math.min(this.#wholeUntil, last);
      event.data.forEach((bar) => this.#live(bar));
      this.#load();
    }
    if (event.kind === "gap") this.#load();
    if (event.kind === "refused") this.tell({ kind: "failed", problem: event.problem });
  }

  #live(bar) {
    const change = this.bars.put(bar);
    if (change === null) return;
    this.tell({ kind: "bar", bar, change });
    this.#settle();
  }

  async #page(query) {
    const path = `api/ohlc/${this.name}`;
    return this.api.get(
      path, { timeframe: this.timeframe, ...query }, { signal: this.#ended.signal },
    );
  }

  /** Run a request; what fails is told, and nothing is once this has been stopped. */
  async #guarded(work) {
    try {
      return await work();
    } catch (problem) {
      if (this.#ended.signal.aborted) return null;
      this.tell({ kind: "failed", problem });
      return null;
    }
  }

  /** Load the newest page, and its tail again until the store has caught up with the stream. */
  async #load() {
    const turn = ++this.#reloads;
    const beganMs = performance.now();
    const page = await this.#guarded(() => this.#page({ limit: PAGE }));
    if (turn !== this.#reloads || this.#ended.signal.aborted) return;
    if (page === null) {
      this.#later(2_000, () => turn === this.#reloads && this.#load());
      return;
    }
    this.#join(page);
    this.tell({ kind: "loaded" });
    let { age_s: ageS } = page;
    while (performance.now() - ageS * 1000 < beganMs + 250) {
      await this.#sleep(Math.min(Math.max(ageS, 1), LONGEST_WAIT_S) * 1000);
      if (turn !== this.#reloads || this.#ended.signal.aborted) return;
      ageS = (await this.#tail()) ?? LONGEST_WAIT_S;
    }
  }

  #join(page) {
    const first = page.data[0];
    // After a long cut the page may begin behind the last bar known: what is before it goes.
    const isApart = Boolean(page.next) && this.#wholeUntil < first.open_time;
    if (isApart) this.bars.dropBefore(first.open_time);
    if (isApart || !this.hasLoaded) this.#older = page.next ?? null;
    this.#wholeUntil = Infinity;
    const hasChanged = this.bars.putAll(page.data) || isApart || !this.hasLoaded;
    this.hasLoaded = true;
    if (hasChanged) this.tell({ kind: "reset" });
    this.#settle();
  }

  async #tail() {
    const page = await this.#guarded(() => this.#page({ limit: TAIL }));
    if (page === null) return null;
    if (this.bars.putAll(page.data)) this.tell({ kind: "reset" });
    return page.age_s;
  }

  /** Ask again while a bar before the last one is not final for long: its last emission was missed. */
  #settle() {
    if (this.#unsettled !== null || !this.hasLoaded) return;
    const isUnsettled = () => {
      for (let index = Math.max(0, this.bars.size - TAIL); index < this.bars.size - 1; index++) {
        if (!this.bars.at(index).is_final) return true;
      }
      return false;
    };
    if (!isUnsettled()) return;
    this.#unsettled = setTimeout(async () => {
      this.#unsettled = null;
      if (isUnsettled()) await this.#tail();
      if (!this.#ended.signal.aborted) this.#settle();
    }, UNSETTLED_EVERY_MS);
  }

  /** Load the page before the first bar; return at once when there is none, or one is under way. */
  async loadOlder() {
    if (this.#older === null || this.#isPaging || !this.hasLoaded) return;
    this.#isPaging = true;
    const page = await this.#guarded(() => this.#page({ limit: PAGE, cursor: this.#older }));
    if (page === null) await this.#sleep(2_000);
    this.#isPaging = false;
    if (page === null || this.#ended.signal.aborted) return;
    this.#older = page.next ?? null;
    if (this.bars.putAll(page.data)) this.tell({ kind: "reset" });
  }

  get hasOlder() {
    return this.#older !== null;
  }

  #sleep(ms) {
    return new Promise((resolve) => this.#later(ms, resolve));
  }

  #later(ms, work) {
    setTimeout(() => {
      if (!this.#ended.signal.aborted) work();
    }, ms);
  }
}
