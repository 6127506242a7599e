// Arithmetic on decimals that stay text: "9401.83" minus "9401.75" is "0.08", exactly.

const FORM = /^(-?)(\d+)(?:\.(\d+))?$/;

function scaled(text, digits) {
  const [, sign, whole, fraction = ""] = FORM.exec(text);
  return BigInt(sign + whole + fraction.padEnd(digits, "0"));
}

/** Return how many digits a decimal has behind its point. */
export const digits = (text) => FORM.exec(text)?.[3]?.length ?? 0;

/** Return a - b as text, with the longer one's digits; null when either is missing. */
export function minus(a, b) {
  if (a === null || b === null || a === undefined || b === undefined) return null;
  const places = Math.max(digits(a), digits(b));
  const difference = scaled(a, places) - scaled(b, places);
  const text = String(difference < 0n ? -difference : difference).padStart(places + 1, "0");
  const sign = difference < 0n ? "-" : "";
  if (places === 0) return sign + text;
  return `${sign}${text.slice(0, -places)}.${text.slice(-places)}`;
}

/** Return -1, 0 or 1; 0 for a missing value. */
export function sign(text) {
  if (text === null || text === undefined) return 0;
  if (/^-?[0.]*$/.test(text)) return 0;
  return text.startsWith("-") ? -1 : 1;
}

/** Return a number to draw with; never to show. */
export const toDraw = (text) => (text === null || text === undefined ? null : Number(text));

/** Return the text with its sign, also when that is a plus; a real minus reads better. */
export function signed(text) {
  if (text === null || text === undefined) return "–";
  const way = sign(text);
  return way > 0 ? `+${text}` : way < 0 ? `−${text.slice(1)}` : text;
}

/** Return what is shown for a value that may be missing. */
export const shown = (value) => (value === null || value === undefined ? "–" : String(value));
