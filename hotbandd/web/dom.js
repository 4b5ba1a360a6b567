// Small steps in the document. Text is only ever set as text, and only where it changes.

import { localText, momentText } from "./clock.js";

export const byId = (id) => document.getElementById(id);

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function text(node, value) {
  const wanted = String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function attribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function style(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

export function className(node, value) {
  if (node.className !== value) node.className = value;
}

// A moment: in UTC, with local time on hover.
export function moment(node, ms, words = momentText(ms)) {
  text(node, words);
  attribute(node, "datetime", new Date(ms).toISOString());
  attribute(node, "title", localText(ms));
}

export function time(ms, words) {
  const node = make("time");
  moment(node, ms, words);
  return node;
}

// Words and moments in a row: replaced only where they read differently.
export function say(node, ...parts) {
  const wanted = parts.map((part) => (typeof part === "number" ? momentText(part) : part)).join("");
  if (node.textContent === wanted) return;
  node.replaceChildren(...parts.map((part) => (typeof part === "number" ? time(part) : part)));
}

// A state is told by a sign, a word and a colour, never by colour alone.
const SIGNS = { good: "●", bad: "■", warn: "▲", off: "○", unknown: "?" };

export function mood(node, kind, words) {
  let sign = node.firstElementChild;
  if (!sign || !sign.classList.contains("sign")) {
    sign = make("span", "sign");
    sign.setAttribute("aria-hidden", "true");
    node.replaceChildren(sign, make("span"));
  }
  text(sign, SIGNS[kind]);
  text(node.lastElementChild, words);
  attribute(node, "data-mood", kind);
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
export const signed = (share, digits = 2) => `${share > 0 ? "+" : share < 0 ? "−" : ""}${Math.abs(100 * share).toFixed(digits)} %`;
export const number = (value, digits = 2) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
