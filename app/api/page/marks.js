// What is marked on the chart: revisions and anomalies as signs, missing trades as bands.

const SHAPES = { info: "circle", warning: "square", critical: "arrowDown" };
const SEVERITIES = ["info", "warning", "critical"];

/** Return an anomaly's severity, one that is known. */
export const severityOf = (anomaly) =>
  SEVERITIES.includes(anomaly.severity) ? anomaly.severity : "info";

/** Return the anomalies by the open time of the bar in which each one was. */
export function byBar(bars, anomalies) {
  const found = new Map();
  for (const anomaly of anomalies) {
    const bar = bars.at(bars.indexAt(anomaly.event_time));
    if (bar === undefined || anomaly.event_time >= bar.close_time) continue;
    const held = found.get(bar.open_time);
    if (held) held.push(anomaly);
    else found.set(bar.open_time, [anomaly]);
  }
  return found;
}

/**
 * Return the signs, oldest first: a bar's worst anomaly above it, its revision below it.
 *
 * @param toChart Makes the chart's time of microseconds.
 * @param hasText Whether there is room for words.
 */
export function signs(bars, anomaliesByBar, colors, toChart, hasText) {
  const found = [];
  for (const bar of bars.all) {
    const time = toChart(bar.open_time);
    const anomalies = anomaliesByBar.get(bar.open_time);
    if (anomalies) {
      const worst = Math.max(...anomalies.map((each) => SEVERITIES.indexOf(severityOf(each))));
      const severity = SEVERITIES[worst];
      const text = anomalies.length > 1 ? String(anomalies.length) : "";
      found.push({
        time, position: "aboveBar", shape: SHAPES[severity], color: colors[severity],
        text: hasText ? text : "", size: 1,
      });
    }
    if (bar.revision > 1) {
      const text = hasText ? `r${bar.revision}` : "";
      found.push({
        time, position: "belowBar", shape: "circle", color: colors.revised, text, size: 0.6,
      });
    }
  }
  return found;
}

/** Return the `[first, last]` indexes of bars in which trades are missing. */
export function missing(bars, gaps) {
  const indexes = new Set();
  bars.all.forEach((bar, index) => {
    if (!bar.complete) indexes.add(index);
  });
  for (const gap of gaps) {
    if (gap.repaired_at !== null || bars.size === 0) continue;
    if (gap.before_time < bars.first.open_time || gap.after_time >= bars.last.close_time) continue;
    const first = Math.max(0, bars.indexAt(gap.after_time));
    for (let index = first; index <= bars.indexAt(gap.before_time); index++) indexes.add(index);
  }
  const ranges = [];
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range?.[1] === index - 1) range[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}

/** Return what is odd about a bar, in words. */
export function remarks(bar, anomalies = []) {
  const found = [];
  if (!bar.is_final) found.push("provisional");
  if (bar.revision > 1) found.push(`revised (r${bar.revision}, ${bar.reason})`);
  if (!bar.complete) found.push("trades missing");
  if (bar.partial) found.push("series begins in it");
  if (bar.late > 0) found.push(`${bar.late} late`);
  for (const each of anomalies) found.push(`${each.kind} (${each.severity})`);
  return found;
}
