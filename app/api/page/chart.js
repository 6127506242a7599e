// The chart: candles, volume, and what is marked on them. Numbers here are drawn, never shown.

import { Bands } from "./bands.js";
import { digits, minus, sign, toDraw } from "./decimals.js";
import { oncePerFrame } from "./dom.js";
import { byBar, missing, signs } from "./marks.js";
import { faded, palette } from "./palette.js";
import { fromChart, toChart } from "./times.js";
import {
  CandlestickSeries, CrosshairMode, HistogramSeries, createChart, createSeriesMarkers,
} from "./vendor/lightweight-charts.mjs";

const ROOM_FOR_TEXT_PX = 16; // a bar's width
const NEAR_START = 30; // bars before the first one is seen
const FIRST_SEEN = 120; // bars

export class Chart {
  #bars = null;
  #anomalies = [];
  #gaps = [];
  #isFollowing = false;
  #isPointed = false; // by the keyboard
  #mark = oncePerFrame(() => this.#markNow());

  /**
   * @param box Where it is drawn.
   * @param told `onHover(bar or null)`, and `onStart()` when the first bar comes near.
   */
  constructor(box, { onHover, onStart }) {
    this.box = box;
    this.onHover = onHover;
    this.chart = createChart(box, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, rightOffset: 4, minBarSpacing: 1 },
      kineticScroll: { mouse: false, touch: !isCalm() },
      // Its link is in the page's footer: the library's own brings an inline style.
      layout: { attributionLogo: false, fontSize: 11, panes: { enableResize: false } },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineStyle: 2 });
    this.volume = this.chart.addSeries(
      HistogramSeries, { priceFormat: { type: "volume" }, priceLineVisible: false }, 1,
    );
    const [prices, volumes] = this.chart.panes();
    prices.setStretchFactor(4);
    volumes.setStretchFactor(1);
    this.bands = new Bands();
    this.candles.attachPrimitive(this.bands);
    this.markers = createSeriesMarkers(this.candles, [], { autoScale: true });
    this.chart.subscribeCrosshairMove(({ time }) => {
      // The library tells nothing of a position that was set, or that there is none.
      if (this.#isPointed && time === undefined) return;
      this.#isPointed = false;
      onHover(time === undefined ? null : this.#bars.at(this.#bars.indexAt(fromChart(time))));
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && this.#bars?.size && range.from < NEAR_START) onStart();
      this.#mark();
    });
    document.addEventListener("theme", () => this.#paint());
    this.#paint();
  }

  /** Show other bars. */
  show(bars) {
    this.#bars = bars;
    this.#isFollowing = this.#isPointed = false;
    this.#anomalies = [];
    this.#gaps = [];
    this.redraw();
  }

  /** Draw all bars anew; what is seen stays where it is. */
  redraw() {
    const { all } = this.#bars;
    this.#format();
    this.candles.setData(all.map((bar) => this.#candle(bar)));
    this.volume.setData(all.map((bar) => this.#column(bar)));
    if (!this.#isFollowing && all.length > 0) {
      this.#isFollowing = true;
      const to = all.length + 3;
      const room = Math.max(40, Math.min(FIRST_SEEN, this.box.clientWidth / 6));
      this.chart.timeScale().setVisibleLogicalRange({ from: to - room, to });
    }
    this.#mark();
  }

  /** Draw one bar that was added at the end, or changed. */
  draw(bar) {
    const isLast = bar.open_time === this.#bars.last.open_time;
    this.candles.update(this.#candle(bar), !isLast);
    this.volume.update(this.#column(bar), !isLast);
    this.#mark();
  }

  set anomalies(anomalies) {
    this.#anomalies = anomalies;
    this.#mark();
  }

  set gaps(gaps) {
    this.#gaps = gaps;
    this.#mark();
  }

  /** Return the anomalies by the open time of their bar. */
  get anomaliesByBar() {
    return this.#bars === null ? new Map() : byBar(this.#bars, this.#anomalies);
  }

  /** Put the cursor on a bar, and bring that into view. */
  point(index) {
    const bar = this.#bars.at(index);
    if (bar === undefined) return;
    const scale = this.chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    const by = index < from + 1 ? index - from - 2 : index > to - 1 ? index - to + 2 : 0;
    if (by !== 0) scale.setVisibleLogicalRange({ from: from + by, to: to + by });
    this.chart.setCrosshairPosition(toDraw(bar.close) ?? 0, toChart(bar.open_time), this.candles);
    this.#isPointed = true;
    this.onHover(bar);
  }

  unpoint() {
    this.#isPointed = false;
    this.chart.clearCrosshairPosition();
    this.onHover(null);
  }

  /** Show so many times as much; the last bar in sight stays. */
  zoom(by) {
    const scale = this.chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    scale.setVisibleLogicalRange({ from: to - Math.max(10, (to - from) * by), to });
  }

  #candle(bar) {
    const time = toChart(bar.open_time);
    if (bar.open === null) return { time };
    const color = this.#color(bar);
    // Hollow: it can still change.
    const body = bar.is_final ? color : faded(color, 0.04);
    return {
      time, open: toDraw(bar.open), high: toDraw(bar.high), low: toDraw(bar.low),
      close: toDraw(bar.close), color: body, borderColor: color, wickColor: color,
    };
  }

  #column(bar) {
    const color = faded(this.#color(bar), bar.is_final ? 0.55 : 0.25);
    return { time: toChart(bar.open_time), value: toDraw(bar.volume), color };
  }

  #color(bar) {
    return sign(minus(bar.close, bar.open)) < 0 ? this.colors.down : this.colors.up;
  }

  #format() {
    const last = this.#bars.all.slice(-200).filter((bar) => bar.close !== null);
    const precision = Math.min(10, Math.max(2, ...last.map((bar) => digits(bar.close))));
    const minMove = Number(`1e-${precision}`);
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove } });
  }

  #markNow() {
    if (this.#bars === null) return;
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const width = range ? this.box.clientWidth / (range.to - range.from) : 0;
    const ranges = missing(this.#bars, this.#gaps);
    const found = signs(
      this.#bars, this.anomaliesByBar, this.colors, toChart, width >= ROOM_FOR_TEXT_PX,
    );
    this.markers.setMarkers(found);
    this.bands.set(ranges, this.colors.missing);
  }

  #paint() {
    const colors = (this.colors = palette());
    const faint = faded(colors.line, 0.5);
    this.chart.applyOptions({
      layout: {
        background: { type: "solid", color: colors.panel }, textColor: colors.dim,
        fontFamily: getComputedStyle(document.body).fontFamily,
        panes: { separatorColor: colors.line },
      },
      grid: { vertLines: { color: faint }, horzLines: { color: faint } },
      crosshair: {
        vertLine: { color: colors.dim, labelBackgroundColor: colors.accent },
        horzLine: { color: colors.dim, labelBackgroundColor: colors.accent },
      },
      timeScale: { borderColor: colors.line },
      rightPriceScale: { borderColor: colors.line },
    });
    if (this.#bars !== null) this.redraw();
  }
}

const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
