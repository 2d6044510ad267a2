// Draws the values and scores of a station so that they can be looked into.
"use strict";

(() => {
  const element = document.getElementById("chart");
  if (!element || !window.Plotly) return;
  const chart = JSON.parse(element.dataset.chart);
  const names = chart.features.map((feature) => feature.name).join(",");
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

  // Times of Plotly have no zone: what it shows is local when it is told so.
  const local = (ms) => {
    const offset = new Date(ms).getTimezoneOffset() * 60000;
    return new Date(ms - offset).toISOString().slice(0, -1);
  };
  const fromLocal = (text) => {
    const asUtc = Date.parse(text.replace(" ", "T") + (/[Zz]$/.test(text) ? "" : "Z"));
    const near = asUtc + new Date(asUtc).getTimezoneOffset() * 60000;
    return asUtc + new Date(near).getTimezoneOffset() * 60000;
  };

  async function load(sinceMs, untilMs) {
    const query = new URLSearchParams({
      since: new Date(sinceMs).toISOString(),
      until: new Date(untilMs).toISOString(),
      points: String(Math.max(200, Math.min(1600, Math.round(element.clientWidth)))),
    });
    if (names) query.set("features", names);
    const answer = await fetch(chart.series + "?" + query);
    if (!answer.ok) throw new Error("the series cannot be read: " + answer.status);
    return answer.json();
  }

  // A bucket is drawn as its lowest and its highest value.
  function line(buckets, extent) {
    const x = [];
    const y = [];
    for (const bucket of buckets) {
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

  function anomalies(buckets, value) {
    const anomalous = buckets.filter((bucket) => bucket.anomalies > 0);
    return {
      x: anomalous.map((bucket) => local((bucket.first_ms + bucket.last_ms) / 2)),
      y: anomalous.map(value),
    };
  }

  function farthest(ends, normal) {
    if (!ends) return null;
    const middle = normal ? (normal[0] + normal[1]) / 2 : ends[0];
    return middle - ends[0] > ends[1] - middle ? ends[0] : ends[1];
  }

  function figure(buckets, range) {
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
      dragmode: "pan",
      uirevision: "kept",
      shapes: [],
      annotations: [],
      xaxis: {
        type: "date", range: range.map(local), gridcolor: colour.grid, anchor: n === 1 ? "y" : "y" + n,
        linecolor: colour.quiet, hoverformat: "%H:%M:%S.%L",
      },
    };
    const gap = 0.28 / n;
    const draw = (index, title, extent, marked) => {
      const axis = index === 0 ? "y" : "y" + (index + 1);
      const top = 1 - index / n;
      layout["yaxis" + (index === 0 ? "" : index + 1)] = {
        domain: [1 - (index + 1) / n + (index === n - 1 ? 0 : gap / 2), top - gap / 2],
        gridcolor: colour.grid, zeroline: false, nticks: 4, fixedrange: false,
      };
      layout.annotations.push({
        text: "<b>" + escape(title) + "</b>", xref: "paper", yref: "paper", x: 0, y: top - gap / 2,
        xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: colour.ink, size: 12 },
      });
      traces.push({
        ...line(buckets, extent), yaxis: axis, type: "scatter", mode: "lines", name: escape(title), connectgaps: false,
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
    layout.shapes.push({
      type: "line", xref: "paper", yref: axis, x0: 0, x1: 1, y0: chart.threshold, y1: chart.threshold,
      line: { color: colour.alarm, width: 1.5, dash: "dash" },
    });
    layout.annotations.push({
      text: "threshold", xref: "paper", yref: axis, x: 1, y: chart.threshold, xanchor: "right", yanchor: "bottom",
      showarrow: false, font: { color: colour.alarm, size: 11 },
    });
    return { traces, layout };
  }

  // Titles may have any text, and Plotly takes some of it for markup.
  function escape(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  const config = {
    responsive: true, displaylogo: false, scrollZoom: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  let shown = null;
  let range = [chart.since_ms, chart.until_ms];
  let isZoomed = false;
  let turn = 0;

  async function draw() {
    const mine = ++turn;
    const series = await load(range[0], range[1]);
    if (mine !== turn) return;
    shown = series.buckets;
    const { traces, layout } = figure(shown, range);
    if (!element.classList.contains("js-plotly-plot")) element.replaceChildren();
    await Plotly.react(element, traces, layout, config);
  }

  function redrawColours() {
    if (!shown) return;
    const { traces, layout } = figure(shown, range);
    Plotly.react(element, traces, layout, config);
  }

  function begin() {
    let timer = 0;
    element.on("plotly_relayout", (change) => {
      const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
      const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
      if (change["xaxis.autorange"]) {
        range = [chart.since_ms, chart.until_ms];
        isZoomed = false;
      } else if (from !== undefined && to !== undefined) {
        range = [fromLocal(from), fromLocal(to)];
        isZoomed = true;
      } else {
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(() => draw().catch(() => {}), 200);
    });
    element.on("plotly_doubleclick", () => {
      range = [chart.since_ms, chart.until_ms];
      isZoomed = false;
      draw().catch(() => {});
      return false;
    });
    document.addEventListener("page:refreshed", () => {
      if (!chart.is_live || isZoomed) return;
      const width = chart.until_ms - chart.since_ms;
      range = [Date.now() - width, Date.now()];
      draw().catch(() => {});
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawColours);
  }

  // Where it cannot be drawn, the drawing of the server stays.
  draw().then(begin, () => {});
})();
