// The page put together: one symbol and timeframe are selected, everything else follows them.

import { Access } from "./access.js";
import { Anomalies } from "./anomalies.js";
import { Api } from "./api.js";
import { BarTable } from "./bartable.js";
import { Chart } from "./chart.js";
import { atMostEvery, by, oncePerFrame, say } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Gaps } from "./gaps.js";
import { History } from "./history.js";
import { Inspector } from "./inspector.js";
import { Keys } from "./keys.js";
import { Pipeline } from "./pipeline.js";
import { Quote } from "./quote.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import { FIRST, Timeframes, isKnown } from "./timeframes.js";
import { Watchlist } from "./watchlist.js";

const TABLE_EVERY_MS = 1_000;
const INSPECT_EVERY_MS = 250;

const access = new Access();
const status = new Status(() => stream.retry());
const noteAge = (...age) => status.age(...age);
const api = new Api(access, noteAge);
const stream = new Stream(
  access, () => api.get("api/symbols"), (connection) => status.connection(connection), noteAge,
);

const selected = { name: null, timeframe: FIRST };
let history = null;
let pointed = null; // open time of the bar under the cursor

const inspector = new Inspector();
const table = new BarTable();
const chart = new Chart(by("chart"), {
  onHover: (bar) => {
    pointed = bar?.open_time ?? null;
    inspect();
  },
  onStart: () => history?.loadOlder(),
});
const drawer = new Drawer();
const quote = new Quote(stream);
const anomalies = new Anomalies(api, stream, (found) => {
  chart.anomalies = found;
  inspect();
  tabulate();
});
const gaps = new Gaps(api, (found) => (chart.gaps = found));
const timeframes = new Timeframes(api, (timeframe) => show(selected.name, timeframe));
const watchlist = new Watchlist(api, stream, (name) => {
  drawer.close();
  show(name, selected.timeframe);
});
new Keys(by("chart-box"), chart, () => history?.bars ?? null, () => history?.loadOlder());

const inspect = oncePerFrame(() => {
  if (history === null) return;
  const bar = history.bars.of(pointed) ?? history.bars.last ?? null;
  const found = chart.anomaliesByBar.get(bar?.open_time) ?? [];
  const before = bar === null ? undefined : history.bars.before(bar.open_time);
  inspector.show(bar, before, found, pointed !== null && bar?.open_time === pointed);
});

/** For what comes by itself: who reads, or copies, is not disturbed with every tick. */
const inspectSoon = atMostEvery(INSPECT_EVERY_MS, inspect);
const tabulate = atMostEvery(TABLE_EVERY_MS, () => {
  if (history !== null) table.show(history.bars, chart.anomaliesByBar);
});
by("bar-table").addEventListener("toggle", tabulate);

function show(name, timeframe) {
  const isOther = name !== selected.name;
  if (!isOther && timeframe === selected.timeframe) return;
  Object.assign(selected, { name, timeframe });
  globalThis.history.replaceState(null, "", `#${name}:${timeframe}`);
  history?.stop();
  pointed = null;
  say(by("chart-note"), "Loading bars …");
  by("chart-note").hidden = false;
  history = new History(api, stream, name, timeframe, (event) => heard(event));
  chart.show(history.bars);
  if (isOther) {
    watchlist.select(name);
    quote.follow(name);
    anomalies.follow(name);
    gaps.follow(name);
  } else {
    chart.gaps = gaps.mine;
    chart.anomalies = anomalies.mine;
  }
  timeframes.offer(name, timeframe);
  by("chart-box").setAttribute("aria-label", `Chart of ${name.replace("@", " at ")}, ${timeframe}`);
  history.start();
  inspect();
  tabulate();
}

function heard({ kind, bar, change, problem }) {
  if (kind === "reset" || change === "inserted") chart.redraw();
  else if (kind === "bar") chart.draw(bar);
  const note = by("chart-note");
  if (kind === "failed") say(note, `Bars cannot be had now: ${problem.message ?? problem.detail}`);
  else if (history.hasLoaded) say(note, history.bars.size === 0 ? "No bars yet." : "");
  note.hidden = note.textContent === "";
  inspectSoon();
  tabulate();
}

/** Return the symbol and timeframe of the address, where they are known. */
function wanted(names) {
  const [name, timeframe] = decodeURIComponent(location.hash.slice(1)).split(":");
  return [
    names.includes(name) ? name : names[0] ?? null, isKnown(timeframe) ? timeframe : FIRST,
  ];
}

async function start() {
  stream.retry();
  new Pipeline(api).start();
  for (;;) {
    try {
      const [name, timeframe] = wanted(await watchlist.start());
      if (name !== null) show(name, timeframe);
      else watchlist.onFirst = (first) => show(first, timeframe);
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
  globalThis.addEventListener("hashchange", () => {
    const [name, timeframe] = wanted(watchlist.names);
    if (name !== null) show(name, timeframe);
  });
}

start();
