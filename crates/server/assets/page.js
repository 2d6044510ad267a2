// Keeps a page up to date, and writes times as people here do. Pages are whole without it.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  // Times: local, with the date where it is not today's, and UTC at hand.
  const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

  function localize(within) {
    for (const element of within.querySelectorAll("time[datetime]:not([title])")) {
      const moment = new Date(element.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const isToday = moment.toDateString() === new Date().toDateString();
      element.title = element.textContent;
      element.textContent = (isToday ? "" : dayFormat.format(moment) + " ") + timeFormat.format(moment);
    }
  }

  // A part of the page takes the place of its older self; who has the focus keeps it.
  function replace(part, newer) {
    localize(newer);
    if (part.innerHTML === newer.innerHTML && part.className === newer.className) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const adopted = document.adoptNode(newer);
    part.className = adopted.className;
    part.replaceChildren(...adopted.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  let isLoading = false;
  let isWanted = false;

  async function refresh() {
    if (isLoading) {
      isWanted = true;
      return;
    }
    isLoading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const newer = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live][id]")) {
          const found = newer.getElementById(part.id);
          if (found) replace(part, found);
        }
        document.title = newer.title;
        document.dispatchEvent(new CustomEvent("page:refreshed"));
      }
    } catch {
      // The stream tells whether the server is there.
    } finally {
      isLoading = false;
      if (isWanted) {
        isWanted = false;
        schedule();
      }
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

  function watch() {
    const station = document.querySelector("[data-watch]")?.dataset.watch;
    const query = station ? "?station_id=" + encodeURIComponent(station) : "";
    const source = new EventSource("/live" + query);
    const connection = document.getElementById("connection");
    const tell = (text) => {
      connection.textContent = text;
      connection.hidden = text === "";
    };
    let isFirst = true;
    source.addEventListener("snapshot", () => {
      // The page was made a moment ago.
      if (!isFirst) schedule();
      isFirst = false;
    });
    source.addEventListener("update", schedule);
    source.addEventListener("open", () => tell(""));
    source.addEventListener("error", () => {
      const isOver = source.readyState === EventSource.CLOSED;
      tell(isOver ? "Not live: too many watch, or the server has gone. Trying again." : "The server does not answer. Trying again.");
      if (isOver) {
        source.close();
        setTimeout(watch, 5000);
      }
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  }

  localize(document);
  if (document.querySelector("[data-live]")) {
    watch();
    document.addEventListener("visibilitychange", schedule);
    addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
  }
})();
