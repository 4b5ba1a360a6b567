// The overview.

import { countdown, duration, momentText, now } from "./clock.js";
import { attribute, byId, make, mood, percent, say, style, text } from "./dom.js";
import { gateOf, gatesOld, silent, start, weekOf } from "./frame.js";
import { connect, current } from "./live.js";
import { showSessions } from "./sessions.js";
import { COLUMNS, FILTERS, head, Row } from "./table.js";

const rows = new Map();
const near = new Set(); // names of rows on the screen, or close to it
const sight = new IntersectionObserver((entries) => {
  const page = current();
  for (const { target, isIntersecting } of entries) {
    const name = target.dataset.name;
    if (!isIntersecting) near.delete(name);
    else if (rows.has(name) && page) {
      near.add(name);
      rows.get(name).tick(page.instruments[name], page);
    }
  }
}, { rootMargin: "300px" });
const TURNS = 10; // rows out of sight tick in turns, each of them once in so many seconds
let turn = 0;
const view = { find: "", show: "all", order: "", back: false };

// ---- at a glance

const tile = (id) => {
  const node = byId(id);
  return { big: node.querySelector(".big"), small: node.querySelector(".small"), next: node.querySelector(".next") };
};
const tiles = Object.fromEntries(["kill", "leader", "data", "gates", "allocation"].map((id) => [id, tile(id)]));

function showGlance(page) {
  const at = now();
  const { daemon, gates, allocation } = page;
  showKill(page.kill_switch);
  showLeader(daemon);
  showData(page, at);
  const unknown = gates.evaluated_ts === null || gatesOld(page);
  const open = Object.values(page.instruments).filter((row) => gateOf(row, page).word === "open").length;
  mood(tiles.gates.big, unknown ? "unknown" : open ? "good" : "off", unknown ? "Unknown" : `${open} of ${gates.of} open`);
  if (gates.evaluated_ts === null) text(tiles.gates.small, "never evaluated, or expired");
  else say(tiles.gates.small, "evaluated ", gates.evaluated_ts, `, ${duration(at - gates.evaluated_ts)} ago`);
  showNext(tiles.gates.next, "next evaluation", gates.next_at, at);
  showAllocator(allocation, at);
}

// While the daemon is silent nothing is certain any more: what it said last is told as that.
const told = (big, kind, words) => (silent() ? mood(big, "unknown", `${words}, when last heard`) : mood(big, kind, words));

function showKill(kill) {
  const engaged = kill.engaged !== false;
  told(tiles.kill.big, engaged ? "bad" : "good", kill.engaged === null ? (kill.words.startsWith("missing") ? "Missing" : "Not known") : engaged ? "Engaged" : "Released");
  text(tiles.kill.small, kill.engaged === true ? "no weight rises; hotbandd kill release" : kill.engaged === null ? kill.words : "weights may rise and fall");
}

function showLeader(daemon) {
  if (daemon.holder === null) told(tiles.leader.big, "bad", "Nobody");
  else told(tiles.leader.big, daemon.leading ? "good" : "off", daemon.leading ? "This daemon" : "Another daemon");
  text(tiles.leader.small, daemon.holder === null ? "nothing is published" : daemon.leading ? daemon.holder : `${daemon.holder}; this one stands by`);
}

function showData(page, at) {
  const all = Object.values(page.instruments);
  const stamps = all.map((row) => row.candle_at).filter((stamp) => stamp !== null);
  if (stamps.length === 0) {
    mood(tiles.data.big, "unknown", "None yet");
    text(tiles.data.small, "no candle is known");
    return;
  }
  const age = at - Math.max(...stamps);
  const open = all.filter((row) => row.session_open);
  const oldest = open.length ? at - Math.min(...open.map((row) => row.candle_at ?? 0)) : null;
  const old = oldest !== null && oldest > page.stale_after_ms;
  mood(tiles.data.big, old ? "bad" : open.length ? "good" : "off", `${duration(age)} old`);
  if (open.length === 0) text(tiles.data.small, weekOf(page).open ? "newest candle; no session is open" : "newest candle; the market is closed");
  else text(tiles.data.small, oldest > at / 2 ? "newest candle; some have none" : `newest candle; oldest where open ${duration(oldest)}`);
}

function showAllocator(allocation, at) {
  const { big, small, next } = tiles.allocation;
  if (allocation.reason === null) told(big, "unknown", "No report");
  else if (allocation.held) told(big, "warn", `Holding for ${duration(at - allocation.held_since)}`);
  else told(big, "good", `${percent(allocation.total)} of the book`);
  text(small, allocation.words);
  showNext(next, "next allocation", allocation.next_at, at);
}

function showNext(node, what, moment, at) {
  if (silent()) text(node, `${what} not known`);
  else text(node, `${what} in ${countdown(moment - at)}`);
}

// ---- weights

function bar(label, share, full, mark, note) {
  const fill = make("span", "fill");
  style(fill, "width", `${Math.min(100, (100 * share) / full)}%`);
  const limit = make("span", "limit");
  style(limit, "left", `${Math.min(100, (100 * mark) / full)}%`);
  const track = make("div", "track", fill, limit);
  track.setAttribute("aria-hidden", "true");
  return make("li", "", make("span", "label", label), track, make("span", "value", percent(share)), make("span", "small", note));
}

let weighed = "";

function showWeights(page) {
  const { weights, total, target, cap, weights_ts, held_closed } = page.allocation;
  const wanted = JSON.stringify([weights, total, target, cap, weights_ts, held_closed, momentText(weights_ts ?? 0)]);
  if (wanted === weighed) return;
  weighed = wanted;
  const box = byId("weights");
  const given = Object.entries(weights).sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
  const full = Math.max(cap, ...given.map(([, share]) => share)) * 1.08;
  const items = given.map(([name, share]) => bar(name.replace("_", "/"), share, full, cap, held_closed.includes(name) ? "on a shut gate" : `of at most ${percent(cap, 0)}`));
  const sum = bar("Together", total, Math.max(target, total) * 1.08, target, `of at most ${percent(target, 0)}`);
  sum.className = "sum";
  const when = make("p", "small");
  if (weights_ts === null) text(when, "No weights were published yet.");
  else say(when, given.length ? "Published " : "Nothing is allocated; published ", weights_ts, " UTC.");
  box.replaceChildren(make("ul", "bars", ...items, sum), when);
}

// ---- the table

const body = document.querySelector("#table tbody");

function syncRows(page) {
  for (const name of Object.keys(page.instruments)) {
    if (rows.has(name)) continue;
    const row = new Row(name);
    rows.set(name, row);
    sight.observe(row.node);
  }
  for (const [name, row] of rows) {
    if (name in page.instruments) continue;
    row.node.remove();
    sight.unobserve(row.node);
    near.delete(name);
    rows.delete(name);
  }
}

function arrange(page) {
  const words = view.find.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const passes = FILTERS[view.show] ?? FILTERS.all;
  const names = Object.keys(page.instruments).filter((name) => {
    const row = page.instruments[name];
    return passes(row, page) && words.every((word) => rows.get(name).words.includes(word));
  });
  const column = COLUMNS.find((one) => one.id === view.order);
  if (column) {
    const keys = new Map(names.map((name) => [name, column.key(page.instruments[name], name)]));
    const order = (one, other) => (keys.get(one) < keys.get(other) ? -1 : keys.get(one) > keys.get(other) ? 1 : one < other ? -1 : 1);
    names.sort((one, other) => (view.back ? -order(one, other) : order(one, other)));
  }
  place(names);
  const all = rows.size;
  text(byId("count"), names.length === all ? `${all} ${all === 1 ? "instrument" : "instruments"}` : `${names.length} of ${all} instruments`);
}

// Rows move only where their order is another one: moving takes the focus away.
function place(names) {
  const wanted = new Set(names);
  for (const [name, row] of rows) if (!wanted.has(name) && row.node.parentNode) row.node.remove();
  let before = body.firstElementChild;
  for (const name of names) {
    const { node } = rows.get(name);
    if (node === before) before = before.nextElementSibling;
    else body.insertBefore(node, before);
  }
}

function sortBy(id) {
  if (view.order === id && !view.back) view.back = true;
  else if (view.order === id) Object.assign(view, { order: "", back: false });
  else Object.assign(view, { order: id, back: false });
  showView();
}

function showView() {
  COLUMNS.forEach((column, index) => {
    const cell = document.querySelectorAll("#table thead th")[index];
    attribute(cell, "aria-sort", column.id === view.order ? (view.back ? "descending" : "ascending") : null);
  });
  byId("find").value = view.find;
  byId("show").value = view.show;
  byId("order").value = view.order;
  const kept = new URLSearchParams(Object.entries({ find: view.find, show: view.show === "all" ? "" : view.show, order: view.order, back: view.back ? "1" : "" }).filter(([, value]) => value));
  const hash = kept.toString();
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  if (current()) arrange(current());
}

function readView() {
  const kept = new URLSearchParams(location.hash.slice(1));
  view.find = kept.get("find") ?? "";
  view.show = kept.get("show") in FILTERS ? kept.get("show") : "all";
  view.order = COLUMNS.some((column) => column.id === kept.get("order")) ? kept.get("order") : "";
  view.back = kept.has("back");
}

document.querySelector("#table thead").append(head(sortBy));
byId("order").append(new Option("as set", ""), ...COLUMNS.map((column) => new Option(column.label.toLowerCase() === column.label ? column.label : column.label, column.id)));
byId("find").addEventListener("input", (event) => ((view.find = event.target.value), showView()));
byId("show").addEventListener("change", (event) => ((view.show = event.target.value), showView()));
byId("order").addEventListener("change", (event) => (Object.assign(view, { order: event.target.value, back: false }), showView()));
addEventListener("hashchange", () => (readView(), showView()));

// ---- all together

function tick(page) {
  showGlance(page);
  showSessions(byId("sessions"), page);
  showWeights(page);
  turn = (turn + 1) % TURNS;
  let index = 0;
  for (const [name, row] of rows) if (near.has(name) || index++ % TURNS === turn) row.tick(page.instruments[name], page);
}

readView();
showView();
const draw = start(tick, current);
connect((names) => {
  const page = current();
  syncRows(page);
  for (const name of names ?? Object.keys(page.instruments)) rows.get(name)?.fill(page.instruments[name], page);
  arrange(page);
  draw();
});
