// The sessions of the day on one time axis, from midnight to midnight UTC.

import { clockText, duration, momentText, now } from "./clock.js";
import { make, moment, mood, style, text } from "./dom.js";

const DAY = 86_400_000, HOUR = 3_600_000;
let rows = [];
let built = "";

function build(box, sessions) {
  rows = sessions.map((session) => {
    const name = make("h3", "", session.name);
    const members = make("span", "muted", session.currencies.join(" "));
    const state = make("p", "state");
    const detail = make("p", "small");
    const track = make("div", "track");
    track.setAttribute("aria-hidden", "true");
    return { state, detail, track, head: make("div", "who", name, members), session };
  });
  const axis = make("div", "axis");
  axis.setAttribute("aria-hidden", "true");
  for (let hour = 0; hour <= 24; hour += 6) {
    const tick = make("span", "", String(hour).padStart(2, "0"));
    style(tick, "left", `${(100 * hour) / 24}%`);
    axis.append(tick);
  }
  box.replaceChildren(...rows.map((row) => make("div", "session", row.head, make("div", "", row.state, row.detail), row.track)), make("div", "session ends", make("span"), make("span"), axis));
}

export function showSessions(box, page) {
  const { sessions, enabled } = page.sessions;
  const names = `${enabled} ${sessions.map((one) => one.name + one.currencies).join()}`;
  if (names !== built) {
    build(box, sessions);
    built = names;
  }
  const at = now();
  const midnight = at - (at % DAY);
  sessions.forEach((session, index) => {
    const row = rows[index];
    const next = session.openings.find(([, close]) => close > at);
    const open = next !== undefined && next[0] <= at;
    mood(row.state, open ? "good" : "off", open ? "open" : "closed");
    if (next) say(row.detail, open ? "closes " : "opens ", next[open ? 1 : 0], `, in ${duration(next[open ? 1 : 0] - at)}`);
    bars(row.track, session.openings, midnight);
    let line = row.track.querySelector(".now");
    if (!line) row.track.append((line = make("span", "now")));
    style(line, "left", `${((100 * (at - midnight)) / DAY).toFixed(2)}%`);
  });
}

function say(node, before, ms, after) {
  if (node.childNodes.length !== 3) node.replaceChildren(before, make("time"), after);
  const [first, middle, last] = node.childNodes;
  if (first.data !== before) first.data = before;
  moment(middle, ms, momentText(ms));
  if (last.data !== after) last.data = after;
}

function bars(track, openings, midnight) {
  const today = openings.filter(([start, end]) => end > midnight && start < midnight + DAY);
  const wanted = `${midnight} ${today.join()}`;
  if (track.dataset.drawn === wanted) return;
  track.dataset.drawn = wanted;
  track.replaceChildren(...today.map(([start, end]) => {
    const bar = make("span", "opening");
    const first = Math.max(start, midnight), last = Math.min(end, midnight + DAY);
    style(bar, "left", `${(100 * (first - midnight)) / DAY}%`);
    style(bar, "width", `${(100 * (last - first)) / DAY}%`);
    bar.title = `${clockText(start)} to ${clockText(end)} UTC, ${(end - start) / HOUR} h`;
    return bar;
  }));
}
