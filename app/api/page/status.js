// Whether what is shown is fresh: the connection's state, and how far data are behind.

import { by, say } from "./dom.js";
import { duration } from "./times.js";

const WORDS = {
  connecting: "Connecting", live: "Live", lost: "No connection", stale: "Behind", locked: "Locked",
};
const TOLD_FOR_MS = 30_000; // without news, an age is no longer known

export class Status {
  #connection = { state: "connecting" };
  #ages = new Map();
  #lostAt = null;
  #wasLive = false;

  constructor(onRetry) {
    by("retry").addEventListener("click", onRetry);
    setInterval(() => this.#show(), 500);
  }

  /** Take the connection's state; see `Stream`. */
  connection(connection) {
    if (connection.state === "live") {
      this.#lostAt = null;
      this.#wasLive = true;
    } else if (connection.state === "lost") {
      this.#lostAt ??= Date.now();
    }
    this.#connection = connection;
    this.#show();
  }

  /** Take the age that an answer or a heartbeat told of its source. */
  age(source, ageS, isStale) {
    this.#ages.set(source, { ageS, isStale, atMs: Date.now() });
    this.#show();
  }

  #show() {
    const { state, retryAt } = this.#connection;
    const isLocked = document.body.classList.contains("locked");
    const isLost = this.#lostAt !== null && !isLocked;
    const stale = isLocked ? undefined : this.#stale();
    const shown = isLocked ? "locked" : isLost ? "lost" : stale ? "stale" : state;
    by("connection").dataset.state = shown;
    say(by("connection-text"), WORDS[shown]);
    by("banner").hidden = !isLost && !stale;
    by("banner").dataset.kind = isLost ? "lost" : "stale";
    by("retry").hidden = !isLost;
    // Only the first text is read out; the seconds beside it are for the eye.
    if (isLost) {
      const wait = retryAt ? Math.max(0, (retryAt - Date.now()) / 1000) : 0;
      say(by("banner-text"), this.#wasLive ? "Connection lost. What you see is as it was then."
        : "The API cannot be reached.");
      const age = duration((Date.now() - this.#lostAt) / 1000);
      say(by("banner-age"), `for ${age}; ${wait > 0 ? `next try in ${wait.toFixed(0)} s` : "trying"}`);
    } else if (stale) {
      const what = stale.source === "topics" ? "Data are stale: the pipeline is behind."
        : "History is stale: its store is behind.";
      say(by("banner-text"), what);
      say(by("banner-age"), `${duration(stale.ageS)} old`);
    } else {
      say(by("banner-text"), "");
      say(by("banner-age"), "");
    }
  }

  /** Return the oldest of what is stale, live data first; undefined when nothing is. */
  #stale() {
    const nowMs = Date.now();
    return [...this.#ages]
      .filter(([, age]) => age.isStale && nowMs - age.atMs < TOLD_FOR_MS)
      .map(([source, age]) => ({ source, ageS: age.ageS }))
      .sort((a, b) => (b.source === "topics") - (a.source === "topics") || b.ageS - a.ageS)[0];
  }
}
