// Calls of the REST API, with the key that was given; what it refuses is a Problem.

/** What the API answers instead of data: RFC 9457, or that it could not be reached (status 0). */
export class Problem extends Error {
  constructor(status, title, detail = "", retryAfterS = null) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.retryAfterS = retryAfterS;
  }
}

const UNSAFE = /[:,[]-?(?:9\d{15}|\d{17,})/; // times have 16 digits, too, but begin with 1

/** Return the value of JSON; whole numbers that a double cannot hold stay text. */
export function parse(text) {
  if (!UNSAFE.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value,
  );
}

export class Api {
  /**
   * @param access Knows the key, and asks people for one.
   * @param noteAge Told `(source, age_s, stale)` of every answer.
   */
  constructor(access, noteAge) {
    this.access = access;
    this.noteAge = noteAge;
  }

  /**
   * Return the envelope of an answer: data, source, age_s, stale, next.
   *
   * A 401 asks for a key and tries again, unless `asks` is false; other refusals, and a network
   * that does not answer, throw a Problem.
   */
  async get(path, query = {}, { signal, asks = true } = {}) {
    const url = new URL(path, document.baseURI);
    for (const [name, value] of Object.entries(query)) {
      if (value !== null && value !== undefined) url.searchParams.set(name, value);
    }
    for (;;) {
      const shown = this.access.key;
      const response = await this.#fetch(url, shown, signal);
      if (response.ok) {
        const envelope = parse(await response.text());
        this.noteAge(envelope.source, envelope.age_s, envelope.stale);
        return envelope;
      }
      const problem = await problemOf(response);
      if (problem.status !== 401 || !asks) throw problem;
      await this.access.ask(shown, problem.message);
    }
  }

  async #fetch(url, key, signal) {
    const headers = { Accept: "application/json" };
    if (key) headers.Authorization = `Bearer ${key}`;
    try {
      return await fetch(url, { headers, signal, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "No answer", "The API cannot be reached.");
    }
  }
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // No problem+json: a proxy's page, for instance.
  }
  const wait = Number(response.headers.get("Retry-After")) || null;
  return new Problem(
    response.status, body.title ?? `Status ${response.status}`, body.detail ?? "", wait,
  );
}
