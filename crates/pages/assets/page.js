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

  // The title has the page in a few words: those who listen hear it when it changes.
  function say(title) {
    if (document.title === title) return;
    document.title = title;
    document.getElementById("spoken").textContent = title;
  }

  const connection = document.getElementById("connection");

  const root = document.documentElement;
  const STALE_AFTER_MS = 8000;
  let lastNews = new Date();

  // What a page says is worth little when it is old, and it has to look so from afar.
  function tell(trouble) {
    if (trouble === "") lastNews = new Date();
    const isStale = new Date() - lastNews > STALE_AFTER_MS;
    root.classList.toggle("stale", isStale);
    const text = isStale ? "No news since " + timeFormat.format(lastNews) + ". " + trouble : trouble;
    if (connection.textContent !== text) connection.textContent = text;
    connection.hidden = trouble === "";
  }

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
      say(newer.title);
      tellZone();
      tell("");
      document.dispatchEvent(new CustomEvent("page:refreshed", { detail: chart }));
    } catch (error) {
      tell("This page cannot be brought up to date (" + error.message + "); trying again.");
      isWanted = true;
    } finally {
      isLoading = false;
      if (isWanted) schedule();
    }
  }

  // Not more often than a person can read, and not while nobody looks.
  const PAUSE_MS = 400;
  let timer = 0;

  function schedule() {
    if (timer || document.hidden) return;
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, PAUSE_MS);
  }

  // The stream is open only while somebody looks: browsers open few connections to a server at once.
  const RETRY_MS = 5000;
  let source = null;
  let retry = 0;

  function watch() {
    clearTimeout(retry);
    if (source || document.hidden) return;
    const station = document.querySelector("[data-watch]")?.dataset.watch;
    const query = station ? "?station_id=" + encodeURIComponent(station) : "";
    source = new EventSource(root.dataset.root + "live" + query);
    // Between the making of the page and the beginning of the stream something may have happened.
    for (const news of ["snapshot", "update"]) source.addEventListener(news, schedule);
    for (const sign of ["snapshot", "update", "ping"]) source.addEventListener(sign, () => (lastHeard = Date.now()));
    source.addEventListener("open", () => {
      lastHeard = Date.now();
      tell("");
    });
    source.addEventListener("error", () => {
      const isOver = source.readyState === EventSource.CLOSED;
      tell(isOver ? "Too many watch, or the server has gone; trying again." : "The server does not answer; trying again.");
      if (isOver) {
        unwatch();
        retry = setTimeout(watch, RETRY_MS);
      }
    });
  }

  // A cable that was pulled tells nobody: what keeps silent for too long is asked anew.
  const SILENT_AFTER_MS = 40000;
  let lastHeard = Date.now();
  setInterval(() => {
    if (!source || Date.now() - lastHeard < SILENT_AFTER_MS) return;
    lastHeard = Date.now();
    tell("The server keeps silent; trying again.");
    unwatch();
    watch();
  }, 5000);

  function unwatch() {
    source?.close();
    source = null;
  }

  localize(document);
  tellZone();
  if (document.querySelector("[data-live]")) {
    watch();
    document.addEventListener("visibilitychange", () => (document.hidden ? unwatch() : watch()));
    addEventListener("pagehide", unwatch);
    addEventListener("pageshow", (event) => event.persisted && watch());
  }
})();
