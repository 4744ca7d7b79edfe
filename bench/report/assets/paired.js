"use strict";
// Two points against each other, utterance by utterance, as bench.analysis.comparison has it: difference, interval, and the test that flips signs.
bench.paired = (() => {
  const { known } = bench;
  const MIN_CLUSTERS = 3; // as bench.analysis.stats
  const ALL_SIGNS = 14; // clusters; up to as many, all signs are taken

  const point = (number) => bench.load(`point${number}`, `data/point${number}.js`);
  const units = () => bench.load("utterances", "data/utterances.js");

  // Errors and words, or score and 1, by utterance; an utterance without a score is not in it.
  function scores(data, metric) {
    const found = new Map();
    const counts = data.counts[metric];
    data.scores[metric].forEach((score, row) => {
      if (!known(score)) return;
      const [top, bottom] = counts ? [counts[0][row], counts[1][row]] : [score, 1];
      if (known(top) && bottom > 0) found.set(data.unit[row], [top, bottom]);
    });
    return found;
  }

  // Rows of signs, 1 or -1, one a cluster: all, the last as it is, or those that Python drew.
  async function flips(clusters) {
    if (clusters <= ALL_SIGNS) {
      const rows = 2 ** (clusters - 1);
      return { rows, drawn: false, row: (number, signs) => { for (let c = 0; c < clusters; c++) signs[c] = (number >> c) & 1 ? -1 : 1; } };
    }
    const { flips: rows, bits } = await bench.load(`signs${clusters}`, `data/signs${clusters}.js`);
    const bytes = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
    const width = Math.ceil(clusters / 8);
    return { rows, drawn: true, row: (number, signs) => { for (let c = 0; c < clusters; c++) signs[c] = (bytes[number * width + (c >> 3)] >> (c & 7)) & 1 ? 1 : -1; } };
  }

  // Of each column of sums (Float64Array, a number a cluster): the share of flips that give as large a sum.
  async function flipped(columns, clusters) {
    const { rows, drawn, row } = await flips(clusters);
    const signs = new Float64Array(clusters);
    const least = columns.map((sums) => Math.abs(sums.reduce((a, b) => a + b, 0)) - 1e-12 * sums.reduce((a, b) => a + Math.abs(b), 0));
    const counts = columns.map(() => 0);
    for (let number = 0; number < rows; number++) {
      row(number, signs);
      for (let k = 0; k < columns.length; k++) {
        const sums = columns[k];
        let total = 0;
        for (let c = 0; c < clusters; c++) total += signs[c] * sums[c];
        if (Math.abs(total) >= least[k]) counts[k]++;
      }
    }
    return counts.map((count) => (drawn ? (count + 1) / (rows + 1) : count / rows));
  }

  // Sums within clusters of A less B over the utterances of a scope that both have.
  function sums(a, b, metric, cluster, clusters) {
    const [top, bottom] = [new Float64Array(clusters), new Float64Array(clusters)];
    const other = scores(b, metric);
    let [n, higher, lower] = [0, 0, 0];
    for (const [unit, [one, words]] of scores(a, metric)) {
      if (cluster[unit] < 0 || !other.has(unit)) continue;
      const two = other.get(unit)[0];
      top[cluster[unit]] += one - two;
      bottom[cluster[unit]] += words;
      n++;
      if (one > two) higher++;
      else if (one < two) lower++;
    }
    return { top, bottom, n, higher, lower };
  }

  function interval({ top, bottom }) {
    const total = (values) => values.reduce((a, b) => a + b, 0);
    const mean = total(top) / total(bottom);
    const counted = bottom.reduce((count, value) => count + (value !== 0), 0);
    if (counted < MIN_CLUSTERS) return { mean, low: null, high: null };
    const squares = top.reduce((sum, value, c) => sum + (value - mean * bottom[c]) ** 2, 0);
    const half = (bench.report.student[counted - MIN_CLUSTERS] * Math.sqrt((counted / (counted - 1)) * squares)) / total(bottom);
    return { mean, low: mean - half, high: mean + half };
  }

  const inScope = async (scope) => {
    const cluster = (await units()).clusters[scope];
    return [cluster, Math.max(...cluster) + 1];
  };

  // A less B in `metrics`, over all data: mean, low, high, p, n, and on how many utterances A is better and worse.
  async function differences(a, b, metrics) {
    const [one, other, [cluster, clusters]] = await Promise.all([point(a), point(b), inScope(0)]);
    const found = metrics.map((metric) => sums(one, other, metric, cluster, clusters));
    const p = await flipped(found.map(({ top }) => top), clusters);
    return found.map((each, k) => {
      const up = bench.report.metrics[metrics[k]].higher_is_better;
      return { metric: metrics[k], n: each.n, better: up ? each.higher : each.lower, worse: up ? each.lower : each.higher, p: each.n ? p[k] : null, ...interval(each) };
    });
  }

  // p of each of `others` against `best` in one metric within a scope: point -> p.
  async function against(best, others, metric, scope) {
    const [base, [cluster, clusters], ...rest] = await Promise.all([point(best), inScope(scope), ...others.map(point)]);
    const found = rest.map((data) => sums(data, base, metric, cluster, clusters));
    const p = await flipped(found.map(({ top }) => top), clusters);
    return new Map(others.map((other, k) => [other, found[k].n ? p[k] : null]));
  }

  return { differences, against };
})();
