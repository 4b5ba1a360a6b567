// The table of instruments: one row each, filled cell by cell, and only where something changed.

import { countdown, duration, now } from "./clock.js";
import { attribute, className, make, mood, number, percent, say, signed, style, text } from "./dom.js";
import { bullet, sparkline } from "./draw.js";
import { gateOf, isOld } from "./frame.js";

const METRICS = [["C", "coherence", "≥"], ["S", "stability", "≥"], ["H", "entropy", "≤"], ["R", "rupture", "≤"]];
const FIGURES = [
  ["trades", "Trades", "trades, 30 days", 8, (value) => number(value, 0), (value) => number(value, value % 1 ? 1 : 0)],
  ["calmar", "Calmar", "calmar, 30 days", 0.1, (value) => number(value), (value) => number(value)],
  ["pnl", "Return", "pnl, 30 days", 0.01, (value) => signed(value), (value) => signed(value)],
];

const figure = (row, name) => row.figures.find((one) => one.name === name);
const guard = (row, name) => row.guards.find((one) => one.name === name);
const last = (value) => (value === null || value === undefined ? -Infinity : value);

export const COLUMNS = [
  { id: "name", label: "Instrument", key: (row, name) => name },
  { id: "gate", label: "Gate", key: (row) => -(row.gate ?? -1) },
  { id: "why", label: "Why", key: (row) => row.reasons.map((one) => one.brief).join() },
  { id: "weight", label: "Weight", numeric: true, key: (row) => -last(row.weight) },
  { id: "session", label: "Session", key: (row) => (row.session_open ? 0 : 1e15) + (row.session_changes_at ?? 0) },
  { id: "passes", label: "Counters", title: "Passes or fails in a row, misses, cooldown; and the buffer around the floors", key: (row) => -row.passes + row.fails },
  ...METRICS.map(([id, name]) => ({ id, label: id, title: `${name}, the last 24 hours and now`, numeric: true, key: (row) => -last(row.measured?.[id]) })),
  ...FIGURES.map(([id, label, name]) => ({ id, label, title: `${name}, against its floor`, numeric: true, key: (row) => -last(figure(row, name)?.value) })),
];

export function head(sort) {
  const buttons = COLUMNS.map((column) => {
    const button = make("button", "", column.label);
    button.type = "button";
    if (column.title) button.title = column.title;
    button.addEventListener("click", () => sort(column.id));
    const cell = make("th", `c-${column.id}${column.numeric ? " numeric" : ""}`, button);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    return cell;
  });
  const line = make("tr", "", ...buttons);
  line.setAttribute("role", "row");
  return line;
}

export class Row {
  constructor(name) {
    this.name = name;
    this.words = "";
    this.node = make("tr");
    this.node.setAttribute("role", "row");
    this.node.dataset.name = name;
    this.cells = {};
    for (const column of COLUMNS) this.#cell(column);
    const link = make("a", "", name.replace("_", "/"));
    link.href = `/instrument/${encodeURIComponent(name)}`;
    this.price = make("span", "small");
    this.age = make("span", "small age");
    this.cells.name.append(link, make("div", "under", this.price, this.age));
    this.gate = make("span", "chip");
    this.cells.gate.append(this.gate);
    this.session = [make("span", "state"), make("div", "small")];
    this.cells.session.append(...this.session);
    this.counters = [make("div"), make("div", "small"), make("div", "small")];
    this.cells.passes.append(...this.counters);
    this.metrics = METRICS.map(([id]) => {
      const drawn = sparkline();
      const value = make("span", "value");
      this.cells[id].append(make("div", "metric", drawn.svg, value));
      return { drawn, value };
    });
    this.figures = FIGURES.map(([id]) => {
      const drawn = bullet();
      const value = make("span", "value"), floor = make("span", "small");
      this.cells[id].append(make("div", "figure", value, drawn.svg, floor));
      return { drawn, value, floor };
    });
    this.bar = make("span", "fill");
    const track = make("span", "weightbar", this.bar);
    track.setAttribute("aria-hidden", "true");
    this.weight = make("span", "value");
    this.note = make("span", "small");
    this.cells.weight.append(make("div", "figure", this.weight, track, this.note));
  }

  #cell(column) {
    const first = column.id === "name";
    const cell = make(first ? "th" : "td", `c-${column.id}${column.numeric ? " numeric" : ""}`);
    cell.setAttribute("role", first ? "rowheader" : "cell");
    if (first) cell.scope = "row";
    else cell.dataset.label = column.label;
    this.cells[column.id] = cell;
    this.node.append(cell);
  }

  // What changes with the data.
  fill(row, page) {
    const { measured } = row;
    text(this.price, measured ? measured.price : "");
    const why = row.gate === 1 ? [] : row.reasons.map((one) => one.brief);
    text(this.cells.why, row.gate === 1 ? `${row.passes} ${row.passes === 1 ? "pass" : "passes"} in a row` : why.join(", "));
    this.cells.why.classList.toggle("muted", row.gate === 1);
    attribute(this.cells.why, "title", [...row.reasons.map((one) => `${one.words}.`), ...row.flip].join(" ") || null);
    this.words = `${this.name} ${this.name.replace("_", "/")} ${why.join(" ")} ${row.reasons.map((one) => one.words).join(" ")}`.toLowerCase();
    const run = row.eligible ? [row.fails, "fail"] : [row.passes, "pass"];
    text(this.counters[0], `${"●".repeat(Math.min(run[0], row.required))}${"○".repeat(Math.max(0, row.required - run[0]))} ${run[0]} of ${row.required} ${run[1]}${row.required === 1 ? "" : run[1] === "pass" ? "es" : "s"}`);
    text(this.counters[1], row.buffer === null ? "" : `buffer ${number(row.buffer)}`);
    this.misses = `${row.misses} ${row.misses === 1 ? "miss" : "misses"}`;
    METRICS.forEach(([id, name, sign], index) => {
      const { drawn, value } = this.metrics[index];
      const held = guard(row, name);
      const present = measured ? measured[id] : null;
      drawn.draw(page.days[this.name]?.[id], present, held?.bound ?? null);
      text(value, present === null ? "–" : `${number(present)}${held ? (held.met ? " ✓" : " ✗") : ""}`);
      attribute(value, "data-met", held ? String(held.met) : null);
      attribute(value, "title", held ? `${name} ${sign} ${held.spec}: ${held.met ? "met" : "not met"}` : null);
    });
    FIGURES.forEach(([, , name, least, show, bound], index) => {
      const { drawn, value, floor } = this.figures[index];
      const found = figure(row, name);
      drawn.draw(found, least);
      text(value, found ? `${show(found.value)}${{ passes: " ✓", "dead band": " –", fails: " ✗" }[found.stands]}` : "–");
      attribute(value, "title", found ? `${name}: ${found.stands}; floor from ${found.origin}` : null);
      text(floor, found ? `floor ${bound(found.floor)}` : "");
    });
    const share = row.weight ?? 0;
    text(this.weight, row.weight === null ? "–" : share ? percent(share) : "0");
    style(this.bar, "width", `${Math.min(100, (100 * share) / page.allocation.cap).toFixed(1)}%`);
    text(this.note, row.held_closed ? "gate shut" : share ? `cap ${percent(page.allocation.cap, 0)}` : "");
    className(this.note, row.held_closed ? "small warned" : "small");
    this.tick(row, page);
  }

  // What changes with time.
  tick(row, page) {
    const at = now();
    const gate = gateOf(row, page);
    mood(this.gate, gate.mood, gate.word);
    const old = isOld(row, page);
    const stamp = row.measured?.ts ?? row.candle_at;
    text(this.age, stamp === null ? "no data" : `${old ? "▲ " : ""}${duration(at - stamp)} old`);
    className(this.age, old ? "small age warned" : "small age");
    className(this.node, old ? "old" : "");
    mood(this.session[0], row.session_open ? "good" : "off", row.session_open ? "open" : "closed");
    if (row.session_changes_at === null) text(this.session[1], "");
    else say(this.session[1], row.session_open ? "closes in " : "opens in ", duration(row.session_changes_at - at));
    this.session[1].title = row.session_changes_at === null ? "" : new Date(row.session_changes_at).toUTCString();
    const cooling = row.cooldown_until !== null && row.cooldown_until > at;
    text(this.counters[2], cooling ? `cools for ${countdown(row.cooldown_until - at)}` : this.misses);
    className(this.counters[2], cooling ? "small warned" : "small");
  }
}

export const FILTERS = {
  all: () => true,
  open: (row, page) => gateOf(row, page).word === "open",
  shut: (row, page) => gateOf(row, page).word === "shut",
  weight: (row) => (row.weight ?? 0) > 0,
  cooling: (row) => row.cooldown_until !== null && row.cooldown_until > now(),
  session: (row) => row.session_open,
  old: (row, page) => isOld(row, page),
};
