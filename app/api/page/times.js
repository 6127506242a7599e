// Times are microseconds since 1970, UTC; they are shown in UTC, too.

const two = (number) => String(number).padStart(2, "0");

/** Return `2026-11-21`. */
export function day(us) {
  const at = new Date(us / 1000);
  return `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
}

/** Return `10:00:00`. */
export function clock(us) {
  const at = new Date(us / 1000);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
}

/** Return `2026-11-21 10:00:00`. */
export const moment = (us) => (us === null || us === undefined ? "–" : `${day(us)} ${clock(us)}`);

/** Return what the chart calls a time: whole seconds. */
export const toChart = (us) => Math.floor(us / 1e6);

/** Return the last microsecond of a chart's time. */
export const fromChart = (seconds) => seconds * 1e6 + 999_999;

/** Return a duration in its one or two largest units: `4.2 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
