// The chart by keyboard: arrows go from bar to bar, plus and minus zoom; what is reached is spoken.

import { shown } from "./decimals.js";
import { by, say } from "./dom.js";
import { remarks } from "./marks.js";
import { moment } from "./times.js";

export class Keys {
  #openTime = null; // of the bar that was reached

  /**
   * @param box What has the focus.
   * @param bars Returns the bars that are shown, or null.
   * @param onStart Called when the first bar is reached.
   */
  constructor(box, chart, bars, onStart) {
    Object.assign(this, { chart, bars, onStart });
    box.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (this.#pressed(event.key, event.shiftKey)) event.preventDefault();
    });
    box.addEventListener("blur", () => this.#leave());
  }

  #pressed(key, isFast) {
    const bars = this.bars();
    if (bars === null || bars.size === 0) return false;
    const last = bars.size - 1;
    const at = this.#openTime === null ? last + 1 : bars.indexAt(this.#openTime);
    const step = isFast ? 10 : 1;
    const to = { ArrowLeft: at - step, ArrowRight: at + step, Home: 0, End: last }[key];
    if (to !== undefined) this.#go(bars, Math.min(last, Math.max(0, to)));
    else if (key === "+" || key === "=") this.chart.zoom(0.7);
    else if (key === "-") this.chart.zoom(1.4);
    else if (key === "Escape") this.#leave();
    else return false;
    return true;
  }

  #go(bars, index) {
    const bar = bars.at(index);
    this.#openTime = bar.open_time;
    this.chart.point(index);
    if (index === 0) this.onStart();
    const notes = remarks(bar, this.chart.anomaliesByBar.get(bar.open_time));
    const values = `open ${shown(bar.open)}, high ${shown(bar.high)}, low ${shown(bar.low)}, `
      + `close ${shown(bar.close)}, volume ${shown(bar.volume)}`;
    say(by("spoken"), `${moment(bar.open_time)}: ${values}. ${notes.join(", ")}`);
  }

  #leave() {
    this.#openTime = null;
    this.chart.unpoint();
  }
}
