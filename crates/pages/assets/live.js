// One stream of news for all windows of a browser: a shared worker that the pages listen to.
"use strict";

(() => {
  const RETRY_MS = 5000;
  const SILENT_AFTER_MS = 9000;
  const ALIVE_MS = 60000;
  // The ports of the pages that watch, and when each was last heard.
  const watching = new Map();
  let source = null;
  let retry = 0;
  let lastHeard = 0;

  function tellAll(sign, stations) {
    lastHeard = Date.now();
    for (const port of watching.keys()) port.postMessage({ sign, stations });
  }

  // The stations that a message is about; nothing when it may be about others, too.
  function named(event) {
    const news = JSON.parse(event.data);
    return news.has_more ? undefined : news.changed.map((station) => station.station_id);
  }

  function open() {
    clearTimeout(retry);
    if (source || watching.size === 0) return;
    lastHeard = Date.now();
    // This script lies two folders below the root of all pages.
    source = new EventSource(new URL("../../live", location.href));
    for (const news of ["snapshot", "update"]) source.addEventListener(news, (event) => tellAll("news", named(event)));
    source.addEventListener("ping", () => tellAll("ping"));
    source.addEventListener("open", () => tellAll("open"));
    source.addEventListener("error", () => {
      const isOver = source.readyState === EventSource.CLOSED;
      tellAll(isOver ? "closed" : "lost");
      if (isOver) {
        close();
        retry = setTimeout(open, RETRY_MS);
      }
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  function leave(port) {
    watching.delete(port);
    if (watching.size === 0) close();
  }

  setInterval(() => {
    // A page that has crashed does not say that it leaves.
    for (const [port, heardAt] of watching) if (Date.now() - heardAt > ALIVE_MS) leave(port);
    if (!source || Date.now() - lastHeard < SILENT_AFTER_MS) return;
    tellAll("lost");
    close();
    open();
  }, 1000);

  addEventListener("connect", (event) => {
    const port = event.ports[0];
    port.onmessage = (message) => {
      if (message.data === "watch") {
        const isJoining = source?.readyState === EventSource.OPEN;
        watching.set(port, Date.now());
        open();
        // A page that joins an open stream has missed its beginning.
        if (isJoining) for (const sign of ["open", "news"]) port.postMessage({ sign });
      } else if (message.data === "alive") {
        if (watching.has(port)) watching.set(port, Date.now());
      } else {
        leave(port);
      }
    };
    port.start();
  });
})();
