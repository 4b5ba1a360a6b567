// The page's data: fetched whole once, then kept up by server-sent events.

import { heard } from "./clock.js";

const AGAIN_MS = 4000;

let state = null;

export const current = () => state;

// onNews is called with the names of the instruments that changed, or null where everything may have.
export function connect(onNews) {
  let source = null;
  let timer = null;

  function whole(page) {
    state = page;
    heard(page.now, page.daemon.speed);
    onNews(null);
  }

  function changed(change) {
    if (state === null || change.version <= state.version) return;
    for (const part of ["daemon", "kill_switch", "sessions", "gates", "allocation"]) {
      if (change[part]) state[part] = change[part];
    }
    Object.assign(state.instruments, change.instruments);
    Object.assign(state.days, change.days);
    state.version = change.version;
    state.now = change.now;
    heard(change.now, state.daemon.speed);
    onNews(new Set([...Object.keys(change.instruments ?? {}), ...Object.keys(change.days ?? {})]));
  }

  function listen() {
    source = new EventSource(`/api/events?since=${state.version}`);
    source.addEventListener("page", (event) => whole(JSON.parse(event.data)));
    source.addEventListener("change", (event) => changed(JSON.parse(event.data)));
    source.addEventListener("beat", (event) => heard(JSON.parse(event.data).now));
    source.addEventListener("error", () => {
      // A connection that broke is made anew by the browser; one that was refused is not.
      if (source.readyState === EventSource.CLOSED) again();
    });
  }

  function again() {
    clearTimeout(timer);
    timer = setTimeout(start, AGAIN_MS);
  }

  async function start() {
    source?.close();
    try {
      const answer = await fetch("/api/page", { cache: "no-store" });
      if (!answer.ok) throw new Error(`/api/page answered ${answer.status}`);
      whole(await answer.json());
      listen();
    } catch {
      again();
    }
  }

  addEventListener("pageshow", (event) => event.persisted && start());
  start();
}
