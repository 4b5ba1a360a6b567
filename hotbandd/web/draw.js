// Small drawings in SVG: the last day of a metric, a figure against its floor.

import { attribute, shape } from "./dom.js";

const HEIGHT = 22, WIDTH = 80;

// A metric's last day: its quarter-hour means in percent, and the present value at the right edge.
export function sparkline() {
  const bound = shape("line", { class: "bound", x1: 0, x2: WIDTH, y1: -9, y2: -9 });
  const line = shape("path", { class: "line" });
  const dot = shape("circle", { class: "dot", r: 1.9, cx: WIDTH - 2, cy: -9 });
  const svg = shape("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" }, bound, line, dot);
  return {
    svg,
    draw(values, present, limit) {
      attribute(line, "d", path(values ?? [], present));
      attribute(dot, "cy", present === null ? -9 : level(100 * present));
      for (const name of ["y1", "y2"]) attribute(bound, name, limit === null ? -9 : level(100 * limit));
    },
  };
}

const level = (percent) => (HEIGHT - 2 - (percent / 100) * (HEIGHT - 4)).toFixed(1);

function path(values, present) {
  const step = (WIDTH - 2) / values.length;
  let drawn = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) pen = "M";
    else {
      drawn += `${pen}${((index + 0.5) * step).toFixed(1)} ${level(value)}`;
      pen = "L";
    }
  });
  if (present !== null && pen === "L") drawn += `L${WIDTH - 2} ${level(100 * present)}`;
  return drawn;
}

// A figure against its floor: the dead band between failing and passing in the middle, the figure as a mark.
const SPAN = 76;

export function bullet() {
  const track = shape("line", { class: "track", x1: 0, x2: SPAN, y1: 5, y2: 5 });
  const pass = shape("line", { class: "pass", x1: 0, x2: SPAN, y1: 5, y2: 5 });
  const band = shape("rect", { class: "band", y: 1, height: 8, rx: 1 });
  const mark = shape("circle", { class: "mark", cy: 5, r: 3.4 });
  const svg = shape("svg", { class: "bullet", viewBox: `-4 0 ${SPAN + 8} 10`, "aria-hidden": "true" }, track, pass, band, mark);
  return {
    svg,
    draw(figure, least) {
      svg.style.visibility = figure ? "visible" : "hidden";
      if (!figure) return;
      const scale = Math.max(Math.abs(figure.floor), least);
      const at = (value) => {
        const off = (value - figure.floor) / scale;
        return SPAN / 2 + (SPAN / 2) * (off / (1 + Math.abs(off)));
      };
      const low = at(figure.disable_at ?? figure.floor), high = at(figure.enable_at);
      attribute(band, "x", Math.min(low, high - 1).toFixed(1));
      attribute(band, "width", Math.max(1, high - low).toFixed(1));
      attribute(pass, "x1", high.toFixed(1));
      attribute(mark, "cx", at(figure.value).toFixed(1));
      attribute(svg, "data-stands", figure.stands);
    },
  };
}
