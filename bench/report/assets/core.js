"use strict";
// What all views share: loading, elements, numbers, filters and the state that the address bar keeps.
const bench = (() => {
  const loads = new Map();
  let report = null;

  // Files beside the page come as scripts: fetch() may not read the file system.
  function receive(name, data) {
    if (name === "report") report = data;
    else loads.get(name)?.resolve(data);
  }

  function load(name, path) {
    if (!loads.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => {
        entry.resolve = resolve;
        const tag = document.createElement("script");
        tag.src = path;
        tag.onerror = () => {
          loads.delete(name);
          reject(new Error(`${path} is not beside this page`));
        };
        document.head.append(tag);
      });
      loads.set(name, entry);
    }
    return loads.get(name).promise;
  }

  // Names and texts from data only ever become text nodes and attributes, never HTML.
  function build(create, tag, attributes, children) {
    const node = create(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  const el = (tag, attributes, ...children) => build((t) => document.createElement(t), tag, attributes, children);
  const svg = (tag, attributes, ...children) =>
    build((t) => document.createElementNS("http://www.w3.org/2000/svg", t), tag, attributes, children);

  // A wide table in a box of its own, which says where there is more of it; one that fits is no box, so that its head sticks to the page.
  function scroll(name, content, attributes = {}) {
    const box = el("div", { ...attributes, class: `scroll ${attributes.class || ""}`, role: "region", "aria-label": `${name}, scrolls sideways` }, content);
    const holder = el("div", { class: "scroller" }, box);
    const look = () => {
      const hidden = box.scrollWidth - box.clientWidth;
      box.classList.toggle("fits", hidden <= 1);
      hidden > 1 || box.scrollHeight - box.clientHeight > 1 ? box.setAttribute("tabindex", 0) : box.removeAttribute("tabindex");
      holder.dataset.more = [hidden > 1 && box.scrollLeft > 1 ? "left" : "", hidden - box.scrollLeft > 1 ? "right" : ""].filter(Boolean).join(" ");
    };
    box.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(box);
    if (content instanceof Element) observer.observe(content);
    return holder;
  }

  // What a section holds, anew: the control that has the focus keeps it, what is folded out stays so, and what is scrolled stays where it is.
  function redraw(section, ...children) {
    const within = (selector) => [...section.querySelectorAll(selector)];
    const named = (node) => node.id || node.dataset.column || node.getAttribute("aria-label") || (node.labels?.[0]?.querySelector(":scope > span") || node.labels?.[0] || node).textContent;
    const nth = (selector, alike) => (node) => {
      const name = alike(node);
      const number = within(selector).filter((each) => alike(each) === name).indexOf(node);
      return () => within(selector).filter((each) => alike(each) === name)[number];
    };
    const FOCUSABLE = "a, button, input, select, summary, [tabindex]";
    const focused = section.contains(document.activeElement) && document.activeElement.matches(FOCUSABLE) ? nth(FOCUSABLE, (node) => `${node.tagName} ${named(node)}`)(document.activeElement) : null;
    const folded = within("details").map((node) => [node.open, nth("details", (each) => each.className || each.firstChild.textContent)(node)]);
    const scrolled = within(".scroll, ol").filter((node) => node.scrollLeft || node.scrollTop).map((node) => [node.scrollLeft, node.scrollTop, nth(".scroll, ol", (each) => each.getAttribute("aria-label"))(node)]);
    section.replaceChildren(...children.flat().filter(Boolean));
    for (const [open, again] of folded) if (again()) again().open = open;
    for (const [left, top, again] of scrolled) again()?.scrollTo(left, top);
    focused?.()?.focus({ preventScroll: true });
    bench.address.remember();
  }

  // Long names may be broken where their parts meet, but no number leaves its unit, and no arrow its name.
  const WHOLE = /([\d.]+ (?:Hz|kbps|bit\/s|codebooks?)|[^\s_@]+ [↑↓])/;
  const breakable = (name) => name.split(WHOLE).flatMap((part, n) =>
    n % 2 ? el("span", { class: "nowrap" }, part) : part.split(/(?<=[_@])/).flatMap((piece) => (/[_@]$/.test(piece) ? [piece, el("wbr")] : [piece])));

  const missing = "–";
  const known = (value) => value !== null && value !== undefined;
  const minus = (text) => text.replace(/^-/, "−");
  const typed = (value, decimals) => (Math.round(value * 10 ** decimals) / 10 ** decimals + 0).toFixed(decimals); // for files, which want the hyphen
  const fixed = (value, decimals) => (known(value) ? minus(typed(value, decimals)) : missing);
  const digits = (value, count = 3) => (known(value) ? String(Number(value.toPrecision(count))) : missing);
  const kbps = (bitrate) => (known(bitrate) ? digits(bitrate / 1000) : missing);
  const signed = (value, decimals) => (known(value) ? (value > 0 ? "+" : value < 0 ? "−" : "") + fixed(Math.abs(value), decimals) : missing);
  const probability = (p) => (!known(p) ? missing : p < 0.001 ? "< 0.001" : p.toFixed(3));

  const state = { view: "leaderboard", scope: 0, text: "", kinds: null, from: null, to: null, at: null };

  const codecOf = (point) => report.codecs[report.points[point].codec];
  const nameOf = (point) => `${codecOf(point).label} · ${report.points[point].label}`;
  const idOf = (point) => `${codecOf(point).label}@${report.points[point].name}`; // what is typed at a prompt
  const rowOf = (point) => report.rows[state.scope][point];
  // Rates of recordings are as whoever made them says; nobody counted.
  const stated = (point) => (report.rows[0][point]?.is_stated ? " (stated)" : "");
  const isCeiling = (point) => codecOf(point).kind === "ceiling";

  // Points that the filters leave; the ceiling always stays, as the measure of the others.
  function visiblePoints() {
    return report.points.map((_, point) => point).filter((point) => {
      const row = rowOf(point);
      if (!row) return false;
      if (isCeiling(point)) return true;
      const bitrate = row.rates.bitrate;
      const codec = codecOf(point);
      return (
        [nameOf(point), idOf(point)].some((name) => name.toLowerCase().includes(state.text.toLowerCase())) &&
        (!state.kinds || state.kinds.has(codec.kind)) &&
        (state.from === null || (known(bitrate) && bitrate >= state.from * 1000)) &&
        (state.to === null || (known(bitrate) && bitrate <= state.to * 1000))
      );
    });
  }

  // Holm 1979: entries [name, p] to a map of adjusted p.
  function holm(entries) {
    const sorted = entries.filter(([, p]) => known(p)).sort((a, b) => a[1] - b[1]);
    let largest = 0;
    return new Map(sorted.map(([name, p], rank) => {
      largest = Math.max(largest, Math.min(1, p * (sorted.length - rank)));
      return [name, largest];
    }));
  }

  // scope, metric and best -> p of others against that best, as far as they were asked for.
  const asked = new Map();

  // "best" and "tied" among `points`, per metric number. Where the best is that of the whole, its p are known; else they are computed, and
  // `later` is called when they are: until then the best alone is marked.
  function marks(points, metric, later) {
    const order = report.ranking.indexOf(metric);
    const found = new Map();
    const cell = (point) => rowOf(point).cells[metric];
    const candidates = points.filter((point) => !isCeiling(point) && known(cell(point)[0]));
    if (order < 0 || candidates.length < 2) return found;
    const up = report.metrics[metric].higher_is_better ? 1 : -1;
    const best = candidates.reduce((a, b) => (up * cell(b)[0] > up * cell(a)[0] ? b : a));
    found.set(best, "best");
    const others = candidates.filter((point) => point !== best);
    let p = (other) => cell(other)[10];
    if (best !== report.best[state.scope][metric]) {
      const key = [state.scope, metric, best].join();
      const computed = asked.get(key) ?? asked.set(key, new Map()).get(key);
      const unknown = others.filter((other) => !computed.has(other));
      for (const other of unknown) computed.set(other, undefined);
      if (unknown.length) bench.paired.against(best, unknown, metric, state.scope).then((values) => {
        for (const [other, value] of values) computed.set(other, value);
        later();
      });
      if (others.some((other) => computed.get(other) === undefined)) return found;
      p = (other) => computed.get(other);
    }
    // The least p that signs of so few clusters can give: where Holm leaves it above 5 %, no test could have told the two apart.
    const clusters = (point) => Math.min(cell(point)[9], cell(best)[9]);
    const least = (point) => Math.max(2 ** (1 - clusters(point)), 2 ** clusters(point) > 2 ** 14 ? 1e-4 : 0);
    const attainable = holm(others.map((point) => [point, least(point)]));
    for (const [point, adjusted] of holm(others.map((point) => [point, p(point)])))
      if (adjusted >= 0.05 && attainable.get(point) < 0.05) found.set(point, "tied");
    return found;
  }

  function select(label, options, value, onchange) {
    const control = el("select", { onchange: (event) => onchange(Number(event.target.value)) });
    for (const [number, text] of options) control.append(el("option", { value: number, selected: number === value }, text));
    return el("label", { class: "field" }, el("span", {}, label), control);
  }

  function marker(codec, size = 9) {
    const shape = svg("svg", { class: "marker", width: size + 4, height: size + 4, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
    shape.append(svg("path", { d: markerPath(codec.marker, 5), fill: codec.marker === "cross" ? "none" : codec.colour, stroke: codec.colour, "stroke-width": 1.5 }));
    return shape;
  }

  function markerPath(kind, r) {
    if (kind === "diamond") return `M0 ${-r * 1.25}L${r * 1.25} 0L0 ${r * 1.25}L${-r * 1.25} 0Z`;
    if (kind === "square") return `M${-r * 0.9} ${-r * 0.9}H${r * 0.9}V${r * 0.9}H${-r * 0.9}Z`;
    if (kind === "triangle") return `M0 ${-r * 1.1}L${r} ${r * 0.8}H${-r}Z`;
    if (kind === "cross") return `M${-r} ${-r}L${r} ${r}M${r} ${-r}L${-r} ${r}`;
    return `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`;
  }

  function metricHead(metric) {
    const info = report.metrics[metric];
    const arrow = info.diagnostic ? "" : info.higher_is_better ? " ↑" : " ↓";
    return info.name + arrow + (info.unit ? ` (${info.unit})` : "");
  }

  function tooltip(event, lines) {
    const box = document.getElementById("tooltip");
    box.replaceChildren(...lines.map((line, number) => el(number ? "div" : "strong", { dir: "auto" }, line)));
    box.hidden = false;
    const anchor = event.clientX || event.clientX === 0 ? { x: event.clientX, y: event.clientY } : event.target.getBoundingClientRect();
    const width = box.offsetWidth;
    box.style.left = `${Math.max(8, Math.min(anchor.x + 14, window.innerWidth - width - 8)) + window.scrollX}px`;
    box.style.top = `${Math.max(8, anchor.y - box.offsetHeight - 12) + window.scrollY}px`;
  }
  const hideTooltip = () => (document.getElementById("tooltip").hidden = true);

  function define(title, lines) {
    const dialog = document.getElementById("definition");
    dialog.replaceChildren(
      el("h2", { id: "definition-title" }, title),
      ...lines.filter(([, text]) => text).map(([name, text]) => el("p", {}, name ? el("b", {}, `${name}: `) : null, text)),
      el("form", { method: "dialog" }, el("button", { class: "plain" }, "Close")),
    );
    dialog.showModal();
  }

  return {
    receive, load, el, svg, missing, known, minus, typed, fixed, digits, kbps, signed, probability, state, codecOf, nameOf, idOf, rowOf, isCeiling, stated, visiblePoints,
    holm, marks, select, marker, markerPath, metricHead, tooltip, hideTooltip, define, scroll, redraw, breakable,
    views: {},
    readAddress: () => bench.address.read(),
    go: (parts) => bench.address.go(parts),
    get report() { return report; },
  };
})();
