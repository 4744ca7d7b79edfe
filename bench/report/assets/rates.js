"use strict";
// Where the bits went, and how unevenly dynamic codecs spend their frames.
bench.views.rates = (() => {
  const { el, svg, known, digits, kbps } = bench;
  const PARTS = [
    { rate: "bitrate_tokens", label: "tokens" },
    { rate: "bitrate_side", label: "side information" },
    { rate: "bitrate_header", label: "header" },
  ];
  const OPEN = 24; // more charts, or rows of codebooks, than these are folded

  function bits(points) {
    const counted = points.filter((point) => known(bench.rowOf(point).rates.bitrate_tokens));
    if (!counted.length) return el("p", { class: "empty" }, "No bitstream was counted.");
    const row = (point) => {
      const rates = bench.rowOf(point).rates;
      const total = PARTS.reduce((sum, part) => sum + Math.max(0, rates[part.rate]), 0);
      const share = (part) => (100 * Math.max(0, rates[part.rate])) / total;
      const spoken = PARTS.map((part) => `${part.label} ${digits(share(part), 2)} %`).join(", ");
      return el("tr", {},
        el("th", { scope: "row", class: "codec" }, bench.marker(bench.codecOf(point)), el("span", { dir: "auto" }, bench.breakable(bench.nameOf(point)))),
        el("td", { class: "barcell" }, el("div", { class: "stack", role: "img", "aria-label": spoken, title: spoken },
          PARTS.map((part, number) => el("span", { class: `part${number}`, style: `width:${share(part)}%` })))),
        PARTS.map((part) => el("td", { class: "num" }, kbps(rates[part.rate]))),
        el("td", { class: "num" }, kbps(rates.bitrate_entropy)),
        el("td", { class: "num" }, kbps(rates.nominal_bitrate)));
    };
    return el("div", {}, bench.scroll("Where the bits went", el("table", { class: "plain-table" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Point"), el("th", { scope: "col" }, "Share of one file an utterance"),
        PARTS.map((part, number) => el("th", { scope: "col", class: "num" }, el("span", { class: `key-swatch part${number}` }), part.label)),
        el("th", { scope: "col", class: "num" }, "entropy coded"), el("th", { scope: "col", class: "num" }, "nominal"))),
      el("tbody", {}, counted.map(row)))),
    el("p", { class: "legend" }, "kbit/s. Entropy coded: tokens and side information through an adaptive range coder."));
  }

  // bars: [{from, to, count, label}]; mark: a line across, such as the nominal rate
  function histogram(title, codec, bars, xLabel, mark) {
    const [width, height, left, right, top, bottom] = [300, 150, 10, 10, 10, 36];
    const low = bars[0].from;
    const high = bars.at(-1).to;
    const most = Math.max(...bars.map((bar) => bar.count));
    const x = (value) => left + ((value - low) / (high - low || 1)) * (width - left - right);
    const y = (count) => height - bottom - (count / most) * (height - top - bottom);
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${bars.filter((b) => b.count).map((b) => `${b.label} ${b.count}`).join("; ")}` });
    for (const bar of bars) {
      if (!bar.count) continue;
      const gap = bars.length > 12 ? 0.5 : 6;
      root.append(svg("rect", { class: "bar", fill: codec.colour, x: x(bar.from) + gap, width: Math.max(1, x(bar.to) - x(bar.from) - 2 * gap), y: y(bar.count), height: height - bottom - y(bar.count),
        onmousemove: (event) => bench.tooltip(event, [title, `${bar.label}: ${bar.text}`]), onmouseleave: bench.hideTooltip }));
    }
    root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    const ticks = bars.length > 12 ? [low, (low + high) / 2, high].map((value) => [value, digits(value)]) : bars.map((bar) => [(bar.from + bar.to) / 2, bar.short]);
    for (const [at, text] of ticks) root.append(svg("text", { class: "tick", x: x(at), y: height - bottom + 14, "text-anchor": bars.length <= 12 ? "middle" : at === low ? "start" : at === high ? "end" : "middle" }, text));
    root.append(svg("text", { class: "axis-label", x: width / 2, y: height - 4, "text-anchor": "middle" }, xLabel));
    if (known(mark) && mark >= low && mark <= high) root.append(svg("line", { class: "ceiling-line", x1: x(mark), x2: x(mark), y1: top, y2: height - bottom }));
    return bench.charts.figure(`${title} ${xLabel.split(" ")[0]}`, el("figcaption", {}, bench.marker(codec), el("span", { dir: "auto" }, title)), root);
  }

  function frameRates(points) {
    return points.filter((point) => bench.report.frame_rates[point]).map((point) => {
      const { from, to, counts } = bench.report.frame_rates[point];
      const step = (to - from) / counts.length;
      const total = counts.reduce((sum, count) => sum + count, 0);
      const bars = counts.map((count, number) => {
        const [a, b] = [from + number * step, from + (number + 1) * step];
        return { from: a, to: b, count, label: `${digits(a)} to ${digits(b)} Hz`, text: `${count} of ${total} utterances` };
      });
      return histogram(bench.nameOf(point), bench.codecOf(point), bars, "frames per second of an utterance (Hz)", bench.rowOf(point).rates.nominal_frame_rate);
    });
  }

  function durations(points) {
    const counted = points.filter((point) => Object.keys(bench.report.tokens[point]?.durations || {}).length);
    return counted.map((point) => {
      const counts = bench.report.tokens[point].durations;
      const longest = Math.max(...Object.keys(counts).map(Number));
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      const bars = Array.from({ length: longest }, (_, n) => {
        const count = counts[n + 1] || 0;
        return { from: n + 0.5, to: n + 1.5, count, short: longest <= 12 || (n + 1) % 4 === 0 ? String(n + 1) : "", label: `${n + 1} base frames`, text: `${digits((100 * count) / total, 3)} % of frames` };
      });
      return histogram(bench.nameOf(point), bench.codecOf(point), bars, "base frames that one token frame lasts");
    });
  }

  // Token frames a second by the kind of sound, where the suite has those columns.
  function bySound(points) {
    const kinds = ["silence", "vowels", "consonants"].map((kind) => [kind, bench.report.metrics.findIndex((metric) => metric.name === `frame_rate_${kind}`)]);
    const present = kinds.filter(([, metric]) => metric >= 0);
    const counted = points.filter((point) => present.some(([, metric]) => known(bench.rowOf(point).cells[metric][0])));
    if (!counted.length) return null;
    const most = Math.max(...counted.flatMap((point) => present.map(([, metric]) => bench.rowOf(point).cells[metric][0] || 0)));
    const bar = (point, kind, rate) => el("div", { class: "soundbar", role: "img", "aria-label": `${kind} ${digits(rate)} Hz` },
      el("span", { style: `width:${(100 * rate) / most}%;background:${bench.codecOf(point).colour}` }));
    const cells = (point, [kind, metric]) => {
      const rate = bench.rowOf(point).cells[metric][0];
      return [el("td", { class: "num" }, known(rate) ? digits(rate) : "–"), el("td", { class: "barcell" }, known(rate) ? bar(point, kind, rate) : null)];
    };
    return el("div", {}, bench.scroll("Where the frames went", el("table", { class: "plain-table" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Point"), present.map(([kind]) => el("th", { scope: "col", colspan: 2 }, kind)))),
      el("tbody", {}, counted.map((point) => el("tr", {},
        el("th", { scope: "row", class: "codec" }, bench.marker(bench.codecOf(point)), el("span", { dir: "auto" }, bench.breakable(bench.nameOf(point)))),
        present.flatMap((kind) => cells(point, kind))))))),
    el("p", { class: "legend" }, "Token frames a second (Hz) of each kind of sound, by forced alignment of the transcript. A fixed rate spends the same everywhere."));
  }

  function codebooks(points) {
    const rows = points.flatMap((point) => (bench.report.tokens[point]?.codebooks || []).map((book) => el("tr", {},
      el("th", { scope: "row", class: "codec" }, bench.marker(bench.codecOf(point)), el("span", { dir: "auto" }, bench.breakable(bench.nameOf(point)))),
      [book.stream + 1, book.codebook + 1, book.size, book.tokens, `${digits(100 * book.usage)} %`, digits(book.perplexity), `${digits(book.entropy_bits)} of ${digits(Math.log2(book.size))}`]
        .map((text) => el("td", { class: "num" }, String(text))))));
    if (!rows.length) return null;
    const heads = ["stream", "codebook", "entries", "tokens seen", "entries used", "perplexity", "entropy, bit/token"];
    return el("details", { open: rows.length <= OPEN }, el("summary", {}, `Codebooks (${rows.length})`), bench.scroll("Codebooks", el("table", { class: "plain-table" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Point"), heads.map((text) => el("th", { scope: "col", class: "num" }, text)))), el("tbody", {}, rows))));
  }

  function figures(charts) {
    const drawn = el("div", { class: "figures small" }, charts);
    return charts.length <= OPEN ? drawn : el("details", {}, el("summary", {}, `${charts.length} charts; the filters above narrow them`), drawn);
  }

  function draw() {
    const points = bench.visiblePoints().filter((point) => !bench.isCeiling(point));
    const [rates, lengths, sounds] = [frameRates(points), durations(points), bySound(points)];
    bench.redraw(document.getElementById("rates"), ...[
      el("h2", { id: "rates-title" }, "Bits and frames"),
      el("h3", {}, "Where the bits went"), bits(points),
      lengths.length ? el("h3", {}, "How long a frame lasts") : null, lengths.length ? figures(lengths) : null,
      sounds ? el("h3", {}, "Where the frames went") : null, sounds,
      rates.length ? el("h3", {}, "Frame rate from utterance to utterance") : null,
      rates.length ? figures(rates) : null,
      rates.length ? el("p", { class: "legend" }, "The dotted line is the nominal frame rate, where it lies within.") : null,
      codebooks(points) ? el("h3", {}, "How codebooks are used") : null, codebooks(points),
    ].filter(Boolean));
  }

  return { title: "Bits and frames", filters: true, draw };
})();
