"use strict";
// The table: sortable, filtered, best and tied marked among the rows that show.
bench.views.leaderboard = (() => {
  const { el, state, known, fixed, digits, kbps, missing } = bench;
  const sort = { column: null, descending: false };
  const shown = { split: true, diagnostics: false, cost: false };
  let spread = "interval";

  const RATES = [
    { name: "kbps", group: "Rate", rate: "bitrate", text: kbps, definition: "Tokens and side information (durations, masks, flags) over the seconds of audio that went in, counted in the packed bitstream that was decoded." },
    { name: "nominal kbps", group: "Rate", rate: "nominal_bitrate", text: kbps, definition: "What a paper would print: frames a second times the bits of a token, without headers, and without side information where papers leave it out." },
    { name: "tokens/s", group: "Rate", rate: "token_rate", text: digits, definition: "Tokens per second over all codebooks, measured." },
    { name: "Hz", group: "Rate", rate: "frame_rate", text: digits, definition: "Token frames per second, measured over all utterances; the nominal rate of the operating point stands behind it where it differs." },
  ];
  const SPLIT = [
    { name: "tokens", group: "Bits, kbit/s", rate: "bitrate_tokens", text: kbps, definition: "The part of the bitrate that is tokens (of a classical coder: its packets)." },
    { name: "side", group: "Bits, kbit/s", rate: "bitrate_side", text: kbps, definition: "The part of the bitrate that is side information: durations of dynamic frames, masks, flags." },
    { name: "header", group: "Bits, kbit/s", rate: "bitrate_header", text: kbps, definition: "Header and padding to whole bytes of one file an utterance; not part of the bitrate, as a long stream has it once." },
    { name: "entropy", group: "Bits, kbit/s", rate: "bitrate_entropy", text: kbps, definition: "The same content through an adaptive range coder, also decodable." },
  ];
  const COST = [
    { name: "encode", rate: "encode_rtf", text: digits, definition: "Seconds of computation per second of audio, analysis included, on the machine named under Provenance." },
    { name: "decode", rate: "decode_rtf", text: digits, definition: "Seconds of computation per second of audio, on the machine named under Provenance." },
    { name: "memory, MB", rate: "peak_memory_mb", text: (value) => digits(value, 3), definition: "Peak memory of the process that ran the codec, everything else in it included." },
  ].map((column) => ({ ...column, group: "Cost" }));

  function columns() {
    const metrics = bench.report.metrics.map((info, metric) => ({ name: bench.metricHead(metric), group: info.diagnostic ? "Diagnostics" : "Quality", metric, info }));
    return [
      ...RATES,
      ...metrics.filter((column) => !column.info.diagnostic),
      ...(shown.split ? SPLIT : []),
      ...metrics.filter((column) => column.info.diagnostic && shown.diagnostics),
      ...(shown.cost ? COST : []),
    ];
  }

  const valueOf = (point, column) => (column.metric === undefined ? bench.rowOf(point).rates[column.rate] : bench.rowOf(point).cells[column.metric][spread === "interval" ? 0 : 3]);

  function sorted(points, all) {
    const column = all.find((each) => each.name === sort.column);
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
      const n = bench.rowOf(point).cells[metric][6];
      counts.set(n, (counts.get(n) || 0) + 1);
    }
    const [n, rows] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), [null, 0]);
    return rows > 1 && points.every((point) => bench.rowOf(point).utterances !== n) ? n : null;
  }

  function head(all, points) {
    const groups = [];
    for (const column of all) {
      if (groups.at(-1)?.name === column.group) groups.at(-1).span++;
      else groups.push({ name: column.group, span: 1 });
    }
    const sorter = (name, text) => el("button", { type: "button", class: "sorter", "data-column": name, onclick: () => sortBy(name) }, text);
    const order = (name) => (sort.column === name ? (sort.descending ? "descending" : "ascending") : null);
    return el("thead", {},
      el("tr", { class: "groups" }, el("td", { colspan: 2, class: "key" }), el("td", {}), groups.map((group) => el("th", { colspan: group.span, scope: "colgroup" }, group.name))),
      el("tr", {},
        el("th", { scope: "col", class: "key codec", "aria-sort": order("codec") }, sorter("codec", "Codec")),
        el("th", { scope: "col", class: "key point", "aria-sort": order("point") }, sorter("point", "Point")),
        el("th", { scope: "col", class: "num" }, "n"),
        all.map((column) => el("th", { scope: "col", class: "num", "aria-sort": order(column.name) },
          sorter(column.name, column.name),
          column.metric !== undefined && known(usualN(points, column.metric)) ? el("span", { class: "spread" }, `n=${usualN(points, column.metric)}`) : null,
          el("button", { type: "button", class: "what", "aria-label": `What is ${column.name}?`, onclick: () => define(column) }, "?"),
        )),
      ),
    );
  }

  function sortBy(name) {
    const metric = columns().find((column) => column.name === name)?.info;
    const firstDescending = Boolean(metric?.higher_is_better);
    if (sort.column !== name) Object.assign(sort, { column: name, descending: firstDescending });
    else if (sort.descending === firstDescending) sort.descending = !firstDescending;
    else Object.assign(sort, { column: null, descending: false });
    draw();
    document.querySelector(`#leaderboard [data-column="${CSS.escape(name)}"]`).focus();
  }

  // What a paper printed for this system, on all of its data; source and doubts are one hover away.
  function published(point, name) {
    const { lines, columns } = bench.report.papers;
    const found = state.scope ? null : lines.find((line, number) => line.codec === bench.codecOf(point).label && line.point === bench.report.points[point].name && columns[number] === name);
    return found ? el("span", { class: "published", title: [found.source, found.doubt].filter(Boolean).join("; ") }, `paper ${found.paper}`) : null;
  }

  function metricCell(point, column, mark, usual) {
    const info = column.info;
    const [mean, low, high, median, p5, p95, n, failed, notApplicable] = bench.rowOf(point).cells[column.metric];
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
      el("span", { class: "value" }, fixed(spread === "interval" ? mean : median, places)),
      mark ? el("span", { class: "mark", "aria-label": mark === "best" ? "best" : "not significantly worse than the best" }, mark === "best" ? "●" : "≈") : null,
      el("span", { class: "spread" }, about), counted, published(point, info.name));
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
    const rates = bench.rowOf(point).rates;
    const text = column.text(rates[column.rate]);
    const nominal = column.rate === "frame_rate" && rates.nominal_frame_rate ? digits(rates.nominal_frame_rate) : null;
    return el("td", { class: "num" }, el("span", { class: "value" }, text), nominal && nominal !== text ? el("span", { class: "spread" }, `of ${nominal}`) : null, stated(point, rates[column.rate]), published(point, column.rate));
  }

  // What stands behind a point's name: a threshold that was solved for, say.
  function settings(point) {
    const { n_q: codebooks, options } = bench.report.points[point];
    return [codebooks ? `${codebooks} codebook${codebooks > 1 ? "s" : ""}` : "", ...Object.entries(options).map(([name, value]) => `${name} ${value}`)].filter(Boolean).join(", ") || null;
  }

  // No test of medians is made: only the best of them is marked.
  function bestMedian(points, metric) {
    const info = bench.report.metrics[metric];
    const median = (point) => bench.rowOf(point).cells[metric][3];
    const candidates = points.filter((point) => !bench.isCeiling(point) && known(median(point)));
    if (info.diagnostic || candidates.length < 2) return new Map();
    const up = info.higher_is_better ? 1 : -1;
    return new Map([[candidates.reduce((a, b) => (up * median(b) > up * median(a) ? b : a)), "best"]]);
  }

  // The rows and columns that show, in their order, as RFC 4180 has them; nothing stands for a value that is missing.
  function csv(points, all) {
    const [low, high] = spread === "interval" ? ["95 % low", "95 % high"] : ["5th percentile", "95th percentile"];
    const heads = all.flatMap((column) => (column.metric === undefined ? [column.name] : [column.name, `${column.name} ${low}`, `${column.name} ${high}`]));
    const values = (point) => all.flatMap((column) => {
      if (column.metric === undefined) return [known(valueOf(point, column)) ? column.text(valueOf(point, column)) : ""];
      const cell = bench.rowOf(point).cells[column.metric];
      return [valueOf(point, column), ...(spread === "interval" ? cell.slice(1, 3) : cell.slice(4, 6))].map((value) => (known(value) ? fixed(value, column.info.decimals) : ""));
    });
    const lines = [["codec", "point", "n", ...heads], ...points.map((point) => [bench.codecOf(point).label, bench.report.points[point].name, bench.rowOf(point).utterances, ...values(point)])];
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    // Text that a spreadsheet would take for a formula gets an apostrophe, as in table.csv.
    const safe = (text) => (/^[=+\-@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
    return lines.map((line) => `${line.map((each) => quoted(safe(String(each)))).join(",")}\r\n`).join("");
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
    const found = new Map(scored.map((metric) => [metric, spread === "interval" ? bench.marks(points, metric, redraw) : bestMedian(points, metric)]));
    const usual = new Map(scored.map((metric) => [metric, usualN(points, metric)]));
    return el("tbody", {}, points.map((point) => {
      const codec = bench.codecOf(point);
      return el("tr", { class: codec.kind === "ceiling" ? "ceiling" : null, "data-point": point },
        el("th", { scope: "row", class: "key codec" }, bench.marker(codec), el("span", { dir: "auto" }, codec.label), el("span", { class: "kind" }, codec.kind)),
        el("td", { class: "key point" }, el("a", { href: `#view=listen&point=${point}`, dir: "auto", title: settings(point) }, bench.report.points[point].name), lengthError(point)),
        el("td", { class: "num" }, String(bench.rowOf(point).utterances)),
        all.map((column) => (column.metric === undefined ? rateCell(point, column) : metricCell(point, column, found.get(column.metric).get(point), usual.get(column.metric)))),
      );
    }));
  }

  function toggle(name, label) {
    const box = el("input", { type: "checkbox", checked: shown[name], onchange: (event) => { shown[name] = event.target.checked; draw(); } });
    return el("label", { class: "check" }, box, label);
  }

  // "14 speakers (wer: 15 utterances)", as the tables say it.
  function clusters(points) {
    const told = new Map();
    bench.report.metrics.forEach((info, metric) => {
      const counts = points.map((point) => bench.rowOf(point).cells[metric]).filter((cell) => cell[6]).map((cell) => cell[9]);
      if (!counts.length) return;
      const [low, high] = [Math.min(...counts), Math.max(...counts)];
      const text = `${low === high ? low : `${low} to ${high}`} ${bench.report.clustered_by[state.scope][metric]}s`;
      told.set(text, [...(told.get(text) || []), info.name]);
    });
    const [usual, ...others] = [...told].sort((a, b) => b[1].length - a[1].length);
    return usual ? usual[0] + (others.length ? ` (${others.map(([text, names]) => `${names.join(", ")}: ${text}`).join("; ")})` : "") : "utterances";
  }

  function draw() {
    const all = columns();
    const points = sorted(bench.visiblePoints(), all);
    const spreads = bench.select("Show", [[0, "mean and 95 % interval"], [1, "median, 5th–95th percentile"]], spread === "interval" ? 0 : 1,
      (choice) => { spread = choice ? "percentiles" : "interval"; draw(); });
    const scroller = document.querySelector("#leaderboard .scroll")?.scrollLeft || 0;
    document.getElementById("leaderboard").replaceChildren(
      bench.verdict.section(draw),
      el("h2", { id: "leaderboard-title" }, "Leaderboard"),
      el("div", { class: "tools" }, spreads, el("span", { class: "checks" }, toggle("split", "bit split"), bench.report.metrics.some((info) => info.diagnostic) ? toggle("diagnostics", "diagnostics") : null, toggle("cost", "cost")),
        el("button", { type: "button", class: "plain", onclick: () => el("a", { download: "leaderboard.csv", href: `data:text/csv;charset=utf-8,${encodeURIComponent(csv(points, all))}` }).click() }, "CSV of this table")),
      points.some((point) => !bench.isCeiling(point))
        ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Leaderboard, scrolls sideways" }, el("table", { class: "board" }, head(all, points), body(points, all)))
        : el("p", { class: "empty" }, "No point matches the filters."),
      el("p", { class: "legend" },
        el("span", { class: "mark" }, "●"), " best of the rows shown; ", el("span", { class: "mark" }, "≈"),
        " not significantly worse (paired sign-flip test of means, Holm over the column, 5 %), where a test could have found a difference at all; medians have no test. ",
        `Intervals: bootstrap-t, resampling ${clusters(points)}; Student's t of 3 or 4, none of fewer. `,
        "Choose a point to hear it."),
    );
    const scroll = document.querySelector("#leaderboard .scroll");
    if (scroll) scroll.scrollLeft = scroller;
  }

  return { title: "Leaderboard", filters: true, draw };
})();
