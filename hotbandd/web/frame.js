// What every page has around it: the clock, the connection, the theme, and what is amiss.

import { duration, known, lastHeard, momentText, now, secondsText, silence, wholeText, localText } from "./clock.js";
import { attribute, byId, make, mood, text } from "./dom.js";

const SILENT_MS = 9000; // three beats of the daemon

export const silent = () => !known() || silence() > SILENT_MS;

// An open session without a fresh manifold, or, before the first one, without a fresh candle.
export function isOld(row, page) {
  const stamp = row.measured?.ts ?? row.candle_at;
  return row.session_open && (stamp === null || now() - stamp > page.stale_after_ms);
}

export const gatesOld = (page) => page.gates.evaluated_ts !== null && now() - page.gates.evaluated_ts > page.gates.max_age_sec * 1000;

// The gate as it reads now: what a reader may rely on, not what was once published.
export function gateOf(row, page) {
  if (row.gate === null || page.gates.evaluated_ts === null) return { word: "unknown", mood: "unknown" };
  if (gatesOld(page)) return { word: "unknown", mood: "unknown", old: true };
  return row.gate ? { word: "open", mood: "good" } : { word: "shut", mood: "off" };
}

export function weekOf(page) {
  const at = now();
  const next = page.sessions.week.find(([, close]) => close > at);
  if (!next) return { open: false, changes: null };
  return next[0] <= at ? { open: true, changes: next[1] } : { open: false, changes: next[0] };
}

// Sentences about what is amiss, the gravest first.
export function troubles(page) {
  const found = [];
  const at = now();
  if (silent()) {
    found.push(["bad", `No word from the daemon for ${duration(silence())}. What follows is as of ${secondsText(lastHeard())} UTC, and may be wrong by now.`]);
  }
  for (const sentence of page.daemon.troubles) found.push([page.daemon.store_up ? "warn" : "bad", sentence]);
  if (!page.daemon.store_up) found.push(["bad", "What follows is what was last read from Valkey."]);
  if (!page.daemon.healthy && page.daemon.troubles.length === 0) found.push(["warn", "The daemon's event loop is late."]);
  if (page.daemon.holder === null) found.push(["bad", "Nobody leads: nothing is published, and gates and weights grow old."]);
  const old = Object.entries(page.instruments).filter(([, row]) => isOld(row, page));
  if (old.length > 0 && page.daemon.store_up) {
    const all = Object.keys(page.instruments).length;
    const names = old.length === all && all > 1 ? "any instrument" : list(old.map(([name]) => name), 4);
    const newest = Math.max(...old.map(([, row]) => row.candle_at ?? row.measured?.ts ?? 0));
    found.push(["bad", `No fresh data of ${names}${newest ? `; the newest candle is ${duration(at - newest)} old` : ""}. What is shown of it is not the present.`]);
  }
  if (gatesOld(page)) {
    found.push(["bad", `The gates were last evaluated ${duration(at - page.gates.evaluated_ts)} ago, at ${momentText(page.gates.evaluated_ts)} UTC: too long, so they count as unknown.`]);
  } else if (page.gates.evaluated_ts === null && page.daemon.store_up && page.daemon.loaded) {
    found.push(["warn", "There are no gates: none were published yet, or they have expired."]);
  }
  const week = weekOf(page);
  if (!week.open && week.changes !== null) {
    found.push(["calm", `The market is closed. It opens ${momentText(week.changes)} UTC, in ${duration(week.changes - at)}.`]);
  }
  return found;
}

export function list(names, most) {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

const ALERTS = { bad: "■", warn: "▲", calm: "●" };

function showTroubles(found) {
  const box = byId("alerts");
  while (box.children.length > found.length) box.lastChild.remove();
  found.forEach(([kind, sentence], index) => {
    let line = box.children[index];
    if (!line) {
      const sign = make("span", "sign");
      sign.setAttribute("aria-hidden", "true");
      line = make("p", "", sign, make("span"));
      box.append(line);
    }
    attribute(line, "class", `alert ${kind}`);
    text(line.firstChild, ALERTS[kind]);
    text(line.lastChild, sentence);
  });
}

function showFrame(page) {
  const at = now();
  const clock = byId("clock");
  text(clock, wholeText(at));
  clock.title = localText(at);
  const { speed, source } = page.daemon;
  const pace = byId("pace");
  pace.hidden = speed === 1 && source !== "simulated";
  text(pace, `${source === "simulated" ? "simulated" : source}${speed === 1 ? "" : `, × ${speed}`}`);
  const quiet = silent();
  mood(byId("link"), quiet ? "bad" : "good", quiet ? `silent for ${duration(silence())}` : "live");
  document.body.classList.toggle("silent", quiet);
  const version = byId("version");
  if (version) text(version, `hotband ${page.daemon.version}.`);
  showTroubles(troubles(page));
}

function chooseTheme() {
  const button = byId("theme");
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => text(button, dark() ? "Light theme" : "Dark theme");
  button.addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // No storage, no memory.
    }
    label();
    dispatchEvent(new Event("themechange"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    label();
    dispatchEvent(new Event("themechange"));
  });
  label();
}

// Calls tick once a second for as long as the page is seen; every second of it is drawn in one frame.
export function start(tick, page) {
  chooseTheme();
  const waiting = Date.now();
  const beat = () => {
    const shown = page();
    if (shown === null) {
      const seconds = Math.floor((Date.now() - waiting) / 1000);
      mood(byId("link"), seconds > 5 ? "bad" : "unknown", seconds > 5 ? "no answer" : "connecting");
      if (seconds > 5) showTroubles([["bad", `The daemon has not answered for ${seconds} s. It is asked again and again.`]]);
      return;
    }
    showFrame(shown);
    tick(shown);
  };
  setInterval(() => requestAnimationFrame(beat), 1000);
  beat();
  return () => requestAnimationFrame(beat);
}
