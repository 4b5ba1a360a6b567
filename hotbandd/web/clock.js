// The daemon's clock, carried on between its messages; and times in words.

let anchor = null;
let speed = 1;
let heardAt = null;

// performance.now() may stand still while the machine sleeps, and the wall clock may be set back: the longer of both counts.
const mark = () => ({ steady: performance.now(), wall: Date.now() });
const since = (from) => Math.max(performance.now() - from.steady, Date.now() - from.wall, 0);

export function heard(now, pace) {
  if (pace !== undefined) speed = pace;
  heardAt = mark();
  anchor = now;
}

export const known = () => anchor !== null;
export const now = () => anchor + since(heardAt) * speed;
export const silence = () => (heardAt === null ? 0 : since(heardAt));
export const lastHeard = () => anchor;

const SECOND = 1000, MINUTE = 60_000, HOUR = 3_600_000, DAY = 86_400_000;

const two = (a, unit, b, small) => (b ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`);

export function duration(ms) {
  const span = Math.max(0, ms);
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)} min`;
  if (span < DAY) return two(Math.floor(span / HOUR), "h", Math.floor((span % HOUR) / MINUTE), "min");
  return two(Math.floor(span / DAY), "d", Math.floor((span % DAY) / HOUR), "h");
}

export function countdown(ms) {
  const left = Math.max(0, ms);
  if (left >= HOUR) return duration(left);
  return `${Math.floor(left / MINUTE)}:${String(Math.floor((left % MINUTE) / SECOND)).padStart(2, "0")}`;
}

const utc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hourCycle: "h23", ...options });
const CLOCK = utc({ hour: "2-digit", minute: "2-digit" });
const SECONDS = utc({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const WEEKDAY = utc({ weekday: "short", hour: "2-digit", minute: "2-digit" });
const WHOLE = utc({ weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export const clockText = (ms) => CLOCK.format(ms);
export const secondsText = (ms) => SECONDS.format(ms);
export const wholeText = (ms) => `${WHOLE.format(ms)} UTC`;
export const localText = (ms) => `${LOCAL.format(ms)}, your time`;

// A moment within a day of now needs no weekday.
export const momentText = (ms) => (Math.abs(ms - now()) < DAY * 0.75 ? CLOCK : WEEKDAY).format(ms);
