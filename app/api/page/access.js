// The key of this browser tab: kept in its session storage, asked for in a dialog.

import { by, say } from "./dom.js";

const STORED = "tapeline.key";

export class Access {
  #asked = null;
  #give = null;
  #key = read();

  constructor() {
    this.dialog = by("access");
    by("access-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const key = by("access-key").value.trim();
      if (key) this.#take(key);
    });
    by("access-forget").addEventListener("click", () => {
      write(null);
      location.reload();
    });
    by("access-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#tell());
    for (const button of document.querySelectorAll("[data-action=key]")) {
      button.addEventListener("click", () => this.#open("", { isChange: this.#asked === null }));
    }
    this.#tell();
  }

  /** What is sent as a bearer token; null when nothing is. */
  get key() {
    return this.#key;
  }

  /** Return when there is another key than the one that was refused. */
  async ask(refused, why) {
    if (refused !== this.#key) return;
    if (this.#asked === null) {
      this.#asked = new Promise((resolve) => (this.#give = resolve));
      this.#tell();
      this.#open(why, { isChange: false });
    }
    await this.#asked;
  }

  #open(why, { isChange }) {
    this.isChange = isChange;
    say(by("access-why"), why);
    by("access-why").hidden = why === "";
    by("access-forget").hidden = this.#key === null;
    by("access-key").value = "";
    if (!this.dialog.open) this.dialog.showModal();
    by("access-key").focus();
  }

  #take(key) {
    write(key);
    // A key changed by hand may see other series: begin again.
    if (this.isChange) return location.reload();
    this.#key = key;
    const give = this.#give;
    this.#asked = this.#give = null;
    this.dialog.close();
    give?.();
  }

  #tell() {
    document.body.classList.toggle("locked", this.#asked !== null);
    by("locked").hidden = this.#asked === null;
  }
}

function read() {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return null;
  }
}

function write(key) {
  try {
    if (key === null) sessionStorage.removeItem(STORED);
    else sessionStorage.setItem(STORED, key);
  } catch {
    // Storage may be forbidden; then the key lives as long as the page.
  }
}
