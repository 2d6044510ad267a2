// Draws the values and scores of a station so that they can be looked into.
"use strict";

(() => {
  const element = document.getElementById("chart");
  if (!element || !window.Plotly) return;
  let chart = JSON.parse(element.dataset.chart);
  const resetButton = document.getElementById("chart-reset");
  const partialNote = document.getElementById("chart-partial");
  const PANEL_PX = 132;

  // Colours are those of the page, as the browser resolves them.
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    return {
      ink: colour("ink"), quiet: colour("quiet"), grid: colour("grid"), ground: colour("raised"),
      series: colour("series"), band: colour("band"), alarm: colour("alarm"),
    };
  }

  // Times of Plotly have no zone: it shows local times if it is given them.
  const local = (ms) => {
    const offset = new Date(ms).getTimezoneOffset() * 60000;
    return new Date(ms - offset).toISOString().slice(0, -1);
  };
  const fromLocal = (text) => {
    const asUtc = Date.parse(text.replace(" ", "T") + (/[Zz]$/.test(text) ? "" : "Z"));
    const near = asUtc + new Date(asUtc).getTimezoneOffset() * 60000;
    return asUtc + new Date(near).getTimezoneOffset() * 60000;
  };

  const points = () => Math.max(200, Math.min(1600, Math.round(element.clientWidth)));

  async function load(chart, [sinceMs, untilMs]) {
    const query = new URLSearchParams({
      since: new Date(sinceMs).toISOString(),
      until: new Date(untilMs).toISOString(),
      points: String(points()),
      names: chart.names,
    });
    const answer = await fetch(chart.series + "?" + query, { signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Error("the series cannot be read: " + answer.status);
    return answer.json();
  }

  // A bucket is drawn as its lowest and its highest value; a line does not bridge a silence.
  function line(buckets, extent, gapMs) {
    const x = [];
    const y = [];
    let lastMs = Infinity;
    for (const bucket of buckets) {
      if (bucket.first_ms - lastMs > gapMs) {
        x.push(local(lastMs + 1));
        y.push(null);
      }
      lastMs = bucket.last_ms;
      const middle = local((bucket.first_ms + bucket.last_ms) / 2);
      const ends = extent(bucket);
      if (!ends) {
        x.push(middle);
        y.push(null);
      } else if (ends[0] === ends[1]) {
        x.push(middle);
        y.push(ends[0]);
      } else {
        x.push(local(bucket.first_ms), local(bucket.last_ms));
        y.push(ends[0], ends[1]);
      }
    }
    return { x, y };
  }

  // Several times the usual time between two buckets.
  function gap(buckets) {
    const between = buckets.slice(1).map((bucket, index) => bucket.first_ms - buckets[index].last_ms);
    between.sort((a, b) => a - b);
    return between.length ? 5 * between[Math.floor(between.length / 2)] : Infinity;
  }

  function anomalies(buckets, value) {
    const anomalous = buckets.filter((bucket) => bucket.anomalies > 0);
    return {
      x: anomalous.map((bucket) => local((bucket.first_ms + bucket.last_ms) / 2)),
      y: anomalous.map(value),
    };
  }

  // Thresholds that were applied, each from its first event to that of the next.
  function thresholds(buckets) {
    const runs = [];
    for (const bucket of buckets) {
      const last = runs.at(-1);
      if (last && last.threshold === bucket.threshold) {
        last.toMs = bucket.last_ms;
      } else {
        if (last) last.toMs = bucket.first_ms;
        runs.push({ threshold: bucket.threshold, fromMs: bucket.first_ms, toMs: bucket.last_ms });
      }
    }
    return runs;
  }

  const changesOfModel = (buckets) =>
    buckets.filter((bucket, index) => index > 0 && bucket.model !== buckets[index - 1].model);

  function farthest(ends, normal) {
    if (!ends) return null;
    const middle = normal ? (normal[0] + normal[1]) / 2 : ends[0];
    return middle - ends[0] > ends[1] - middle ? ends[0] : ends[1];
  }

  function figure({ chart, buckets, models }, range) {
    const colour = colours();
    const n = chart.features.length + 1;
    const traces = [];
    const layout = {
      height: PANEL_PX * n + 60,
      margin: { l: 58, r: 12, t: 24, b: 36 },
      paper_bgcolor: colour.ground,
      plot_bgcolor: colour.ground,
      font: { color: colour.quiet, family: "system-ui, sans-serif", size: 12 },
      showlegend: false,
      hovermode: "x",
      // A finger scrolls the page; a mouse moves the time.
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "pan",
      uirevision: "kept",
      shapes: [],
      annotations: [],
      xaxis: {
        type: "date", range: range.map(local), gridcolor: colour.grid, anchor: n === 1 ? "y" : "y" + n,
        linecolor: colour.quiet, hoverformat: "%H:%M:%S.%L",
      },
    };
    const room = 0.28 / n;
    const gapMs = gap(buckets);
    const draw = (index, title, extent, marked) => {
      const axis = index === 0 ? "y" : "y" + (index + 1);
      const top = 1 - index / n;
      layout["yaxis" + (index === 0 ? "" : index + 1)] = {
        domain: [1 - (index + 1) / n + (index === n - 1 ? 0 : room / 2), top - room / 2],
        gridcolor: colour.grid, zeroline: false, nticks: 4, fixedrange: false,
      };
      layout.annotations.push({
        text: "<b>" + escape(title) + "</b>", xref: "paper", yref: "paper", x: 0, y: top - room / 2,
        xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: colour.ink, size: 12 },
      });
      traces.push({
        ...line(buckets, extent, gapMs), yaxis: axis, type: "scatter", mode: "lines", name: escape(title), connectgaps: false,
        line: { color: colour.series, width: 1.4 },
      });
      traces.push({
        ...anomalies(buckets, marked), yaxis: axis, type: "scatter", mode: "markers", name: "anomaly",
        marker: { color: colour.alarm, symbol: "x-thin", size: 6, line: { color: colour.alarm, width: 1.6 } },
      });
      return axis;
    };
    chart.features.forEach((feature, index) => {
      const extent = (bucket) => bucket.values[index];
      const axis = draw(index, feature.title, extent, (bucket) => farthest(extent(bucket), feature.normal));
      const band = (ends, opacity) => layout.shapes.push({
        type: "rect", xref: "paper", yref: axis, x0: 0, x1: 1, y0: ends[0], y1: ends[1],
        fillcolor: colour.band, opacity, line: { width: 0 }, layer: "below",
      });
      if (feature.seen) band(feature.seen, 0.45);
      if (feature.normal) band(feature.normal, 0.8);
    });
    const axis = draw(n - 1, "anomaly score", (bucket) => bucket.score, (bucket) => bucket.score[1]);
    const applied = thresholds(buckets);
    for (const { threshold, fromMs, toMs } of applied) {
      layout.shapes.push({
        type: "line", xref: "x", yref: axis, x0: local(fromMs), x1: local(toMs), y0: threshold, y1: threshold,
        line: { color: colour.alarm, width: 1.5, dash: "dash" },
      });
    }
    // Without events, that of the current model.
    const last = applied.at(-1);
    layout.annotations.push({
      text: "threshold", xref: last ? "x" : "paper", yref: axis, x: last ? local(last.toMs) : 1,
      y: last ? last.threshold : chart.threshold, xanchor: "right", yanchor: "bottom",
      showarrow: false, font: { color: colour.alarm, size: 11 },
    });
    for (const bucket of changesOfModel(buckets)) {
      const x = local(bucket.first_ms);
      layout.shapes.push({
        type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: colour.quiet, width: 1 },
      });
      layout.annotations.push({
        text: escape("model " + models[bucket.model]), xref: "x", yref: "paper", x, y: 1,
        // On the side that has room.
        xanchor: bucket.first_ms > (range[0] + range[1]) / 2 ? "right" : "left", yanchor: "top", showarrow: false, font: { color: colour.quiet, size: 11 },
      });
    }
    return { traces, layout };
  }

  // Titles may have any text, and Plotly takes some of it for markup.
  function escape(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  const config = {
    responsive: true, displaylogo: false, scrollZoom: false, doubleClick: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetScale2d"],
  };

  // What is drawn: buckets, and the chart that they were asked for.
  let shown = null;
  let range = [chart.since_ms, chart.until_ms];
  let isZoomed = false;
  let turn = 0;
  let drawnUntilMs = -Infinity;

  async function draw() {
    const mine = ++turn;
    const [asked, until] = [chart, range[1]];
    const { buckets, models } = await load(asked, range);
    if (mine !== turn) return;
    shown = { chart: asked, buckets, models };
    drawnUntilMs = until;
    const isFirst = !element.classList.contains("js-plotly-plot");
    if (isFirst) element.replaceChildren();
    await react();
    if (isFirst) begin();
    partialNote.hidden = buckets.every((bucket) => bucket.is_whole);
    document.getElementById("chart-utc")?.remove();
  }

  function react() {
    const { traces, layout } = figure(shown, range);
    return Plotly.react(element, traces, layout, config);
  }

  // Where it cannot be drawn, what was drawn before stays, and the next refresh tries again.
  const tryToDraw = () => draw().catch((error) => console.warn(error.message));

  function showAll() {
    isZoomed = false;
    resetButton.hidden = true;
    range = [chart.since_ms, chart.until_ms];
    tryToDraw();
  }

  function begin() {
    let timer = 0;
    element.on("plotly_relayout", (change) => {
      const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
      const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
      if (from === undefined || to === undefined) return;
      range = [fromLocal(from), fromLocal(to)];
      isZoomed = true;
      resetButton.hidden = false;
      clearTimeout(timer);
      timer = setTimeout(tryToDraw, 200);
    });
    element.on("plotly_doubleclick", showAll);
    resetButton.addEventListener("click", showAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", react);
  }

  // The window of the server moves on; it is drawn again when it has moved by a pixel.
  document.addEventListener("page:refreshed", (event) => {
    if (event.detail) {
      const before = chart;
      chart = JSON.parse(event.detail);
      // Another model knows other features; and what matters most may be others now.
      if (JSON.stringify(chart.features) !== JSON.stringify(before.features)) {
        if (!isZoomed) range = [chart.since_ms, chart.until_ms];
        tryToDraw();
        return;
      }
    }
    if (shown && (!chart.is_live || isZoomed)) return;
    const pixelMs = Math.max(1000, (chart.until_ms - chart.since_ms) / points());
    if (shown && chart.until_ms - drawnUntilMs < pixelMs) return;
    range = [chart.since_ms, chart.until_ms];
    tryToDraw();
  });

  // First what the server has drawn is to be seen.
  requestAnimationFrame(() => setTimeout(tryToDraw));
})();
