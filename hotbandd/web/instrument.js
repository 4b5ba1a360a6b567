// One instrument: why its gate reads as it does, what flips it, and its charts.

import { countdown, duration, momentText, now } from "./clock.js";
import { byId, make, mood, number, percent, say, signed, text, time } from "./dom.js";
import { drawCharts, HOURS, showHours } from "./charts.js";
import { gateOf, isOld, start } from "./frame.js";
import { connect, current } from "./live.js";

const name = decodeURIComponent(location.pathname.split("/").pop());
const title = name.replace("_", "/");
let hours = HOURS.find((one) => String(one) === location.hash.slice(1)) ?? 24;
let listed = "";

document.title = `${title} · hotband`;
text(byId("name"), title);

// ---- the way around

function showJump(page) {
  const names = Object.keys(page.instruments);
  if (names.join() === listed) return;
  listed = names.join();
  const jump = byId("jump");
  jump.replaceChildren(...names.map((one) => new Option(one.replace("_", "/"), one, one === name, one === name)));
  const at = names.indexOf(name);
  const link = (id, one) => {
    byId(id).href = `/instrument/${encodeURIComponent(one)}`;
    byId(id).title = one;
  };
  link("before", names.at((at < 1 ? 0 : at) - 1));
  link("after", names[(at + 1) % names.length]);
}
byId("jump").addEventListener("change", (event) => location.assign(`/instrument/${encodeURIComponent(event.target.value)}`));

// ---- the gate

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;

function items(node, sentences) {
  const wanted = sentences.join("\n");
  if (node.dataset.said === wanted) return;
  node.dataset.said = wanted;
  node.replaceChildren(...sentences.map((one) => make("li", "", one)));
}

function showWhy(row) {
  const why = row.reasons.map((one) => sentence(one.words));
  items(byId("reasons"), why.length ? why : [row.gate === 1 ? "It is open: it passed often enough, and nothing shuts it for the moment." : "Nothing is published about its gate."]);
  items(byId("flip"), row.flip);
}

function facts(row, page) {
  const at = now();
  const cooling = row.cooldown_until !== null && row.cooldown_until > at;
  const several = (count, one, more) => `${count} ${count === 1 ? one : more}`;
  const counted = `${several(row.passes, "pass", "passes")}, ${several(row.fails, "fail", "fails")} in a row, where ${row.required} decide; ${several(row.misses, "miss", "misses")}, where ${page.gates.misses_to_cool} cool down`;
  const told = [
    ["State", [row.eligible ? "eligible" : "not eligible", `; ${counted}`]],
    ["Session", row.session_changes_at === null ? [row.session_open ? "open" : "closed"] : [row.session_open ? "open, closes " : "closed, opens ", row.session_changes_at, `, in ${duration(row.session_changes_at - at)}`]],
    ["Cooldown", cooling ? ["until ", row.cooldown_until, `, ${countdown(row.cooldown_until - at)} left`] : ["none"]],
    ["Buffer", [row.buffer === null ? "unknown" : `${number(row.buffer)} around each floor`]],
    ["Evaluated", row.evaluated_ts === null ? ["never, or more than an hour ago"] : [row.evaluated_ts, `, ${duration(at - row.evaluated_ts)} ago${row.outcome ? `: ${row.outcome.replaceAll("_", " ")}` : ""}`]],
    ["Parameters", [row.param_key ?? "unknown"]],
    ["Weight", [row.weight === null ? "unknown" : `${percent(row.weight, 2)} of the book`, row.held_closed ? ", held on a shut gate" : row.selected ? ", among the selected" : "", row.score === null ? "" : `; score ${number(row.score, 3)}`]],
    ["Allocator", [page.allocation.words]],
  ];
  const box = byId("facts");
  if (box.children.length === 0) box.append(...told.map(([label]) => make("div", "", make("dt", "", label), make("dd"))));
  told.forEach(([, parts], index) => say(box.children[index].lastChild, ...parts));
}

// ---- tables

function fill(id, rows) {
  const body = byId(id).tBodies[0];
  const wanted = JSON.stringify(rows);
  if (body.dataset.said === wanted) return;
  body.dataset.said = wanted;
  body.replaceChildren(...rows.map((cells) => {
    const [first, ...rest] = cells.map((cell, index) => {
      const { value, numeric, kind, moment, under, spare } = typeof cell === "object" ? cell : { value: cell };
      const node = make(index ? "td" : "th", [numeric && "numeric", spare && "spare"].filter(Boolean).join(" "));
      if (moment) node.append(time(moment));
      else if (kind) {
        const words = make("span");
        mood(words, kind, value);
        node.append(words);
      } else text(node, value);
      if (under) node.append(make("div", "small", under));
      return node;
    });
    first.scope = "row";
    return make("tr", "", first, ...rest);
  }));
}

const right = (value) => ({ value, numeric: true });
const STANDS = { passes: "good", "dead band": "warn", fails: "bad" };

function shown(figure, value) {
  if (value === null) return "–";
  if (figure.name.startsWith("pnl")) return signed(value);
  return figure.name.startsWith("trades") ? number(value, value % 1 ? 1 : 0) : number(value);
}

function showTables(row) {
  fill("figures", row.figures.map((one) => [
    { value: one.name.replace("pnl", "return"), under: one.origin }, right(shown(one, one.value)), { ...right(shown(one, one.floor)), spare: true }, right(shown(one, one.enable_at)), right(shown(one, one.disable_at)),
    { spare: true, ...right(`${one.margin > 0 && !one.name.startsWith("pnl") ? "+" : ""}${shown(one, one.margin)}`) }, { value: one.stands, kind: STANDS[one.stands] },
  ]));
  fill("guards", row.guards.map((one) => {
    const least = one.name === "coherence" || one.name === "stability";
    const bound = one.bound === null || String(one.bound) === one.spec ? one.spec : `${one.spec} = ${number(one.bound, 3)}`;
    return [one.name, right(number(one.value, 3)), right(`${least ? "≥" : "≤"} ${bound}`), right(one.margin === null ? "unknown" : `${one.margin > 0 ? "+" : ""}${number(one.margin, 3)}`), { value: one.met ? "yes" : "no", kind: one.met ? "good" : "off" }];
  }));
}

function showTrades(trades) {
  fill("trades", (trades ?? []).slice(-40).reverse().map((one) => [{ moment: one.entry_ms, value: one.entry_ms }, { moment: one.exit_ms, value: one.exit_ms }, one.side, right(signed(one.ret)), one.reason.replaceAll("_", " ")]));
}

// ---- all together

function tick(page) {
  const row = page.instruments[name];
  if (!row) return;
  const gate = gateOf(row, page);
  mood(byId("gate"), gate.mood, gate.word);
  const stamp = row.measured?.ts ?? row.candle_at;
  const old = isOld(row, page);
  text(byId("age"), stamp === null ? "no data" : `${old ? "▲ " : ""}${duration(now() - stamp)} old`);
  byId("age").className = old ? "small warned" : "small";
  facts(row, page);
}

function choose(chosen) {
  hours = chosen;
  history.replaceState(null, "", `#${hours}`);
  showHours(byId("hours"), hours, choose);
  drawCharts(name, hours, showTrades, true);
}

showHours(byId("hours"), hours, choose);
const draw = start(tick, current);
connect((names) => {
  const page = current();
  showJump(page);
  const row = page.instruments[name];
  byId("known").hidden = !row;
  byId("missing").hidden = Boolean(row);
  if (!row) {
    text(byId("missing"), `${title} is not among the instruments that are followed here (HOTBAND_PAIRS).`);
    return;
  }
  if (names === null || names.has(name)) {
    text(byId("price"), row.measured ? row.measured.price : "");
    showWhy(row);
    showTables(row);
    drawCharts(name, hours, showTrades, names === null);
  }
  draw();
});
addEventListener("themechange", () => drawCharts(name, hours, showTrades, true));
