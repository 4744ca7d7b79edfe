"use strict";
// Line charts in SVG, and the view of quality against rate.
bench.charts = (() => {
  const { svg, known } = bench;
  const tick = (value) => bench.minus(Math.abs(value) >= 10000 ? `${value / 1000}k` : String(Number(value.toPrecision(6))));

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

  // From values, with a margin; or of the `range` that was asked for, as it is.
  function scale(values, log, from, to, padding, range) {
    let low = Math.min(...values);
    let high = Math.max(...values);
    if (low === high) [low, high] = log ? [low / 1.5, high * 1.5] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
    const forward = log ? Math.log : (value) => value;
    const back = log ? Math.exp : (value) => value;
    const margin = (forward(high) - forward(low)) * padding;
    const [a, b] = range ? range.map(forward) : [forward(low) - margin, forward(high) + margin];
    const at = (value) => from + ((forward(value) - a) / (b - a)) * (to - from);
    const value = (place) => back(a + ((place - from) / (to - from)) * (b - a));
    return { at, value, low: back(a), high: back(b) };
  }

  let clips = 0;

  // series: {label, colour, marker, dashes, points: [{x, y, low, high, lines, open, marker}]}; steps: [[x, y], ...]; lines: [{y, label}]
  // ranges: {x: [from, to], y: [from, to]}, where they are not those of the points; onzoom is given the two that were drawn across
  function chart({ title, xLabel, yLabel, log, series, steps = [], lines = [], width = 460, height = 300, diagonal = false, labelled = false, ranges = {}, onzoom = null }) {
    const [left, right, top, bottom] = [58, 12, 12, 42];
    const points = series.flatMap((each) => each.points);
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
    if (!points.length) {
      root.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" }, "nothing to draw"));
      return root;
    }
    const x = scale(points.map((point) => point.x), log, left, width - right, 0.06, ranges.x);
    const ys = [...points.flatMap((point) => [point.y, point.low, point.high]).filter(known), ...lines.map((line) => line.y)];
    const y = diagonal ? scale(points.flatMap((p) => [p.x, p.y]), false, height - bottom, top, 0.06) : scale(ys, false, height - bottom, top, 0.08, ranges.y);
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
    const clip = `clip${clips++}`;
    root.append(svg("clipPath", { id: clip }, svg("rect", { x: left - 6, y: top - 8, width: width - left - right + 14, height: height - top - bottom + 14 })));
    const inside = svg("g", { "clip-path": `url(#${clip})` });
    root.append(inside);
    for (const line of lines) {
      inside.append(svg("line", { class: "ceiling-line", x1: left, x2: width - right, y1: y.at(line.y), y2: y.at(line.y) }));
      inside.append(svg("text", { class: "tick", x: left + 4, y: y.at(line.y) - 5 }, line.label));
    }
    if (diagonal) {
      const [a, b] = [Math.max(across.low, y.low), Math.min(across.high, y.high)];
      inside.append(svg("line", { class: "ceiling-line", x1: across.at(a), y1: y.at(a), x2: across.at(b), y2: y.at(b) }));
    }
    if (steps.length > 1) {
      const path = steps.map(([sx, sy], n) => (n ? `H${across.at(sx)}V${y.at(sy)}` : `M${across.at(sx)} ${y.at(sy)}`)).join("");
      inside.append(svg("path", { class: "front", d: path }));
    }
    for (const each of series) {
      if (each.dashes !== undefined && each.points.length > 1)
        inside.append(svg("path", { class: "line", stroke: each.colour, "stroke-dasharray": each.dashes, d: (each.through ?? each.points.map((p) => [p.x, p.y])).map(([px, py], n) => `${n ? "L" : "M"}${across.at(px)} ${y.at(py)}`).join("") }));
      for (const point of each.points) if (known(point.low))
        inside.append(svg("line", { class: "interval", stroke: each.colour, x1: across.at(point.x), x2: across.at(point.x), y1: y.at(point.low), y2: y.at(point.high) }));
    }
    const shows = (point) => point.x >= across.low && point.x <= across.high && point.y >= y.low && point.y <= y.high;
    const dots = series.flatMap((each) => each.points.filter(shows).map((point) => ({ point, x: across.at(point.x), y: y.at(point.y), node: dot(each, point, across.at(point.x), y.at(point.y)) })));
    inside.append(...dots.map((each) => each.node));
    if (labelled) inside.append(...directLabels(series, dots, (p) => [across.at(p.x), y.at(p.y)], { left, right: width, top: 0, bottom: height - bottom }));
    if (!labelled && series.length > 1) root.append(names(series, left, height));
    reach(root, dots, width);
    if (onzoom) brush(root, { left, right: width - right, top, bottom: height - bottom, width }, ([x1, x2], [y1, y2]) => onzoom({ x: [across.value(x1), across.value(x2)], y: [y.value(y2), y.value(y1)] }));
    return root;
  }

  function dot(series, point, x, y) {
    const marker = point.marker ?? series.marker;
    return svg("path", {
      class: "dot", d: bench.markerPath(marker, series.small ? 2.6 : 4.2), transform: `translate(${x} ${y})`, stroke: series.colour,
      fill: marker === "cross" ? "none" : series.colour, tabindex: -1, role: "link", "aria-label": point.lines.join(", "),
    });
  }

  // What the legend says, for a file of the chart alone: below it, where the page does not show.
  function names(series, left, height) {
    const at = (number) => `translate(${left + 130 * (number % 3)} ${height + 12 + 16 * Math.floor(number / 3)})`;
    return svg("g", { class: "names", "data-height": 8 + 16 * Math.ceil(series.length / 3) }, series.map((each, number) => svg("g", { transform: at(number) },
      svg("path", { d: bench.markerPath(each.marker, 4.2), fill: each.marker === "cross" ? "none" : each.colour, stroke: each.colour }), svg("text", { x: 10, y: 4 }, each.label))));
  }

  // The name of a series beside its last point, on the first side where neither a dot nor another name stands.
  function directLabels(series, dots, place, frame) {
    const taken = dots.map(({ x, y }) => [x - 4, y - 4, x + 4, y + 4]);
    const free = (box) => box[0] >= frame.left && box[2] <= frame.right && box[1] >= frame.top && box[3] <= frame.bottom
      && !taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
    return series.flatMap((each) => {
      const last = each.points.filter((point) => dots.some((dot) => dot.point === point)).at(-1);
      if (!last) return [];
      const [x, y] = place(last);
      const length = 5.6 * each.label.length;
      const box = [[x + 8, y], [x - 8 - length, y], [x - length / 2, y - 12], [x - length / 2, y + 12]].map(([left, middle]) => [left, middle - 6, left + length, middle + 6]).find(free);
      if (!box) return [];
      taken.push(box);
      return [svg("text", { class: "direct", x: box[0], y: box[1] + 9.5, fill: each.colour }, each.label)];
    });
  }

  // The dot nearest to a pointer tells its values, and opens what it stands for; a finger's first tap only tells. One stop of the tab key a
  // chart: arrows lead from dot to dot.
  function reach(root, dots, width) {
    if (!dots.length) return;
    let told = null;
    const ordered = [...dots].sort((a, b) => a.x - b.x || a.y - b.y);
    ordered[0].node.setAttribute("tabindex", 0);
    const nearest = (event) => {
      const box = root.getBoundingClientRect();
      const size = width / box.width;
      const [px, py] = [(event.clientX - box.left) * size, (event.clientY - box.top) * size];
      const distance = (each) => Math.hypot(each.x - px, each.y - py);
      const found = dots.reduce((a, b) => (distance(b) < distance(a) ? b : a));
      return distance(found) <= (event.pointerType === "touch" ? 26 : 12) * size ? found : null;
    };
    const tell = (event, found) => {
      told = found;
      found ? bench.tooltip(event, found.point.lines) : bench.hideTooltip();
      root.classList.toggle("at-dot", Boolean(found));
    };
    const open = (found) => { bench.hideTooltip(); found.point.open(); };
    const of = (node) => ordered.find((each) => each.node === node);
    root.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") tell(event, nearest(event)); });
    root.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") tell(event, null); });
    root.addEventListener("focusin", (event) => { if (of(event.target)?.node.matches(":focus-visible")) tell(event, of(event.target)); });
    root.addEventListener("focusout", bench.hideTooltip);
    root.addEventListener("click", (event) => {
      const found = nearest(event);
      if (root.dataset.brushed) return;
      if (found && (event.pointerType !== "touch" || told === found)) open(found);
      else if (event.pointerType === "touch") tell(event, found);
    });
    root.addEventListener("keydown", (event) => {
      const here = ordered.findIndex((each) => each.node === event.target);
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter" && here >= 0) open(ordered[here]);
      else if (step && here >= 0) {
        const next = ordered[(here + step + ordered.length) % ordered.length];
        for (const each of ordered) each.node.setAttribute("tabindex", each === next ? 0 : -1);
        next.node.focus();
        event.preventDefault();
      }
    });
  }

  // A rectangle drawn with the mouse; what it holds becomes the whole chart.
  function brush(root, frame, done) {
    let start = null;
    let drawn = null;
    const at = (event) => {
      const box = root.getBoundingClientRect();
      const size = frame.width / box.width;
      return [Math.max(frame.left, Math.min(frame.right, (event.clientX - box.left) * size)), Math.max(frame.top, Math.min(frame.bottom, (event.clientY - box.top) * size))];
    };
    root.addEventListener("pointerdown", (event) => {
      delete root.dataset.brushed;
      if (event.pointerType === "touch" || event.button !== 0) return;
      start = at(event);
      event.preventDefault(); // no text is selected meanwhile
    });
    root.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = at(event);
      if (!drawn && Math.hypot(x - start[0], y - start[1]) < 6) return;
      drawn ??= root.appendChild(svg("rect", { class: "brush" }));
      root.setPointerCapture(event.pointerId);
      for (const [name, value] of Object.entries({ x: Math.min(x, start[0]), y: Math.min(y, start[1]), width: Math.abs(x - start[0]), height: Math.abs(y - start[1]) })) drawn.setAttribute(name, value);
    });
    root.addEventListener("pointerup", (event) => {
      const [from, to] = [start, at(event)];
      start = null;
      if (!drawn) return;
      drawn.remove();
      drawn = null;
      root.dataset.brushed = "1";
      bench.hideTooltip();
      const sorted = (n) => [Math.min(from[n], to[n]), Math.max(from[n], to[n])];
      if (Math.abs(from[0] - to[0]) > 4 && Math.abs(from[1] - to[1]) > 4) done(sorted(0), sorted(1));
    });
  }

  function legend(entries, hidden, onToggle) {
    return bench.el("ul", { class: `codec-legend ${bench.address.embedded === null ? "" : "only"}`, "aria-label": "What is drawn" }, entries.map((entry) =>
      bench.el("li", {}, bench.el("button", { type: "button", "aria-pressed": String(!hidden.has(entry.label)), onclick: () => onToggle(entry.label) },
        bench.marker(entry), bench.el("span", { dir: "auto" }, entry.label)))));
  }

  // A chart as a file of its own: with its looks, which on the page are the style sheet's.
  function standalone(root) {
    const copy = root.cloneNode(true);
    const [originals, copies] = [root, copy].map((each) => [each, ...each.querySelectorAll("*")]);
    copies.forEach((node, number) => {
      const style = getComputedStyle(originals[number]);
      for (const name of ["fill", "stroke", "stroke-width", "paint-order", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-size", "font-family"]) node.style.setProperty(name, style.getPropertyValue(name));
      for (const name of ["tabindex", "role", "class"]) node.removeAttribute(name);
    });
    const { width } = root.viewBox.baseVal;
    const height = root.viewBox.baseVal.height + Number(root.querySelector(".names")?.dataset.height ?? 0);
    copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.prepend(svg("title", {}, root.getAttribute("aria-label")), svg("rect", { width, height, fill: getComputedStyle(document.body).backgroundColor }));
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  const save = (href, name) => bench.el("a", { href, download: name }).click();
  const address = (text) => `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;

  async function savePng(root, name) {
    const { text, width, height } = standalone(root);
    const image = new Image();
    image.src = address(text);
    await image.decode();
    const canvas = bench.el("canvas", { width: 3 * width, height: 3 * height });
    canvas.getContext("2d").drawImage(image, 0, 0, 3 * width, 3 * height);
    save(canvas.toDataURL("image/png"), `${name}.png`);
  }

  function embed(key) {
    const page = new URL(location.href);
    page.search = "?embed=chart";
    page.hash = `${location.hash}&chart=${encodeURIComponent(key)}`;
    const text = `<iframe src="${page.href.replaceAll("&", "&amp;")}" width="640" height="460" title="Chart"></iframe>`;
    bench.define("This chart in another page", [["", "Where this report lies on a server, its address stands in place of the file's."], ["", text]]);
  }

  // A chart with its caption, and what can be taken from it. `key` names it within its view.
  function figure(key, caption, root, more = []) {
    const name = key.replace(/[^A-Za-z0-9._-]+/g, "_");
    const button = (text, onclick) => bench.el("button", { type: "button", class: "plain", onclick }, text);
    return bench.el("figure", { "data-chart": key, class: bench.address.embedded === key ? "only" : null }, caption, root,
      bench.el("details", { class: "take" }, bench.el("summary", { "aria-label": `Save ${key}` }, "Save"),
        bench.el("div", { class: "tools" }, more, button("SVG", () => save(address(standalone(root).text), `${name}.svg`)), button("PNG", () => savePng(root, name)), button("Embed", () => embed(key)))));
  }

  // Points as {x, y}; none other has as little x and as good y. Rising x.
  function front(points, up) {
    const beaten = (a) => points.some((b) => b.x <= a.x && up * b.y >= up * a.y && (b.x !== a.x || b.y !== a.y));
    return points.filter((point) => !beaten(point)).sort((a, b) => a.x - b.x).map((point) => [point.x, point.y]);
  }

  return { chart, legend, front, figure };
})();

bench.views.curves = (() => {
  const { el, known } = bench;
  const NAMED = 10; // more lines than these are coloured by what they have in common, and named where they end
  const AGAINST = [
    { name: "bitrate", label: "kbit/s (tokens and side information)", short: "kbps", divisor: 1000 },
    { name: "token_rate", label: "tokens per second", short: "tokens/s", divisor: 1 },
    { name: "frame_rate", label: "token frames per second (Hz)", short: "Hz", divisor: 1 },
  ];
  const chosen = { against: 0, log: true, families: true, classical: null, reference: false, hidden: new Set(), x: null, y: new Map() };

  const lineOf = (codec) => (chosen.families && codec.family ? codec.family : codec.label);

  // What the legend names: the lines, or where they are too many what they have in common. codec -> {label, colour, marker}
  function groups(codecs) {
    const by = [lineOf, (codec) => codec.family || codec.module, (codec) => codec.kind].find((each) => new Set(codecs.map(each)).size <= NAMED) ?? ((codec) => codec.kind);
    const names = [...new Set(codecs.map(by))];
    const { colours } = bench.report;
    const fine = new Set(codecs.map(lineOf)).size <= NAMED;
    const firsts = names.map((name) => codecs.find((codec) => by(codec) === name));
    const apart = new Set(firsts.map((codec) => codec.colour)).size === names.length; // else the page's colours are of something wider
    const looks = new Map(names.map((name, number) => [name, { label: name, marker: firsts[number].marker, colour: apart ? firsts[number].colour : colours[number % colours.length] }]));
    return { fine, of: (codec) => looks.get(by(codec)), entries: [...looks.values()] };
  }

  function panel(metric, points, group) {
    const info = bench.report.metrics[metric];
    const axis = AGAINST[chosen.against];
    const series = new Map();
    for (const point of points) {
      const rate = bench.rowOf(point).rates[axis.name];
      const [mean, low, high, , , , n, failed] = bench.rowOf(point).cells[metric];
      if (bench.isCeiling(point) || !known(mean) || !rate) continue;
      const codec = bench.codecOf(point);
      const line = lineOf(codec);
      if (!series.has(line)) series.set(line, { label: line, family: line === codec.family, dashes: codec.dashes, colour: group.of(codec).colour, marker: codec.marker, points: [] });
      const interval = known(low) ? ` (${bench.fixed(low, info.decimals)} to ${bench.fixed(high, info.decimals)})` : "";
      series.get(line).points.push({
        x: rate / axis.divisor, y: mean, low, high, marker: codec.marker,
        lines: [bench.nameOf(point), `${info.name} ${bench.fixed(mean, info.decimals)}${interval}`, `${bench.digits(rate / axis.divisor)} ${axis.short}${bench.stated(point)}`, `n = ${n}${failed ? `, ${failed} failed` : ""}`],
        open: () => bench.go({ view: "listen", point, metric: info.name }),
      });
    }
    const up = info.higher_is_better ? 1 : -1;
    // The line of a family passes over members that a cheaper one beats: nobody who has the family would take them.
    const drawn = [...series.values()].map((each) => ({ ...each, points: each.points.sort((a, b) => a.x - b.x), through: each.family ? bench.charts.front(each.points, up) : null }));
    const lines = points.filter((point) => chosen.reference && bench.isCeiling(point) && known(bench.rowOf(point).cells[metric][0]))
      .map((point) => ({ y: bench.rowOf(point).cells[metric][0], label: bench.codecOf(point).label }));
    const steps = bench.charts.front(drawn.flatMap((each) => each.points), up);
    const rounded = (range) => range.map((value) => Number(value.toPrecision(4)));
    const zoom = ({ x, y }) => { chosen.x = rounded(x); chosen.y.set(info.name, rounded(y)); draw(); };
    const chart = bench.charts.chart({
      title: `${info.name} against ${axis.label}`, xLabel: axis.label, yLabel: bench.metricHead(metric), log: chosen.log, series: drawn, steps, lines,
      labelled: !group.fine, width: window.innerWidth < 500 ? 340 : 460, ranges: { x: chosen.x, y: chosen.y.get(info.name) }, onzoom: zoom,
    });
    return bench.charts.figure(info.name, null, chart, rangeFields(info.name, chosen.y.get(info.name), (range) => { range ? chosen.y.set(info.name, range) : chosen.y.delete(info.name); draw(); }));
  }

  // Two numbers for what the mouse can draw: both must be there, the first below the second.
  function rangeFields(name, range, onchange) {
    const boxes = [0, 1].map((n) => el("input", { type: "number", step: "any", value: range ? range[n] : "", onchange: () => {
      const values = boxes.map((box) => bench.address.number(box.value));
      if (values.every(known) && values[0] < values[1]) onchange(values);
      else if (range && values.every((value) => value === null)) onchange(null);
    } }));
    return boxes.map((box, n) => el("label", { class: "field" }, el("span", {}, `${name} ${n ? "to" : "from"}`), box));
  }

  function draw() {
    const visible = bench.visiblePoints();
    const others = visible.filter((point) => !["ceiling", "classical"].includes(bench.codecOf(point).kind));
    const classical = chosen.classical ?? !others.length;
    const drawable = visible.filter((point) => classical || bench.codecOf(point).kind !== "classical");
    const codecs = [...new Set(drawable.filter((point) => !bench.isCeiling(point)).map(bench.codecOf))];
    const group = groups(codecs);
    const shown = drawable.filter((point) => bench.isCeiling(point) || !chosen.hidden.has(group.of(bench.codecOf(point)).label));
    const axis = AGAINST[chosen.against];
    const toggle = (label) => { chosen.hidden.has(label) ? chosen.hidden.delete(label) : chosen.hidden.add(label); draw(); };
    const check = (label, checked, change) => el("label", { class: "check" }, el("input", { type: "checkbox", checked, onchange: (event) => { change(event.target.checked); draw(); } }), label);
    const has = (what) => visible.some((point) => what(bench.codecOf(point)));
    bench.redraw(document.getElementById("curves"),
      el("h2", { id: "curves-title" }, "Quality against rate"),
      el("div", { class: "tools" },
        bench.select("Against", AGAINST.map((each, number) => [number, each.label]), chosen.against, (choice) => { Object.assign(chosen, { against: choice, x: null }); draw(); }),
        check("logarithmic axis", chosen.log, (on) => { chosen.log = on; }),
        has((codec) => codec.kind === "classical") && others.length ? check("classical coders", classical, (on) => { chosen.classical = on; }) : null,
        has((codec) => codec.kind === "ceiling") ? check("reference", chosen.reference, (on) => { chosen.reference = on; }) : null,
        has((codec) => codec.family) ? check("a family is one line", chosen.families, (on) => { chosen.families = on; }) : null,
        rangeFields(axis.short, chosen.x, (range) => { if (!range || !chosen.log || range[0] > 0) { chosen.x = range; draw(); } }),
        chosen.x || chosen.y.size ? el("button", { type: "button", class: "plain", onclick: () => { chosen.x = null; chosen.y.clear(); draw(); } }, "Whole range") : null),
      bench.charts.legend(group.entries, chosen.hidden, toggle),
      el("div", { class: "figures" }, bench.report.ranking.map((metric) => panel(metric, shown, group))),
      el("p", { class: "legend" }, "Bars are 95 % intervals. The wide grey line is the Pareto front of what is shown; the dotted line is the unprocessed reference. The line of a family passes over members that a cheaper one beats. Diamonds and solid lines are dynamic frame rates, circles and dashes fixed ones, squares and dots classical coders, triangles recordings. Draw across a chart with the mouse to see a part of it. Choose a point to hear its worst utterances; arrow keys lead from point to point."),
    );
  }

  const keep = () => ({
    against: chosen.against ? AGAINST[chosen.against].name : null, log: chosen.log ? null : 0, families: chosen.families ? null : 0,
    classical: chosen.classical === null ? null : Number(chosen.classical), reference: chosen.reference ? 1 : null, hidden: [...chosen.hidden].join(","),
    x: chosen.x && chosen.x.join(","), y: [...chosen.y].map((each) => each.flat().join(",")).join(";"),
  });

  function recall(parts) {
    const flag = (text, usual) => (text === "1" ? true : text === "0" ? false : usual);
    const pair = (values) => { const range = values.map(bench.address.number); return range.length === 2 && range.every(known) && range[0] < range[1] ? range : null; };
    const log = flag(parts.log, true);
    const x = pair((parts.x || "").split(","));
    Object.assign(chosen, {
      against: Math.max(0, AGAINST.findIndex((axis) => axis.name === parts.against)), log, families: flag(parts.families, true), classical: flag(parts.classical, null),
      reference: flag(parts.reference, false), hidden: new Set((parts.hidden || "").split(",").filter(Boolean)), x: x && log && x[0] <= 0 ? null : x,
      y: new Map((parts.y || "").split(";").map((each) => each.split(",")).map(([name, ...range]) => [name, pair(range)]).filter(([, range]) => range)),
    });
  }

  return { title: "Curves", filters: true, draw, keep, recall, AGAINST };
})();
