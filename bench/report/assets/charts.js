"use strict";
// Line charts in SVG, and the view of quality against rate.
bench.charts = (() => {
  const { svg, known } = bench;
  const tick = (value) => (Math.abs(value) >= 10000 ? `${value / 1000}k` : String(Number(value.toPrecision(6))));

  function linearTicks(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const ticks = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(12)));
    return ticks;
  }

  function logTicks(low, high) {
    const all = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) for (const factor of [1, 2, 5]) all.push(factor * 10 ** power);
    const inside = all.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    return inside.length > 1 ? inside : linearTicks(low, high, 4);
  }

  function scale(values, log, from, to, padding) {
    let low = Math.min(...values);
    let high = Math.max(...values);
    if (low === high) [low, high] = log ? [low / 1.5, high * 1.5] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
    const forward = log ? Math.log : (value) => value;
    const back = log ? Math.exp : (value) => value;
    const margin = (forward(high) - forward(low)) * padding;
    const [a, b] = [forward(low) - margin, forward(high) + margin];
    const at = (value) => from + ((forward(value) - a) / (b - a)) * (to - from);
    return { at, low: back(a), high: back(b) };
  }

  // series: {label, colour, marker, dashes, points: [{x, y, low, high, lines, open}]}; steps: [[x, y], ...]; lines: [{y, label}]
  function chart({ title, xLabel, yLabel, log, series, steps = [], lines = [], width = 460, height = 300, diagonal = false }) {
    const [left, right, top, bottom] = [58, 12, 12, 42];
    const points = series.flatMap((each) => each.points);
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
    if (!points.length) {
      root.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" }, "nothing to draw"));
      return root;
    }
    const x = scale(points.map((point) => point.x), log, left, width - right, 0.06);
    const ys = [...points.flatMap((point) => [point.y, point.low, point.high]).filter(known), ...lines.map((line) => line.y)];
    const y = diagonal ? scale(points.flatMap((p) => [p.x, p.y]), false, height - bottom, top, 0.06) : scale(ys, false, height - bottom, top, 0.08);
    const across = diagonal ? scale(points.flatMap((p) => [p.x, p.y]), false, left, width - right, 0.06) : x;
    for (const value of linearTicks(y.low, y.high, 5)) {
      root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y.at(value), y2: y.at(value) }));
      root.append(svg("text", { class: "tick", x: left - 8, y: y.at(value) + 3.5, "text-anchor": "end" }, tick(value)));
    }
    for (const value of log ? logTicks(across.low, across.high) : linearTicks(across.low, across.high, 6)) {
      root.append(svg("line", { class: "notch", x1: across.at(value), x2: across.at(value), y1: height - bottom, y2: height - bottom + 4 }));
      root.append(svg("text", { class: "tick", x: across.at(value), y: height - bottom + 17, "text-anchor": "middle" }, tick(value)));
    }
    root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    root.append(svg("text", { class: "axis-label", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
    root.append(svg("text", { class: "axis-label", transform: `translate(13 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel));
    for (const line of lines) {
      root.append(svg("line", { class: "ceiling-line", x1: left, x2: width - right, y1: y.at(line.y), y2: y.at(line.y) }));
      root.append(svg("text", { class: "tick", x: left + 4, y: y.at(line.y) - 5 }, line.label));
    }
    if (diagonal) {
      const [a, b] = [Math.max(across.low, y.low), Math.min(across.high, y.high)];
      root.append(svg("line", { class: "ceiling-line", x1: across.at(a), y1: y.at(a), x2: across.at(b), y2: y.at(b) }));
    }
    if (steps.length > 1) {
      const path = steps.map(([sx, sy], n) => (n ? `H${across.at(sx)}V${y.at(sy)}` : `M${across.at(sx)} ${y.at(sy)}`)).join("");
      root.append(svg("path", { class: "front", d: path }));
    }
    for (const each of series) {
      if (each.dashes !== undefined && each.points.length > 1)
        root.append(svg("path", { class: "line", stroke: each.colour, "stroke-dasharray": each.dashes, d: each.points.map((p, n) => `${n ? "L" : "M"}${across.at(p.x)} ${y.at(p.y)}`).join("") }));
      for (const point of each.points) if (known(point.low))
        root.append(svg("line", { class: "interval", stroke: each.colour, x1: across.at(point.x), x2: across.at(point.x), y1: y.at(point.low), y2: y.at(point.high) }));
    }
    for (const each of series) for (const point of each.points) root.append(dot(each, point, across.at(point.x), y.at(point.y)));
    return root;
  }

  function dot(series, point, x, y) {
    const shape = svg("path", {
      class: "dot", d: bench.markerPath(series.marker, series.small ? 2.6 : 4.2), transform: `translate(${x} ${y})`, stroke: series.colour,
      fill: series.marker === "cross" ? "none" : series.colour, tabindex: series.small ? null : 0, role: series.small ? "img" : "link", "aria-label": point.lines.join(", "),
      onmousemove: (event) => bench.tooltip(event, point.lines), onmouseleave: bench.hideTooltip,
      onfocus: (event) => bench.tooltip(event, point.lines), onblur: bench.hideTooltip,
      onclick: () => { bench.hideTooltip(); point.open(); },
      onkeydown: (event) => { if (event.key === "Enter") { bench.hideTooltip(); point.open(); } },
    });
    return shape;
  }

  function legend(codecs, onToggle) {
    return bench.el("ul", { class: "codec-legend", "aria-label": "Codecs" }, codecs.map((codec) =>
      bench.el("li", {}, bench.el("button", { type: "button", "aria-pressed": String(!bench.state.hidden.has(codec.label)), onclick: () => onToggle(codec.label) },
        bench.marker(codec), bench.el("span", { dir: "auto" }, codec.label)))));
  }

  // Points as {x, y}; none other has as little x and as good y. Rising x.
  function front(points, up) {
    const beaten = (a) => points.some((b) => b.x <= a.x && up * b.y >= up * a.y && (b.x !== a.x || b.y !== a.y));
    return points.filter((point) => !beaten(point)).sort((a, b) => a.x - b.x).map((point) => [point.x, point.y]);
  }

  return { chart, legend, front };
})();

bench.views.curves = (() => {
  const { el, state, known } = bench;
  const AGAINST = [
    { name: "bitrate", label: "kbit/s (tokens and side information)", short: "kbps", divisor: 1000 },
    { name: "token_rate", label: "tokens per second", short: "tokens/s", divisor: 1 },
    { name: "frame_rate", label: "token frames per second (Hz)", short: "Hz", divisor: 1 },
  ];

  function panel(metric, points) {
    const info = bench.report.metrics[metric];
    const axis = AGAINST[state.against];
    const series = new Map();
    for (const point of points) {
      const rate = bench.rowOf(point).rates[axis.name];
      const [mean, low, high, , , , n, failed] = bench.rowOf(point).cells[metric];
      if (bench.isCeiling(point) || !known(mean) || !rate) continue;
      const codec = bench.codecOf(point);
      if (!series.has(codec.label)) series.set(codec.label, { ...codec, points: [] });
      const interval = known(low) ? ` (${bench.fixed(low, info.decimals)} to ${bench.fixed(high, info.decimals)})` : "";
      series.get(codec.label).points.push({
        x: rate / axis.divisor, y: mean, low, high,
        lines: [bench.nameOf(point), `${info.name} ${bench.fixed(mean, info.decimals)}${interval}`, `${bench.digits(rate / axis.divisor)} ${axis.short}${bench.stated(point)}`, `n = ${n}${failed ? `, ${failed} failed` : ""}`],
        open: () => bench.go({ view: "listen", point, metric: info.name }),
      });
    }
    const drawn = [...series.values()].map((each) => ({ ...each, points: each.points.sort((a, b) => a.x - b.x) }));
    const lines = points.filter((point) => bench.isCeiling(point) && known(bench.rowOf(point).cells[metric][0]))
      .map((point) => ({ y: bench.rowOf(point).cells[metric][0], label: bench.codecOf(point).label }));
    const steps = bench.charts.front(drawn.flatMap((each) => each.points), info.higher_is_better ? 1 : -1);
    const chart = bench.charts.chart({ title: `${info.name} against ${axis.label}`, xLabel: axis.label, yLabel: bench.metricHead(metric), log: state.log, series: drawn, steps, lines });
    return el("figure", {}, chart);
  }

  function draw() {
    const points = bench.visiblePoints();
    const codecs = [...new Set(points.filter((point) => !bench.isCeiling(point)).map(bench.codecOf))];
    const shown = points.filter((point) => !state.hidden.has(bench.codecOf(point).label));
    const toggle = (label) => { state.hidden.has(label) ? state.hidden.delete(label) : state.hidden.add(label); draw(); };
    document.getElementById("curves").replaceChildren(
      el("h2", { id: "curves-title" }, "Quality against rate"),
      el("div", { class: "tools" },
        bench.select("Against", AGAINST.map((axis, number) => [number, axis.label]), state.against, (choice) => { state.against = choice; draw(); }),
        el("label", { class: "check" }, el("input", { type: "checkbox", checked: state.log, onchange: (event) => { state.log = event.target.checked; draw(); } }), "logarithmic axis")),
      bench.charts.legend(codecs, toggle),
      el("div", { class: "figures" }, bench.report.ranking.map((metric) => panel(metric, shown))),
      el("p", { class: "legend" }, "Bars are 95 % intervals. The wide grey line is the Pareto front of what is shown; the dotted line is the unprocessed reference. Diamonds and solid lines are dynamic frame rates, circles and dashes fixed ones, squares and dots classical coders. Choose a point to hear its worst utterances."),
    );
  }

  return { title: "Curves", filters: true, draw, AGAINST };
})();
