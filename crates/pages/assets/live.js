// One stream of news for all windows of a browser: a shared worker that the pages listen to.
"use strict";

(() => {
  const RETRY_MS = 5000;
  const SILENT_AFTER_MS = 9000;
  const watching = new Set();
  let source = null;
  let retry = 0;
  let lastHeard = 0;

  function tellAll(sign) {
    lastHeard = Date.now();
    watching.forEach((port) => port.postMessage(sign));
  }

  function open() {
    clearTimeout(retry);
    if (source || watching.size === 0) return;
    lastHeard = Date.now();
    // This script lies two folders below the root of all pages.
    source = new EventSource(new URL("../../live", location.href));
    for (const news of ["snapshot", "update"]) source.addEventListener(news, () => tellAll("news"));
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

  setInterval(() => {
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
        watching.add(port);
        open();
        // A page that joins an open stream has missed its beginning.
        if (isJoining) for (const sign of ["open", "news"]) port.postMessage(sign);
      } else {
        watching.delete(port);
        if (watching.size === 0) close();
      }
    };
    port.start();
  });
})();
