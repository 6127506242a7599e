// The WebSocket: follow streams, come back after a cut, and notice what was lost on the way.
//
//     const leave = stream.follow("bars:BTC/USD@SIM:M1", (event) => ...);
//
// An event has a kind: `snapshot` (data: the newest values; `again` when it stands for what a token
// could not bring back), `resumed`, `update` (data: one value), `gap` (values were left out: ask
// the history), `refused` (problem).

import { parse } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const SILENT_MS = 25_000; // two heartbeats and a half
const RATE = 500; // messages a second
const RETRY_MS = 2_000;

export class Stream {
  #entries = new Map();
  #asked = new Map();
  #socket = null;
  #nextId = 1;
  #waitMs = FIRST_WAIT_MS;
  #timer = null;
  #watchdog = null;

  /**
   * @param access Knows the key.
   * @param probe Asks the API something, so that a refused key is asked for anew.
   * @param tell Told `{state, retryAt}`: state is connecting, live or lost.
   * @param noteAge Told `(source, age_s, stale)` of each heartbeat.
   */
  constructor(access, probe, tell, noteAge) {
    Object.assign(this, { access, probe, tell, noteAge });
    globalThis.addEventListener("online", () => this.retry());
  }

  /** Connect, if that was not done, without waiting any longer. */
  retry() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Follow a stream; return what ends it. */
  follow(name, listener) {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { name, listeners: new Set(), token: null, seq: null, last: null, isLive: false };
      this.#entries.set(name, entry);
      this.#subscribe(entry);
    }
    entry.listeners.add(listener);
    if (entry.isLive) listener({ kind: "snapshot", data: entry.last ?? [], again: false });
    return () => this.#leave(entry, listener);
  }

  #leave(entry, listener) {
    entry.listeners.delete(listener);
    if (entry.listeners.size > 0 || this.#entries.get(entry.name) !== entry) return;
    this.#entries.delete(entry.name);
    this.#send({ op: "unsubscribe", id: this.#nextId++, streams: [entry.name] });
  }

  #connect() {
    this.tell({ state: "connecting" });
    const url = new URL("ws", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.access.key) url.searchParams.set("access_token", this.access.key);
    const socket = new WebSocket(url);
    let hasOpened = false;
    this.#socket = socket;
    socket.onopen = () => {
      hasOpened = true;
      this.#alive();
      for (const entry of this.#entries.values()) this.#subscribe(entry);
    };
    socket.onmessage = (event) => this.#take(parse(event.data));
    socket.onclose = () => this.#lost(socket, hasOpened);
    this.#alive();
  }

  async #lost(socket, hasOpened) {
    if (this.#socket !== socket) return;
    clearTimeout(this.#watchdog);
    this.#asked.clear();
    for (const entry of this.#entries.values()) entry.isLive = false;
    const wait = this.#waitMs * (0.75 + Math.random() / 2);
    this.tell({ state: "lost", retryAt: Date.now() + wait });
    this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 2);
    if (!hasOpened || !this.access.key) {
      // A browser does not say why a handshake failed; the API does.
      try {
        await this.probe();
      } catch {
        // Away: the next attempt will tell.
      }
    }
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#timer = setTimeout(() => this.retry(), wait);
  }

  #alive() {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#watchdog = setTimeout(() => {
      // A half-open connection may take minutes to say that it has ended.
      socket.onclose = null;
      socket.close();
      this.#lost(socket, true);
    }, SILENT_MS);
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #subscribe(entry) {
    // One request for each, so that a refusal names its stream and harms no other.
    const id = this.#nextId++;
    const resume = entry.token === null ? {} : { [entry.name]: entry.token };
    if (this.#send({ op: "subscribe", id, streams: [entry.name], resume, rate: RATE })) {
      this.#asked.set(id, entry);
    }
  }

  #take(message) {
    this.#alive();
    if (message.type === "subscribed") {
      this.#asked.delete(message.id);
      this.#waitMs = FIRST_WAIT_MS;
      this.tell({ state: "live" });
    } else if (message.type === "heartbeat") {
      this.tell({ state: "live" });
      this.noteAge("topics", message.age_s, message.stale);
    } else if (message.type === "error") {
      this.#refused(message);
    } else if (message.stream !== undefined) {
      const entry = this.#entries.get(message.stream);
      if (entry !== undefined) this.#pass(entry, message);
    }
  }

  #pass(entry, message) {
    const again = message.type === "snapshot" && entry.token !== null;
    const hasGap = entry.isLive && message.seq > entry.seq + 1;
    entry.token = message.token ?? entry.token;
    entry.seq = message.seq;
    if (message.type === "update") {
      entry.last = [message.data];
      this.#tellAll(entry, { kind: "update", data: message.data });
      if (hasGap || message.missed > 0) this.#tellAll(entry, { kind: "gap" });
      return;
    }
    entry.isLive = true;
    if (message.type === "snapshot") entry.last = message.data;
    this.#tellAll(entry, { kind: message.type, data: message.data, again });
  }

  #refused(message) {
    const entry = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (entry === undefined) return;
    const { problem } = message;
    if (problem.status === 400 && entry.token !== null) {
      entry.token = null; // of a topic that was made anew
      this.#subscribe(entry);
    } else if (problem.status >= 500 || problem.status === 429) {
      setTimeout(() => {
        if (this.#entries.get(entry.name) === entry && !entry.isLive) this.#subscribe(entry);
      }, RETRY_MS);
    }
    this.#tellAll(entry, { kind: "refused", problem });
  }

  #tellAll(entry, event) {
    for (const listener of entry.listeners) listener(event);
  }
}
