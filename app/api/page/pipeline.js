// Health of feeds and pipeline, asked for every two seconds; a role may be too low for it.

import { by, el, say } from "./dom.js";
import { duration } from "./times.js";

const EVERY_MS = 2_000;
const REFUSED_EVERY_MS = 30_000;
const HISTORY = 60; // points of the line
const TICKS = "ticks.raw.v1";

export class Pipeline {
  #rates = [];

  constructor(api) {
    this.api = api;
  }

  async start() {
    for (;;) {
      const wait = document.hidden ? EVERY_MS : await this.#turn();
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** Ask and show; return when to ask again. */
  async #turn() {
    const ask = (name) => this.api.get(`api/pipeline/${name}`, {}, { asks: false });
    try {
      const names = ["stats", "health", "feed-health", "alerts"];
      const [stats, health, feeds, alerts] = await Promise.all(names.map(ask));
      this.#say("");
      this.#showStats(stats.data);
      this.#showHealth(health.data);
      this.#showFeeds(feeds.data);
      this.#showAlerts(alerts.data);
      return EVERY_MS;
    } catch (problem) {
      return this.#refused(problem);
    }
  }

  #refused(problem) {
    if (problem.status === 401 || problem.status === 403) {
      this.#say(
        "These figures are for operators. Your access does not include them; with a key of the "
          + "role ops they appear here.",
      );
      return REFUSED_EVERY_MS;
    }
    this.#say(problem.status === 0 ? "The API cannot be reached; these figures may be old."
      : `These figures cannot be had now: ${problem.message}`, { keeps: true });
    return Math.max(EVERY_MS, (problem.retryAfterS ?? 0) * 1000);
  }

  #say(text, { keeps = false } = {}) {
    say(by("pipeline-note"), text);
    by("pipeline-note").hidden = text === "";
    by("pipeline-figures").hidden = text !== "" && !keeps;
  }

  #showStats({ records_per_s: rates, lag_records: lag, ...stats }) {
    const rate = rates[TICKS] ?? 0;
    this.#rates = [...this.#rates, rate].slice(-HISTORY);
    say(by("tick-rate"), rate.toFixed(rate < 100 ? 1 : 0));
    this.#line();
    by("rates").replaceChildren(...Object.entries(rates).map(([topic, each]) =>
      el("tr", {}, el("th", { scope: "row" }, topic), el("td", { class: "num" }, each.toFixed(1)))));
    const lags = Object.entries(lag).flatMap(([role, topics]) =>
      Object.entries(topics).map(([topic, records]) =>
        el("tr", {}, el("th", { scope: "row" }, role), el("td", {}, topic),
          el("td", { class: "num" }, String(records)))));
    by("lags").replaceChildren(...lags);
    const facts = [
      `${stats.series} series`, `${stats.clients} clients`, `${stats.subscriptions} subscriptions`,
      `API up ${duration(stats.up_s)}`,
    ];
    say(by("pipeline-facts"), facts.join(" · "));
  }

  #line() {
    const most = Math.max(1, ...this.#rates);
    const points = this.#rates.map((rate, index) => {
      const x = ((HISTORY - this.#rates.length + index) / (HISTORY - 1)) * 120;
      return `${x.toFixed(1)},${(27 - (rate / most) * 25).toFixed(1)}`;
    });
    by("tick-line").setAttribute("points", points.join(" "));
  }

  #showHealth({ status, parts }) {
    say(by("health-status"), status);
    by("health-status").className = `severity ${status === "ok" ? "ok" : "warning"}`;
    by("health-parts").replaceChildren(...Object.entries(parts).map(([name, part]) => {
      const age = part.age_s === undefined ? "" : `, ${duration(part.age_s)} behind`;
      return el("li", { class: part.status === "ok" ? "ok" : "bad" },
        el("strong", {}, name), ` ${part.status}${age}`);
    }));
  }

  #showFeeds(feeds) {
    by("feeds-none").hidden = feeds.length > 0;
    by("feeds").replaceChildren(...feeds.map((feed) =>
      el("tr", {},
        el("th", { scope: "row" }, feed.venue),
        el("td", {}, el("span", { class: `severity ${feed.status === "live" ? "ok" : "warning"}` },
          feed.status)),
        el("td", { class: "num" }, feed.silent_s === null ? "–" : `${feed.silent_s.toFixed(1)} s`),
        el("td", { class: "num" }, String(feed.series)),
        el("td", { class: "num" }, String(feed.open_gaps)))));
  }

  #showAlerts(alerts) {
    by("alerts-none").hidden = alerts.length > 0;
    const severity = (word) => (word === "critical" ? "critical" : "warning");
    by("alerts").replaceChildren(...alerts.map((alert) =>
      el("li", {}, el("span", { class: `severity ${severity(alert.severity)}` }, alert.severity),
        el("span", { class: "what" }, el("strong", {}, alert.alert),
          el("span", { class: "detail" }, alert.detail)))));
  }
}
