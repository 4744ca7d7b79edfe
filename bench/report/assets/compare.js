"use strict";
// Two systems against each other: differences with intervals, utterance by utterance, and curve by curve.
bench.views.compare = (() => {
  const { el, svg, known, fixed, signed, probability, digits } = bench;
  let version = 0;
  let scatterMetric = null;
  let pair = {};

  function forest(difference, reach, up) {
    const [width, height, middle] = [150, 18, 75];
    const x = (value) => middle + Math.max(-1, Math.min(1, value / reach)) * (middle - 6);
    const better = up * difference.mean > 0;
    const sure = difference.adjusted < 0.05;
    return svg("svg", { class: `forest ${sure ? (better ? "good" : "bad") : ""}`, viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
      svg("line", { class: "axis", x1: middle, x2: middle, y1: 0, y2: height }),
      svg("line", { class: "span", x1: x(difference.low), x2: x(difference.high), y1: 9, y2: 9 }),
      svg("circle", { cx: x(difference.mean), cy: 9, r: 3.5 }));
  }

  function wins(difference) {
    const equal = difference.n - difference.better - difference.worse;
    const share = (count) => (100 * count) / difference.n;
    const spoken = `better on ${difference.better}, equal on ${equal}, worse on ${difference.worse} of ${difference.n}`;
    return el("div", { class: difference.adjusted < 0.05 ? "stack wins" : "stack wins untold", role: "img", "aria-label": spoken, title: spoken },
      el("span", { class: "good", style: `width:${share(difference.better)}%` }), el("span", { class: "even", style: `width:${share(equal)}%` }), el("span", { class: "bad", style: `width:${share(difference.worse)}%` }));
  }

  // How alike the two are in what they spend, before how they differ in what they give.
  function rates(a, b) {
    const shown = [["kbps", "bitrate", bench.kbps], ["tokens/s", "token_rate", digits], ["Hz", "frame_rate", digits]];
    return shown.map(([name, rate, text]) => {
      const [one, other] = [a, b].map((point) => bench.report.rows[0][point].rates[rate]);
      const share = known(one) && known(other) && other ? `${signed(100 * (one / other - 1), 1)} %` : bench.missing;
      return el("tr", { class: "rate" }, el("th", { scope: "row" }, name), el("td", { class: "num" }, text(one), known(one) ? bench.stated(a) : null), el("td", { class: "num" }, text(other), known(other) ? bench.stated(b) : null), el("td", { class: "num" }, share), el("td", { colspan: 7 }));
    });
  }

  // Of two points, one dynamic where there is any, those nearest in kbps.
  function nearest(own, b) {
    const bitrate = (point) => bench.report.rows[0][point].rates.bitrate;
    const others = own.filter((point) => point !== b && bench.codecOf(point) !== bench.codecOf(b));
    const dynamic = others.filter((point) => bench.codecOf(point).kind === "dynamic");
    const apart = (point) => Math.abs(Math.log((bitrate(point) || 1) / (bitrate(b) || 1)));
    return (dynamic.length ? dynamic : others).sort((one, other) => apart(one) - apart(other))[0];
  }

  async function differences(a, b) {
    const all = (await bench.paired.differences(a, b, bench.report.ranking)).filter((each) => each.n);
    const adjusted = bench.holm(all.map((each) => [each.metric, each.p]));
    const row = (found) => {
      const each = { ...found, adjusted: adjusted.get(found.metric) ?? 1 };
      const info = bench.report.metrics[each.metric];
      const places = info.decimals + 1;
      const [meanA, meanB] = [a, b].map((point) => bench.report.rows[0][point].cells[each.metric][0]);
      const interval = known(each.low) ? `${signed(each.low, places)} to ${signed(each.high, places)}` : bench.missing;
      const reach = 1.15 * Math.max(Math.abs(each.low ?? 0), Math.abs(each.high ?? 0), Math.abs(each.mean ?? 0)) || 1;
      return el("tr", {}, el("th", { scope: "row" }, bench.breakable(bench.metricHead(each.metric))),
        el("td", { class: "num" }, fixed(meanA, info.decimals)), el("td", { class: "num" }, fixed(meanB, info.decimals)),
        el("td", { class: "num" }, el("b", {}, signed(each.mean, places))), el("td", { class: "num" }, interval),
        el("td", {}, known(each.low) ? forest(each, reach, info.higher_is_better ? 1 : -1) : null),
        el("td", { class: "num" }, probability(each.p)), el("td", { class: "num" }, probability(adjusted.get(each.metric) ?? null)),
        el("td", {}, wins(each)), el("td", { class: "num" }, `${digits((100 * each.better) / each.n, 3)} %`), el("td", { class: "num" }, String(each.n)));
    };
    const units = [...new Set(all.map((each) => `${bench.report.clustered_by[0][each.metric]}s`))].join(" or ");
    const heads = ["A", "B", "A − B", "95 % interval", "drawn", "p", "p, Holm", "better / equal / worse", "A wins", "n"];
    return el("div", {}, bench.scroll("Differences", el("table", { class: "plain-table" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Metric"), heads.map((text) => el("th", { scope: "col", class: "num" }, text)))),
      el("tbody", {}, rates(a, b), all.map(row)))),
      el("p", { class: "legend" }, `Paired over the utterances that both have. Intervals: Student's t over ${units}; p: signs of whole ${units} flipped; Holm over the ${all.length} metrics of this table. Green lies on A's side, red on B's, where p after Holm is below 5 %. Each line has its own scale.`));
  }

  async function scatter(a, b, mine) {
    const holder = document.getElementById("scatter");
    const metric = scatterMetric ?? bench.report.ranking[0];
    const info = bench.report.metrics[metric];
    const [index, scoresA, scoresB] = await Promise.all([bench.load("utterances", "data/utterances.js"), bench.load(`point${a}`, `data/point${a}.js`), bench.load(`point${b}`, `data/point${b}.js`)]);
    if (mine !== version || !holder) return;
    const inB = new Map(scoresB.unit.map((unit, row) => [unit, scoresB.scores[metric][row]]));
    let points = scoresA.unit.map((unit, row) => ({ unit, x: inB.get(unit), y: scoresA.scores[metric][row] })).filter((point) => known(point.x) && known(point.y));
    const total = points.length;
    if (total > 2000) points = points.filter((_, n) => Math.floor((n * 2000) / total) !== Math.floor(((n - 1) * 2000) / total));
    const drawn = points.map(({ unit, x, y }) => ({
      x, y, low: null, high: null,
      lines: [index.utterance[unit], `A ${fixed(y, info.decimals)}, B ${fixed(x, info.decimals)}`, index.text[unit].slice(0, 80)],
      open: () => bench.go({ view: "listen", point: a, metric: info.name, unit, a, b }),
    }));
    const series = [{ ...bench.codecOf(a), dashes: undefined, small: true, points: drawn }];
    const chart = bench.charts.chart({ title: `${info.name} of each utterance`, xLabel: `B: ${bench.nameOf(b)}`, yLabel: `A: ${bench.nameOf(a)}`, log: false, series, width: window.innerWidth < 500 ? 340 : 460, height: window.innerWidth < 500 ? 320 : 420, diagonal: true });
    holder.replaceChildren(
      bench.select("Metric", bench.report.ranking.map((each) => [each, bench.metricHead(each)]), metric, (choice) => { scatterMetric = choice; scatter(a, b, version); bench.address.remember(); }),
      bench.charts.figure("utterances", null, chart), el("p", { class: "legend" }, `${info.higher_is_better ? "Above" : "Below"} the dotted line A is better. Choose an utterance to hear it.${points.length < total ? ` ${points.length} of ${total} are drawn.` : ""}`));
  }

  function bd(a, b) {
    const [one, other] = [bench.report.points[a].codec, bench.report.points[b].codec];
    const names = [one, other].map((number) => bench.report.codecs[number].label);
    if (one === other) return el("p", { class: "empty" }, "Both are points of one codec: there are no two curves to compare.");
    const axes = bench.views.curves.AGAINST;
    const { averages, undefined: without, equal_rates: equal, left_out: leftOut, metrics: compared } = bench.report.curves;
    const command = el("code", {}, `bench compare RUN --baseline ${names[1]}@${bench.report.points[b].name}`);
    if (leftOut.some(([first, second]) => new Set([first, second, one, other]).size === 2))
      return el("p", { class: "empty" }, "With so many codecs, not all curves are compared beforehand. ", command, " compares these two.");
    const turned = (rate) => (known(rate) ? 100 * (1 / (1 + rate / 100) - 1) : rate);
    const rows = [];
    for (const [first, second, order, axis, ...v] of averages) {
      const straight = first === one && second === other;
      if (!straight && !(first === other && second === one)) continue;
      const info = bench.report.metrics[bench.report.ranking[order]];
      const [rate, rateLow, rateHigh] = straight ? v.slice(0, 3) : [turned(v[0]), turned(v[2]), turned(v[1])];
      const [gain, gainLow, gainHigh] = straight ? v.slice(3, 6) : [v[3], v[5], v[4]].map((value) => (known(value) ? -value : value));
      const divisor = axes[axis].divisor;
      rows.push(el("tr", {}, el("th", { scope: "row" }, bench.breakable(bench.metricHead(bench.report.ranking[order]))), el("td", {}, axes[axis].short),
        el("td", { class: "num" }, el("b", {}, `${signed(rate, 1)} %`)), el("td", { class: "num" }, known(rateLow) ? `${signed(rateLow, 1)} to ${signed(rateHigh, 1)}` : bench.missing),
        el("td", { class: "num" }, el("b", {}, signed(gain, info.decimals))), el("td", { class: "num" }, known(gainLow) ? `${signed(gainLow, info.decimals)} to ${signed(gainHigh, info.decimals)}` : bench.missing),
        el("td", { class: "num" }, `${fixed(v[6], info.decimals)} to ${fixed(v[7], info.decimals)}`), el("td", { class: "num" }, `${digits(v[8] / divisor)} to ${digits(v[9] / divisor)}`)));
    }
    const reasons = new Map();
    for (const [first, second, order, axis, reason] of without) {
      if (new Set([first, second, one, other]).size === 2) {
        const key = `${axes[axis].short}: ${reason}`;
        reasons.set(key, [...(reasons.get(key) || []), bench.report.metrics[bench.report.ranking[order]].name]);
      }
    }
    const at = equal.filter(([codec, point]) => codec === one && bench.report.points[point].codec === other).map(([, point, order, axis, rate, difference, low, high]) => {
      const info = bench.report.metrics[bench.report.ranking[order]];
      return el("tr", {}, el("th", { scope: "row" }, bench.breakable(bench.metricHead(bench.report.ranking[order]))), el("td", {}, `${digits(rate / axes[axis].divisor)} ${axes[axis].short}`), el("td", { dir: "auto" }, bench.breakable(bench.nameOf(point))),
        el("td", { class: "num" }, el("b", {}, signed(difference, info.decimals))), el("td", { class: "num" }, known(low) ? `${signed(low, info.decimals)} to ${signed(high, info.decimals)}` : bench.missing));
    });
    const table = (name, heads, body) => bench.scroll(name, el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))), el("tbody", {}, body)));
    const alone = [one, other].filter((codec) => bench.report.points.filter((point) => point.codec === codec).length < 2).map((codec) => bench.report.codecs[codec].label);
    return el("div", {},
      alone.length ? el("p", { class: "empty" }, alone.map((name) => `${name} has one point only, so it has no curve. `)) : null,
      rows.length ? table("BD-rate and BD-quality", [["Metric"], ["against"], ["BD-rate", "num"], ["95 % interval", "num"], ["BD-quality", "num"], ["95 % interval", "num"], ["quality overlap", "num"], ["rate overlap", "num"]], rows) : null,
      alone.length ? null : el("p", { class: "legend" }, `BD-rate: how much more ${names[0]} spends than ${names[1]} at equal quality (negative: less). BD-quality: the difference at equal rate, in the metric's unit. Averages over the overlap stated, piecewise cubic, rates on a logarithmic scale.`),
      compared < bench.report.ranking.length ? el("p", { class: "legend" }, `With so many codecs, only the first ${compared === 1 ? "1 metric is" : `${compared} metrics are`} compared by curves. `, command, " compares all.") : null,
      [...reasons].map(([reason, metrics]) => el("p", { class: "legend" }, `None for ${metrics.join(", ")} against ${reason}.`)),
      at.length ? el("details", {}, el("summary", {}, `${names[0]}, interpolated, at the rates of ${names[1]}'s points (${at.length})`), table("Differences at equal rates", [["Metric"], ["at"], ["against the point"], ["difference", "num"], ["95 % interval", "num"]], at)) : null);
  }

  async function draw(parts) {
    const mine = ++version;
    const points = bench.report.points.map((_, point) => point).filter((point) => bench.report.rows[0][point]);
    const valid = (text) => (/^\d+$/.test(text || "") && points.includes(Number(text)) ? Number(text) : null);
    const own = points.filter((point) => !bench.isCeiling(point));
    const b = valid(parts.b) ?? bench.report.baseline ?? own[0];
    const a = valid(parts.a) ?? nearest(own, b) ?? own.find((point) => point !== b);
    const section = document.getElementById("compare");
    const title = el("h2", { id: "compare-title" }, "Compare two");
    if (a === undefined || b === undefined) return section.replaceChildren(title, el("p", { class: "empty" }, "There is one point only."));
    if (!bench.report.ranking.length) return section.replaceChildren(title, el("p", { class: "empty" }, "No metric here ranks systems."));
    const options = points.map((point) => [point, bench.nameOf(point)]);
    const pick = el("div", { class: "tools" },
      bench.select("A", options, a, (choice) => bench.go({ view: "compare", ...keep(), a: choice })),
      bench.select("B", options, b, (choice) => bench.go({ view: "compare", ...keep(), b: choice })),
      el("button", { type: "button", class: "plain", onclick: () => bench.go({ view: "compare", ...keep(), a: b, b: a }) }, "Swap"),
      el("a", { href: bench.address.href({ view: "listen", point: a, a, b }) }, "Hear both"));
    pair = { a, b };
    if (a === b) return section.replaceChildren(title, pick, el("p", { class: "empty" }, "A and B are the same point."));
    const found = await differences(a, b);
    if (mine !== version) return;
    bench.redraw(section, title, pick, el("h3", {}, "Differences"), found, el("h3", {}, "Utterance by utterance"), el("div", { id: "scatter", class: "scatter" }), el("h3", {}, "Curve against curve"), bd(a, b));
    await scatter(a, b, mine);
  }

  const keep = () => ({ ...pair, metric: scatterMetric === null ? null : bench.report.metrics[scatterMetric].name });
  const recall = (parts) => { scatterMetric = bench.report.ranking.find((metric) => bench.report.metrics[metric].name === parts.metric) ?? null; };

  return { title: "Compare", filters: false, draw, keep, recall, leave: () => { version++; } };
})();
