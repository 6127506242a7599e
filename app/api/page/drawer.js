// On small screens the list of symbols is a drawer over the page.

import { by } from "./dom.js";

export class Drawer {
  constructor() {
    this.button = by("drawer-open");
    this.panel = by("symbols-panel");
    this.small = matchMedia("(max-width: 759px)");
    this.button.addEventListener("click", () => this.open());
    by("drawer-close").addEventListener("click", () => this.close());
    by("drawer-shade").addEventListener("click", () => this.close());
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    this.small.addEventListener("change", () => this.#apply(false));
    this.#apply(false);
  }

  open() {
    this.#apply(true);
    by("filter").focus();
  }

  /** Close, if it is one here and open; focus goes back to the button. */
  close() {
    if (!this.small.matches || !this.isOpen) return;
    this.#apply(false);
    this.button.focus();
  }

  #apply(isOpen) {
    this.isOpen = isOpen && this.small.matches;
    document.body.classList.toggle("drawer", this.isOpen);
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    by("drawer-shade").hidden = !this.isOpen;
    // What is under the drawer is out of reach, and so is the drawer while it is away.
    for (const other of document.querySelectorAll("[data-under]")) other.inert = this.isOpen;
    this.panel.inert = this.small.matches && !this.isOpen;
  }
}
