// Keeps a page up to date, and writes times as people here do. Pages are whole without it.
"use strict";

(() => {
  // Times: local, with the date where it is not today's, and UTC at hand: by its difference, and when pointed at.
  const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

  function zone(moment) {
    const eastMinutes = -moment.getTimezoneOffset();
    if (eastMinutes === 0) return "UTC";
    const digits = (number) => String(Math.floor(Math.abs(number))).padStart(2, "0");
    return "UTC" + (eastMinutes < 0 ? "\u2212" : "+") + digits(eastMinutes / 60) + ":" + digits(eastMinutes % 60);
  }

  function localize(within) {
    const now = new Date();
    for (const element of within.querySelectorAll("time[datetime]:not([title])")) {
      const moment = new Date(element.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const day = moment.toDateString() === now.toDateString() ? "" : dayFormat.format(moment) + " ";
      // Summer's times are read in winter, too.
      const other = zone(moment) === zone(now) ? "" : " " + zone(moment);
      element.title = element.textContent;
      element.textContent = day + timeFormat.format(moment) + other;
    }
  }

  function tellZone() {
    document.getElementById("zone").textContent = "Times: " + zone(new Date());
  }

  // A part of the page takes the place of its older self; focus and scrolled tables stay as they are.
  function replace(part, newer) {
    localize(newer);
    // What somebody has unfolded stays so.
    const folds = part.querySelectorAll("details");
    newer.querySelectorAll("details").forEach((fold, index) => (fold.open = folds[index]?.open ?? false));
    if (part.innerHTML === newer.innerHTML && part.className === newer.className) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const adopted = document.adoptNode(newer);
    part.className = adopted.className;
    part.replaceChildren(...adopted.childNodes);
    part.querySelectorAll(".scroll").forEach((box, index) => {
      box.scrollLeft = scrolled[index] ?? 0;
    });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // What somebody is pressing or has selected is not taken away.
  let isPressed = false;
  addEventListener("pointerdown", () => (isPressed = true));
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => (isPressed = false)));

  function isHeld() {
    const selection = getSelection();
    return isPressed || (selection && !selection.isCollapsed);
  }

  // The outcome of an action is said once, and not again when the page is loaded again.
  const asked = new URL(location.href);
  for (const outcome of ["done", "reload"]) {
    if (!asked.searchParams.has(outcome)) continue;
    asked.searchParams.delete(outcome);
    history.replaceState(null, "", asked);
  }

  // The title has the page in a few words: those who listen hear it when it changes.
  function say(title) {
    if (document.title === title) return;
    document.title = title;
    document.getElementById("spoken").textContent = title;
  }

  const connection = document.getElementById("connection");
  const root = document.documentElement;
  const icon = document.getElementById("icon");
  const STALE_AFTER_MS = 8000;
  // A blank icon would look like the one of a page in order.
  const STALE_ICON = "data:image/svg+xml," + encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="#888"/>' +
    '<path d="M4 4l8 8m0-8l-8 8" stroke="#fff" stroke-width="2.4"/></svg>');
  let lastNews = new Date();
  let trouble = "";
  let isStale = false;

  // A page without news must look so from afar: headline, title and icon say that there is no connection.
  function look() {
    const wasStale = isStale;
    isStale = trouble !== "" && new Date() - lastNews > STALE_AFTER_MS;
    root.classList.toggle("stale", isStale);
    const since = timeFormat.format(lastNews);
    const text = isStale ? "No connection since " + since + ". " + trouble : trouble;
    if (connection.textContent !== text) connection.textContent = text;
    connection.hidden = trouble === "";
    if (isStale && !wasStale) {
      const lost = "NO CONNECTION since " + since;
      // A refresh puts another headline in its place, so it is looked up each time.
      const headline = document.querySelector(".headline h1");
      if (headline) {
        headline.dataset.before = headline.innerHTML;
        headline.textContent = lost;
      }
      icon.dataset.before = icon.getAttribute("href");
      icon.href = STALE_ICON;
      root.dataset.title = document.title;
      say(lost);
    } else if (wasStale && !isStale) {
      const now = document.querySelector(".headline h1");
      if (now?.dataset.before !== undefined) {
        now.innerHTML = now.dataset.before;
        delete now.dataset.before;
      }
      icon.href = icon.dataset.before;
      if (document.title.startsWith("NO CONNECTION")) say(root.dataset.title);
    }
    age();
  }

  // Ages keep counting between two refreshes: "5 s ago" of a minute ago is wrong.
  let renderedAt = new Date();
  function age() {
    const seconds = Math.round((new Date() - renderedAt) / 1000);
    if (seconds < 2) return;
    for (const element of document.querySelectorAll("[data-age-s]")) {
      element.textContent = duration(Number(element.dataset.ageS) + seconds) + " ago";
    }
  }

  // In the same words as the server, so that an age does not change its form.
  const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
  function duration(seconds) {
    const count = (unit, name) => Math.floor(seconds / unit) + " " + name;
    const withRest = (unit, name, smaller, smallerName) => {
      const rest = Math.floor((seconds % unit) / smaller);
      return count(unit, name) + (seconds < 10 * unit && rest > 0 ? " " + rest + " " + smallerName : "");
    };
    if (seconds < MINUTE) return count(1, "s");
    if (seconds < HOUR) return count(MINUTE, "min");
    if (seconds < DAY) return withRest(HOUR, "h", MINUTE, "min");
    if (seconds < 60 * DAY) return withRest(DAY, "d", HOUR, "h");
    return seconds < 730 * DAY ? count(30 * DAY, "months") : count(365 * DAY, "years");
  }

  function tell(text) {
    if (text === "") lastNews = new Date();
    trouble = text;
    look();
  }

  setInterval(look, 1000);

  const ANSWER_TIMEOUT_MS = 15000;
  let isLoading = false;
  let isWanted = false;

  async function refresh() {
    if (isLoading || isHeld()) {
      isWanted = true;
      if (!isLoading) schedule();
      return;
    }
    isLoading = true;
    isWanted = false;
    try {
      const answer = await fetch(location.href, {
        headers: { accept: "text/html", "x-refresh": "1" },
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      if (!answer.ok) throw new Error("status " + answer.status);
      const newer = new DOMParser().parseFromString(await answer.text(), "text/html");
      const chart = newer.getElementById("chart")?.dataset.chart;
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const found = newer.getElementById(part.id);
        if (found) replace(part, found);
      }
      renderedAt = new Date();
      say(newer.title);
      tellZone();
      tell("");
      document.dispatchEvent(new CustomEvent("page:refreshed", { detail: chart }));
    } catch (error) {
      tell("Cannot refresh this page (" + error.message + "); trying again.");
      isWanted = true;
    } finally {
      isLoading = false;
      if (isWanted) schedule();
    }
  }

  // Not more often than a person can read, and not in a hidden window.
  const PAUSE_MS = 400;
  let timer = 0;

  function schedule() {
    if (timer || document.hidden) return;
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, PAUSE_MS);
  }

  // The stream of news is open only while somebody looks. All windows of a browser share one, since it
  // opens few connections to a server at once; where it cannot, each window has its own.
  const RETRY_MS = 5000;
  const SILENT_AFTER_MS = 9000;
  const ALIVE_PAUSE_MS = 20000;
  const live = root.dataset.root + "live";
  const station = document.querySelector("[data-watch]")?.dataset.watch;
  let source = null;
  let shared = null;
  let retry = 0;
  let lastHeard = Date.now();

  // A page of a station is refreshed soon when the news names the station, and otherwise now and then.
  const SLOW_PAUSE_MS = 5000;
  let slowTimer = 0;

  function hearOf(stations) {
    if (!station || !stations || stations.includes(station)) return schedule();
    slowTimer ||= setTimeout(() => {
      slowTimer = 0;
      schedule();
    }, SLOW_PAUSE_MS);
  }

  function heard(sign, stations) {
    lastHeard = Date.now();
    if (["open", "news", "ping"].includes(sign)) lastNews = new Date();
    if (sign === "open") tell("");
    // Between the making of the page and the beginning of the stream something may have happened.
    if (sign === "news") hearOf(stations);
    if (sign === "lost") tell("The server does not answer; trying again.");
    if (sign === "closed") tell("Too many pages are open, or the server has stopped; trying again.");
  }

  function share() {
    try {
      const worker = new SharedWorker(root.dataset.root + root.dataset.liveScript, "live");
      worker.port.onmessage = (message) => heard(message.data.sign, message.data.stations);
      worker.onerror = () => {
        shared = null;
        watch();
      };
      worker.port.start();
      return worker.port;
    } catch {
      return null;
    }
  }

  function watch() {
    clearTimeout(retry);
    if (document.hidden) return;
    if (shared) {
      shared.postMessage("watch");
      return;
    }
    if (source) return;
    source = new EventSource(live + (station ? "?station_id=" + encodeURIComponent(station) : ""));
    for (const news of ["snapshot", "update"]) source.addEventListener(news, () => heard("news"));
    source.addEventListener("ping", () => heard("ping"));
    source.addEventListener("open", () => heard("open"));
    source.addEventListener("error", () => {
      const isOver = source.readyState === EventSource.CLOSED;
      heard(isOver ? "closed" : "lost");
      if (isOver) {
        unwatch();
        retry = setTimeout(watch, RETRY_MS);
      }
    });
  }

  function unwatch() {
    shared?.postMessage("leave");
    source?.close();
    source = null;
  }

  // A cable that was pulled says nothing: a stream that is silent for too long is opened again. The worker
  // looks after its own; one that says nothing at all is gone.
  setInterval(() => {
    const limit = shared ? 2 * SILENT_AFTER_MS : SILENT_AFTER_MS;
    if (document.hidden || !(source || shared) || Date.now() - lastHeard < limit) return;
    lastHeard = Date.now();
    tell("The server is silent; trying again.");
    unwatch();
    if (shared) shared = share();
    watch();
  }, 1000);

  localize(document);
  tellZone();
  if (document.querySelector("[data-live]")) {
    if (window.SharedWorker) shared = share();
    watch();
    document.addEventListener("visibilitychange", () => (document.hidden ? unwatch() : watch()));
    addEventListener("pagehide", unwatch);
    setInterval(() => shared?.postMessage("alive"), ALIVE_PAUSE_MS);
    addEventListener("pageshow", (event) => event.persisted && watch());
  }
})();
