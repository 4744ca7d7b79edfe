"use strict";
// The table: sortable, filtered, best and tied marked among the rows that show, or within each band of bitrates.
bench.views.leaderboard = (() => {
  const { el, state, known, fixed, digits, missing } = bench;
  const sort = { column: null, descending: false };
  const BANDS = [0.5, 1, 2, 4, 8]; // kbps, where one band ends and the next begins
  const OPEN_REASONS = 12; // more lines of failures than these are folded
  let spread = "interval";
  let bands = false;
  let drawn = []; // what stands in the table: [{rows: point -> tr, body: tbody}], a part each

  const cellOf = (point, metric) => bench.rowOf(point).cells[metric];
  const valueOf = (point, column) => (column.metric === undefined ? column.value(bench.rowOf(point)) : cellOf(point, column.metric)[spread === "interval" ? 0 : 3]);

  function sorted(points, all) {
    const column = all.find((each) => each.key === sort.column);
    const text = (point) => (sort.column === "codec" ? bench.codecOf(point).label : bench.report.points[point].name);
    const compare = (a, b) => {
      if (!column) return sort.column ? text(a).localeCompare(text(b), undefined, { numeric: true }) : 0;
      return valueOf(a, column) - valueOf(b, column);
    };
    const ceiling = points.filter(bench.isCeiling);
    const others = points.filter((point) => !bench.isCeiling(point));
    const present = column ? others.filter((point) => known(valueOf(point, column))) : others;
    const absent = others.filter((point) => !present.includes(point));
    present.sort((a, b) => (sort.descending ? -1 : 1) * compare(a, b) || a - b);
    return [...ceiling, ...present, ...absent];
  }

  function bandName(point) {
    const bitrate = bench.rowOf(point).rates.bitrate;
    if (!bitrate) return "no bitrate known";
    const number = BANDS.filter((edge) => bitrate >= 1000 * edge).length;
    return number === 0 ? `below ${BANDS[0]} kbps` : number === BANDS.length ? `${BANDS.at(-1)} kbps and more` : `${BANDS[number - 1]} to ${BANDS[number]} kbps`;
  }

  // The parts of the table: one, or the ceiling and then each band that has points, the lowest first.
  function parts(points) {
    if (!bands) return [{ name: null, points }];
    const others = points.filter((point) => !bench.isCeiling(point));
    const bitrate = (point) => bench.rowOf(point).rates.bitrate || Infinity;
    const names = new Set([...others].sort((a, b) => bitrate(a) - bitrate(b)).map(bandName));
    const ceiling = points.filter(bench.isCeiling);
    return [...(ceiling.length ? [{ name: null, points: ceiling }] : []), ...[...names].map((name) => ({ name, points: others.filter((point) => bandName(point) === name) }))];
  }

  function define(column) {
    if (column.metric === undefined) return bench.define(column.name, [["", column.definition]]);
    const info = column.info;
    const rules = info.corpus_ratio ? "Errors summed over the corpus over words summed." : "Mean over utterances.";
    bench.define(info.name, [
      ["", info.definition],
      ["Better", info.diagnostic ? "a diagnostic, which ranks nothing" : info.higher_is_better ? "higher" : "lower"],
      ["Unit", info.unit],
      ["Compared at", info.sample_rate ? `${info.sample_rate} Hz` : ""],
      ["Average", rules],
      ["Languages", info.languages ? info.languages.join(", ") : ""],
      ["Source", info.source],
      ["Licence", info.licence],
      ["Version", String(info.version)],
    ]);
  }

  // The n that most rows of a metric share, where it is not that of all utterances: told once, in the head.
  function usualN(points, metric) {
    const counts = new Map();
    for (const point of points) {
      const n = cellOf(point, metric)[6];
      counts.set(n, (counts.get(n) || 0) + 1);
    }
    const [n, rows] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), [null, 0]);
    return rows > 1 && points.every((point) => bench.rowOf(point).utterances !== n) ? n : null;
  }

  const order = (key) => (sort.column === key ? (sort.descending ? "descending" : "ascending") : null);

  function head(all, points) {
    const groups = [];
    for (const column of all) {
      if (groups.at(-1)?.name === column.group) groups.at(-1).span++;
      else groups.push({ name: column.group, span: 1 });
    }
    const sorter = (key, text) => el("button", { type: "button", class: "sorter", "data-column": key, onclick: () => sortBy(key) }, text);
    return el("thead", {},
      el("tr", { class: "groups" }, el("td", { class: "key" }), groups.map((group) => el("th", { colspan: group.span, scope: "colgroup" }, group.name))),
      el("tr", {},
        el("th", { scope: "col", class: "key", "data-sorts": "codec point" }, sorter("codec", "Codec"), el("span", { class: "quietly" }, " and "), sorter("point", "point")),
        all.map((column) => el("th", { scope: "col", class: "num", "data-sorts": column.key },
          sorter(column.key, bench.breakable(column.name)),
          el("button", { type: "button", class: "what", "aria-label": `What is ${column.name}?`, onclick: () => define(column) }, "?"),
          column.metric !== undefined && known(usualN(points, column.metric)) ? el("span", { class: "spread" }, `n=${usualN(points, column.metric)}`) : null,
        )),
      ),
    );
  }

  function showOrder(table) {
    for (const cell of table.querySelectorAll("[data-sorts]")) {
      const found = cell.dataset.sorts.split(" ").map(order).find(Boolean);
      found ? cell.setAttribute("aria-sort", found) : cell.removeAttribute("aria-sort");
      for (const button of cell.querySelectorAll(".sorter")) button.classList.toggle("sorts", button.dataset.column === sort.column);
    }
  }

  // Rows are put into another order, not made anew.
  function sortBy(key) {
    const all = bench.columns.shown();
    const firstDescending = Boolean(all.find((column) => column.key === key)?.info?.higher_is_better);
    if (sort.column !== key) Object.assign(sort, { column: key, descending: firstDescending });
    else if (sort.descending === firstDescending) sort.descending = !firstDescending;
    else Object.assign(sort, { column: null, descending: false });
    for (const { rows, body } of drawn) body.append(...sorted([...rows.keys()], all).map((point) => rows.get(point)));
    showOrder(document.querySelector("#leaderboard .board"));
    bench.address.remember();
  }

  // What a paper printed for this system, on all of its data; source and doubts are one hover away.
  function published(point, name) {
    const { lines, of } = bench.report.papers;
    const key = [bench.codecOf(point).label, bench.report.points[point].name, name];
    const found = state.scope ? null : lines[of.findIndex((each) => each.every((part, n) => part === key[n]))];
    return found ? el("span", { class: "published", title: [found.source, found.doubt].filter(Boolean).join("; ") }, `paper ${found.paper}`) : null;
  }

  function metricCell(point, column, mark, usual) {
    const info = column.info;
    const [mean, low, high, median, p5, p95, n, failed, notApplicable] = cellOf(point, column.metric);
    const places = info.decimals;
    if (!known(mean)) return el("td", { class: "num none" }, missing, failed ? el("span", { class: "failed" }, `${failed} failed`) : null);
    const interval = known(low) ? `95 % interval ${fixed(low, places)} to ${fixed(high, places)}` : "too few clusters for an interval";
    const title = `mean ${fixed(mean, places)}, ${interval}; median ${fixed(median, places)}, 5th to 95th percentile ${fixed(p5, places)} to ${fixed(p95, places)}; n = ${n}`
      + (failed ? `, ${failed} failed` : "") + (notApplicable ? `, ${notApplicable} not applicable` : "");
    const [below, above] = [mean - low, high - mean];
    const even = Math.max(below, above) <= 1.2 * Math.min(below, above);
    const around = even ? `±${fixed((high - low) / 2, places)}` : `[${fixed(low, places)}, ${fixed(high, places)}]`;
    const about = spread === "interval" ? (known(low) ? around : "") : `${fixed(p5, places)}–${fixed(p95, places)}`;
    const counted = n === (usual ?? bench.rowOf(point).utterances) ? null : el("span", { class: failed ? "failed" : "note" }, `n=${n}${failed ? `, ${failed} failed` : ""}`);
    return el("td", { class: `num ${mark || ""}`, title },
      mark ? el("span", { class: "mark", "aria-label": mark === "best" ? "best" : "not significantly worse than the best", role: "img" }, mark === "best" ? "●" : "≈") : null,
      el("span", { class: "value" }, fixed(spread === "interval" ? mean : median, places)),
      el("span", { class: "spread" }, about), counted, info.name === "latency_ms" ? notCausal(point, n) : null, published(point, info.name));
  }

  function notCausal(point, n) {
    const whole = bench.rowOf(point).heard_whole;
    const title = `The codec heard ${whole} of ${n} utterances whole before it spoke: their length is their latency.`;
    return whole ? el("span", { class: "note", title }, whole < n ? `not causal in ${whole} of ${n}` : "not causal") : null;
  }

  // Recordings made elsewhere say themselves what they cost.
  function stated(point, rate) {
    return bench.rowOf(point).is_stated && known(rate) && rate > 0 ? el("span", { class: "note", title: "As whoever made the recordings says; not counted." }, "stated") : null;
  }

  function lengthError(point) {
    const seconds = bench.rowOf(point).length_error_s;
    return seconds ? el("span", { class: "note", title: "The recording whose length is furthest off its reference's." }, `${bench.signed(1000 * seconds, 1)} ms`) : null;
  }

  function rateCell(point, column) {
    const value = column.value(bench.rowOf(point));
    const text = known(value) ? column.text(value) : missing;
    const rates = bench.rowOf(point).rates;
    const nominal = column.key === "frame_rate" && rates.nominal_frame_rate ? digits(rates.nominal_frame_rate) : null;
    return el("td", { class: "num" }, el("span", { class: "value" }, text), nominal && nominal !== text ? el("span", { class: "spread" }, `of ${nominal}`) : null,
      column.key in rates ? stated(point, value) : null, published(point, column.key));
  }

  // What stands behind a point's name: a threshold that was solved for, say.
  function settings(point) {
    const { n_q: codebooks, options } = bench.report.points[point];
    return [codebooks ? `${codebooks} codebook${codebooks > 1 ? "s" : ""}` : "", ...Object.entries(options).map(([name, value]) => `${name} ${value}`)].filter(Boolean).join(", ") || null;
  }

  // No test of medians is made: only the best of them is marked.
  function bestMedian(points, metric) {
    const info = bench.report.metrics[metric];
    const median = (point) => cellOf(point, metric)[3];
    const candidates = points.filter((point) => !bench.isCeiling(point) && known(median(point)));
    if (info.diagnostic || candidates.length < 2) return new Map();
    const up = info.higher_is_better ? 1 : -1;
    return new Map([[candidates.reduce((a, b) => (up * median(b) > up * median(a) ? b : a)), "best"]]);
  }

  // The rows and columns that show, in their order, as RFC 4180 has them; nothing stands for a value that is missing.
  function csv(all) {
    const [low, high] = spread === "interval" ? ["95 % low", "95 % high"] : ["5th percentile", "95th percentile"];
    const heads = all.flatMap((column) => (column.metric === undefined ? [column.name] : [column.name, `${column.name} ${low}`, `${column.name} ${high}`]));
    const values = (point) => all.flatMap((column) => {
      if (column.metric === undefined) return [known(valueOf(point, column)) ? column.text(valueOf(point, column)) : ""];
      const cell = cellOf(point, column.metric);
      return [valueOf(point, column), ...(spread === "interval" ? cell.slice(1, 3) : cell.slice(4, 6))].map((value) => (known(value) ? bench.typed(value, column.info.decimals) : ""));
    });
    const lines = drawn.flatMap(({ name, rows }) => sorted([...rows.keys()], all).map((point) => [...(bands ? [name ?? ""] : []), bench.codecOf(point).label, bench.report.points[point].name, ...values(point)]));
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    // Text that a spreadsheet would take for a formula gets an apostrophe, as in table.csv.
    const safe = (text) => (/^[=+\-@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
    return [[...(bands ? ["band"] : []), "codec", "point", ...heads], ...lines].map((line) => `${line.map((each) => quoted(safe(String(each)))).join(",")}\r\n`).join("");
  }

  function row(point, all, found, usual, most) {
    const codec = bench.codecOf(point);
    const { utterances } = bench.rowOf(point);
    return el("tr", { class: codec.kind === "ceiling" ? "ceiling" : null, "data-point": point },
      el("th", { scope: "row", class: "key" },
        el("span", { class: "codec" }, bench.marker(codec), el("span", { dir: "auto" }, codec.label), el("span", { class: "kind" }, codec.kind)),
        el("a", { class: "point", href: bench.address.href({ view: "listen", point }), dir: "auto", title: [bench.report.points[point].name, settings(point)].filter(Boolean).join(": "), "data-name": bench.report.points[point].name }, bench.breakable(bench.report.points[point].label)),
        utterances < most ? el("span", { class: "note" }, `${utterances} of ${most} utterances`) : null, lengthError(point)),
      all.map((column) => (column.metric === undefined ? rateCell(point, column) : metricCell(point, column, found.get(column.metric).get(point), usual.get(column.metric)))));
  }

  // Marks of what the filters left may have to be computed first.
  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; if (state.view === "leaderboard") draw(); });
  }

  function body(points, all) {
    const scored = all.filter((column) => column.metric !== undefined).map((column) => column.metric);
    const usual = new Map(scored.map((metric) => [metric, usualN(points, metric)]));
    const most = Math.max(...points.map((point) => bench.rowOf(point).utterances));
    drawn = parts(points).map((part) => {
      const found = new Map(scored.map((metric) => [metric, spread === "interval" ? bench.marks(part.points, metric, redraw) : bestMedian(part.points, metric)]));
      const rows = new Map(part.points.map((point) => [point, row(point, all, found, usual, most)]));
      const title = part.name === null ? null : el("tr", { class: "band" }, el("th", { scope: "rowgroup", class: "key" }, part.name), el("td", { colspan: all.length }));
      return { name: part.name, rows, body: el("tbody", {}, title, sorted(part.points, all).map((point) => rows.get(point))) };
    });
    return drawn.map((part) => part.body);
  }

  // Why scores are missing, in words: nothing that only shows while a mouse rests.
  function failures(points) {
    const { lines, left_out: leftOut } = bench.report.failures;
    const told = lines.filter((line) => points.includes(line.point));
    if (!told.length) return null;
    return el("details", { class: "failures", open: told.length <= OPEN_REASONS }, el("summary", {}, `What failed, and why (${told.length})`),
      bench.scroll("What failed, and why", el("table", { class: "plain-table" },
        el("thead", {}, el("tr", {}, ["Point", "Metric", "Utterances", "Why"].map((text) => el("th", { scope: "col", class: text === "Utterances" ? "num" : null }, text)))),
        el("tbody", {}, told.map((line) => el("tr", {}, el("th", { scope: "row", dir: "auto" }, bench.breakable(bench.nameOf(line.point))), el("td", {}, bench.breakable(line.metric)), el("td", { class: "num" }, String(line.utterances)), el("td", { class: "wide", dir: "auto" }, line.reason)))))),
      leftOut ? el("p", { class: "legend" }, `${leftOut} more reasons are in the records of the run.`) : null);
  }

  // "14 speakers (wer: 15 utterances)", as the tables say it.
  function clusters(points) {
    const told = new Map();
    bench.report.metrics.forEach((info, metric) => {
      const counts = points.map((point) => cellOf(point, metric)).filter((cell) => cell[6]).map((cell) => cell[9]);
      if (!counts.length) return;
      const [low, high] = [Math.min(...counts), Math.max(...counts)];
      const text = `${low === high ? low : `${low} to ${high}`} ${bench.report.clustered_by[state.scope][metric]}s`;
      told.set(text, [...(told.get(text) || []), info.name]);
    });
    const [usual, ...others] = [...told].sort((a, b) => b[1].length - a[1].length);
    return usual ? usual[0] + (others.length ? ` (${others.map(([text, names]) => `${names.join(", ")}: ${text}`).join("; ")})` : "") : "utterances";
  }

  function table(points, all) {
    if (!points.some((point) => !bench.isCeiling(point))) return el("p", { class: "empty" }, "No point matches the filters.");
    const board = el("table", { class: "board" }, head(all, points), body(points, all));
    showOrder(board);
    return bench.scroll("Leaderboard", board);
  }

  function draw() {
    const all = bench.columns.shown();
    const points = bench.visiblePoints();
    const spreads = bench.select("Show", [[0, "mean and 95 % interval"], [1, "median, 5th–95th percentile"]], spread === "interval" ? 0 : 1,
      (choice) => { spread = choice ? "percentiles" : "interval"; draw(); });
    bench.redraw(document.getElementById("leaderboard"),
      bench.verdict.section(draw),
      el("h2", { id: "leaderboard-title" }, "Leaderboard"),
      el("div", { class: "tools" }, spreads,
        el("label", { class: "check" }, el("input", { type: "checkbox", checked: bands, onchange: (event) => { bands = event.target.checked; draw(); } }), "bands of bitrate"),
        bench.columns.picker(draw),
        el("button", { type: "button", class: "plain", onclick: () => el("a", { download: "leaderboard.csv", href: `data:text/csv;charset=utf-8,${encodeURIComponent(csv(all))}` }).click() }, "CSV of this table")),
      table(points, all),
      el("p", { class: "legend" },
        el("span", { class: "mark" }, "●"), ` best of ${bands ? "its band" : "the rows shown"}; `, el("span", { class: "mark" }, "≈"),
        " not significantly worse (paired sign-flip test of means, Holm over the column, 5 %), where a test could have found a difference at all; medians have no test. ",
        `Intervals: bootstrap-t, resampling ${clusters(points)}; Student's t of 3 or 4, none of fewer. `,
        "Choose a point to hear it."),
      failures(points),
    );
  }

  const keep = () => ({ sort: sort.column && (sort.descending ? "-" : "") + sort.column, bands: bands ? 1 : null, show: spread === "interval" ? null : spread, columns: bench.columns.keep(), at: state.at });

  function recall(parts) {
    const [, minus, column] = /^(-?)(.*)$/.exec(parts.sort || "");
    Object.assign(sort, { column: column || null, descending: Boolean(minus) });
    bands = parts.bands === "1";
    spread = parts.show === "percentiles" ? "percentiles" : "interval";
    state.at = parts.at || null;
    bench.columns.recall(parts.columns);
  }

  return { title: "Leaderboard", filters: true, draw, keep, recall };
})();
