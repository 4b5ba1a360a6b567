// The charts of one instrument, by plotly, which is loaded here alone, and once.

import { duration, momentText } from "./clock.js";
import { byId, make, text } from "./dom.js";

export const HOURS = [6, 24, 72, 336, 720, 2160];
const WORDS = { 6: "6 h", 24: "24 h", 72: "3 d", 336: "14 d", 720: "30 d", 2160: "90 d" };
const EVERY_MS = 5000; // between two drawings, however fast the clock runs
const METRICS = { C: "coherence", S: "stability", H: "entropy", R: "rupture" };
const DAY = 86_400_000;

let library = null;
let drawn = 0;
let waiting = null;
let asked = 0;

export function showHours(box, chosen, choose) {
  if (box.children.length === 0) {
    box.append(...HOURS.map((hours) => {
      const button = make("button", "", WORDS[hours]);
      button.type = "button";
      button.addEventListener("click", () => choose(hours));
      return button;
    }));
  }
  HOURS.forEach((hours, index) => box.children[index].setAttribute("aria-pressed", String(hours === chosen)));
}

// The policy of these pages lets no script write styles into the document. The library tries to, for maps that are not drawn here:
// while it loads it is given an element that styles nothing. What it needs of styles is in style.css.
function load() {
  library ??= new Promise((resolve, reject) => {
    const create = document.createElement;
    document.createElement = function (tag, ...rest) {
      return create.call(this, String(tag).toLowerCase() === "style" ? "template" : tag, ...rest);
    };
    const script = create.call(document, "script");
    script.src = "/web/plotly.min.js";
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => {
      library = null;
      script.remove();
      reject(new Error("The chart library could not be loaded."));
    });
    const done = () => (document.createElement = create);
    script.addEventListener("load", done);
    script.addEventListener("error", done);
    document.head.append(script);
  });
  return library;
}

export function drawCharts(name, hours, onTrades, atOnce) {
  clearTimeout(waiting);
  const wait = atOnce ? 0 : Math.max(0, drawn + EVERY_MS - performance.now());
  waiting = setTimeout(() => renew(name, hours, onTrades), wait);
}

async function renew(name, hours, onTrades) {
  drawn = performance.now();
  const mine = ++asked;
  try {
    const [plotly, answer] = await Promise.all([load(), fetch(`/api/instrument/${encodeURIComponent(name)}/chart?hours=${hours}`, { cache: "no-store" })]);
    const chart = await answer.json();
    if (!answer.ok) throw new Error(chart.error);
    if (mine !== asked) return;
    await draw(plotly, chart);
    onTrades(chart.trades);
  } catch (error) {
    text(byId("chart-note"), `The charts are not up to date: ${error.message}`);
  }
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
const moments = (stamps) => stamps.map((stamp) => new Date(stamp).toISOString().slice(0, 19));

async function draw(plotly, chart) {
  const ink = { text: colour("muted"), grid: colour("line"), up: colour("good"), down: colour("bad"), quiet: colour("ghost"), line: colour("bar"), mark: colour("ink"), card: colour("surface") };
  await plotly.react(byId("chart"), ...figure(chart, ink), CONFIG);
  await plotly.react(byId("equity"), ...equity(chart, ink), CONFIG);
  describe(chart);
}

function base(ink, key) {
  return {
    paper_bgcolor: ink.card, plot_bgcolor: ink.card, uirevision: key, font: { color: ink.text, size: 11, family: getComputedStyle(document.body).fontFamily },
    margin: { l: 58, r: 12, t: 8, b: 28 }, hovermode: "x", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hoverlabel: { font: { size: 12 } },
  };
}

function figure(chart, ink) {
  const { bars, metrics, trades } = chart;
  const first = chart.now - chart.hours * 3_600_000;
  const axis = { gridcolor: ink.grid, zerolinecolor: ink.grid, linecolor: ink.grid };
  const x = moments(bars.t);
  const data = [{ type: "candlestick", x, open: bars.open, high: bars.high, low: bars.low, close: bars.close, name: "price", showlegend: false, line: { width: 1 }, increasing: { line: { color: ink.quiet }, fillcolor: ink.card }, decreasing: { line: { color: ink.quiet }, fillcolor: ink.quiet } }];
  data.push(...tradeTraces((trades ?? []).filter((one) => one.exit_ms >= first), ink));
  const layout = { ...base(ink, `${chart.instrument} ${chart.hours}`), xaxis: { ...axis, range: moments([bars.t[0] ?? first, chart.now]), rangeslider: { visible: false }, rangebreaks: breaks(bars.t), anchor: "y5" }, yaxis: { ...axis, domain: [0.5, 1] }, shapes: [], annotations: [] };
  const times = moments(metrics.t);
  Object.entries(METRICS).forEach(([letter, word], index) => {
    const id = index + 2, top = 0.46 - index * 0.115;
    layout[`yaxis${id}`] = { ...axis, domain: [top - 0.1, top], range: [-0.04, 1.04], tickvals: [0, 0.5, 1], title: { text: letter, font: { size: 12 } } };
    data.push({ type: "scatter", mode: "lines", x: times, y: metrics[letter], yaxis: `y${id}`, name: word, showlegend: false, line: { color: ink.line, width: 1.2 }, connectgaps: false });
    const bound = chart.bounds[letter];
    if (bound !== null && bound !== undefined) layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: `y${id}`, y0: bound, y1: bound, line: { color: ink.mark, width: 1, dash: "dot" } });
  });
  return [data, layout];
}

function tradeTraces(trades, ink) {
  const traces = [];
  for (const [side, symbol, tint] of [["long", "triangle-up", ink.up], ["short", "triangle-down", ink.down]]) {
    const ours = trades.filter((one) => one.side === side);
    traces.push({ type: "scatter", mode: "markers", x: moments(ours.map((one) => one.entry_ms)), y: ours.map((one) => one.entry), name: `${side} entry`, marker: { symbol, size: 10, color: tint, line: { color: ink.card, width: 1 } } });
  }
  for (const [won, word, tint, dash] of [[true, "exit with a profit", ink.up, "solid"], [false, "exit with a loss", ink.down, "dot"]]) {
    const ours = trades.filter((one) => one.ret > 0 === won);
    traces.push({ type: "scatter", mode: "lines", x: ours.flatMap((one) => [...moments([one.entry_ms, one.exit_ms]), null]), y: ours.flatMap((one) => [one.entry, one.exit, null]), line: { color: tint, width: 1.4, dash }, hoverinfo: "skip", showlegend: false });
    traces.push({ type: "scatter", mode: "markers", x: moments(ours.map((one) => one.exit_ms)), y: ours.map((one) => one.exit), text: ours.map((one) => `${one.reason}, ${(100 * one.ret).toFixed(2)} %`), name: word, marker: { symbol: won ? "circle" : "x", size: 8, color: tint, line: { color: ink.card, width: 1 } } });
  }
  return traces;
}

function equity(chart, ink) {
  const axis = { gridcolor: ink.grid, zerolinecolor: ink.text, linecolor: ink.grid };
  const trades = chart.trades ?? [];
  let sum = 0, peak = 0;
  const sums = trades.map((one) => (sum += one.ret));
  const falls = sums.map((value) => value - (peak = Math.max(peak, value)));
  const x = chart.trades === null ? [] : moments([chart.tested_from, ...trades.map((one) => one.exit_ms), chart.tested_to]);
  const ends = (values) => (chart.trades === null ? [] : [0, ...values, values.at(-1) ?? 0].map((value) => 100 * value));
  const data = [
    { type: "scatter", mode: "lines", x, y: ends(falls), name: "drawdown", fill: "tozeroy", line: { color: ink.down, width: 1, shape: "hv" } },
    { type: "scatter", mode: "lines", x, y: ends(sums), name: "equity", line: { color: ink.line, width: 2, shape: "hv" } },
  ];
  const shapes = [14, 30].filter(() => chart.tested_to !== null).map((days) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: moments([chart.tested_to - days * DAY])[0], x1: moments([chart.tested_to - days * DAY])[0], line: { color: ink.text, width: 1, dash: "dot" } }));
  const annotations = shapes.map((shape, index) => ({ x: shape.x0, yref: "paper", y: 1, text: `${[14, 30][index]} d`, showarrow: false, xanchor: "left", yanchor: "top", xshift: 3, font: { size: 10 } }));
  return [data, { ...base(ink, chart.instrument), xaxis: axis, yaxis: { ...axis, ticksuffix: " %" }, shapes, annotations }];
}

// Gaps of more than a day are left out of the time axis.
function breaks(stamps) {
  const found = [];
  for (let i = 1; i < stamps.length; i += 1) {
    if (stamps[i] - stamps[i - 1] > DAY) found.push({ bounds: moments([stamps[i - 1] + 60_000, stamps[i]]) });
  }
  return found;
}

function describe(chart) {
  const { bars, trades } = chart;
  const each = chart.minutes_per_bar === 1 ? "one-minute candles" : `bars of ${duration(chart.minutes_per_bar * 60_000)}`;
  const within = trades === null ? null : trades.filter((one) => one.exit_ms >= (bars.t[0] ?? 0)).length;
  const what = bars.t.length === 0 ? "No candles in this time." : `${bars.t.length} ${each} from ${momentText(bars.t[0])} to ${momentText(bars.t.at(-1))} UTC`;
  text(byId("chart-note"), `${what}${within === null || bars.t.length === 0 ? "" : `, ${within} back-tested ${within === 1 ? "trade" : "trades"}`}${chart.note ? `. ${chart.note}` : ". Dotted: entry bounds."}`);
  const low = Math.min(...bars.low), high = Math.max(...bars.high);
  byId("chart").setAttribute("aria-label", bars.t.length === 0 ? "No candles" : `Candles, trades and metrics. Price between ${low} and ${high}, last ${bars.close.at(-1)}.`);
  const sum = (trades ?? []).reduce((total, one) => total + one.ret, 0);
  const told = trades === null ? (chart.note ?? "No trades are known.") : `${trades.length} trades since ${new Date(chart.tested_from).toISOString().slice(0, 10)}, ${(100 * sum).toFixed(2)} % after cost, as sum of log returns.`;
  text(byId("equity-note"), told);
  byId("equity").setAttribute("aria-label", `Equity of the back-test. ${told}`);
}
