// The bars of one series, each once: of two emissions the one with the higher rank stays.

/** Return whether emission `a` of a bar is newer than `b`: by revision, then by last offset. */
function isNewer(a, b) {
  if (a.revision !== b.revision) return a.revision > b.revision;
  return a.last_offset > b.last_offset;
}

export class Bars {
  #byTime = new Map();
  #times = [];
  #before = new Map();

  /** Oldest first. */
  get all() {
    return this.#times.map((time) => this.#byTime.get(time));
  }

  get size() {
    return this.#times.length;
  }

  get first() {
    return this.#byTime.get(this.#times[0]);
  }

  get last() {
    return this.#byTime.get(this.#times.at(-1));
  }

  at(index) {
    return this.#byTime.get(this.#times[index]);
  }

  of(openTime) {
    return this.#byTime.get(openTime);
  }

  /** Return the emission that a final bar had before its last revision, if this page saw it. */
  before(openTime) {
    return this.#before.get(openTime);
  }

  /** Return the index of the bar that opened last at or before a time; -1 when none did. */
  indexAt(time) {
    let [low, high] = [0, this.#times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Take an emission; return "added" behind the last, "inserted", "changed", or null. */
  put(bar) {
    const time = bar.open_time;
    const known = this.#byTime.get(time);
    if (known !== undefined) {
      if (!isNewer(bar, known)) return null;
      if (known.is_final && bar.revision > known.revision) this.#before.set(time, known);
      this.#byTime.set(time, bar);
      return "changed";
    }
    this.#byTime.set(time, bar);
    const index = this.indexAt(time);
    this.#times.splice(index + 1, 0, time);
    return index === this.#times.length - 2 ? "added" : "inserted";
  }

  /** Take a page of history; return whether anything changed. */
  putAll(bars) {
    const fresh = [];
    let hasChanged = false;
    for (const bar of bars) {
      if (this.#byTime.has(bar.open_time)) {
        hasChanged = this.put(bar) !== null || hasChanged;
      } else {
        this.#byTime.set(bar.open_time, bar);
        fresh.push(bar.open_time);
      }
    }
    if (fresh.length === 0) return hasChanged;
    this.#times = this.#times.concat(fresh).sort((a, b) => a - b);
    return true;
  }

  /** Forget all bars that opened before a time. */
  dropBefore(time) {
    const index = this.indexAt(time - 1) + 1;
    for (const gone of this.#times.splice(0, index)) {
      this.#byTime.delete(gone);
      this.#before.delete(gone);
    }
  }
}
