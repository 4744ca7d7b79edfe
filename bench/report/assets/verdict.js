"use strict";
// The answer first: every dynamic point against the fixed family at equal bits, or at equal tokens.
bench.verdict = (() => {
  const { el, state } = bench;

  const unbroken = (text) => text.replace(/(\d) (?=Hz|kbps|codebook)/g, "$1\u00a0"); // number and unit on one line

  // CODEC@POINT as the page names it elsewhere.
  function plain(name) {
    const known = new Map(bench.report.points.map((_, point) => [bench.idOf(point), bench.nameOf(point)]));
    return unbroken(known.get(name) ?? name);
  }

  function cell([word, numbers, against]) {
    const kind = { better: "good", worse: "bad" }[word] || "";
    return el("td", { class: `verdict-cell ${kind}`, title: against && unbroken(against) }, el("b", {}, word), numbers && numbers.split(", ").map((part) => el("span", { class: "spread" }, part)));
  }

  function table(rows, metrics) {
    const heads = ["Dynamic", "Rate", "Against", ...metrics];
    return bench.scroll("Verdict", el("table", { class: "plain-table verdict-table" },
      el("thead", {}, el("tr", {}, heads.map((text, n) => el("th", { scope: "col", class: n === 1 || n === 2 ? "off-phone" : null }, bench.breakable(text))))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row", dir: "auto", title: row.name }, bench.breakable(plain(row.name)), el("span", { class: "note on-phone" }, `${unbroken(row.rate)} against ${unbroken(row.fixed)}`)), el("td", { class: "nowrap off-phone" }, row.rate), el("td", { class: "off-phone", dir: "auto", title: row.typed }, unbroken(row.fixed)), row.cells.map(cell))))));
  }

  // A section for the head of the first view; null where a run has nothing to compare.
  function section(redraw) {
    const { sentence, note, metrics, rows, notes } = bench.report.verdict;
    if (note) return el("p", { class: "legend verdict-note" }, `No verdict on fixed against dynamic frame rates: ${note}`);
    const choices = [...new Set(rows.map((row) => row.at))];
    const at = choices.includes(state.at) ? state.at : choices[0];
    const choice = (name) => el("button", { type: "button", role: "radio", "aria-checked": String(name === at), onclick: () => { state.at = name; redraw(); } }, name);
    return el("div", { id: "verdict", role: "group", "aria-labelledby": "verdict-title" },
      el("h2", { id: "verdict-title" }, "Dynamic against fixed frame rates"),
      el("p", { class: "lead" }, sentence),
      el("div", { class: "switches", role: "radiogroup", "aria-label": "Compared at" }, choices.map(choice)),
      table(rows.filter((row) => row.at === at), metrics),
      el("details", {}, el("summary", {}, "How to read this"), notes.map((text) => el("p", { class: "legend" }, text))));
  }

  return { section };
})();
