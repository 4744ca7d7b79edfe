"use strict";
// What papers printed beside what was measured, line by line as Python wrote it.
bench.views.papers = (() => {
  const { el } = bench;
  const NUMBERS = ["paper", "measured", "difference", "n"];

  function draw() {
    const { title, note, lines } = bench.report.papers;
    const names = Object.keys(lines[0]);
    const cell = (line, name) => el("td", { class: NUMBERS.includes(name) ? "num" : null, dir: "auto" }, name === "difference" ? el("b", {}, line[name]) : line[name]);
    document.getElementById("papers").replaceChildren(
      el("h2", { id: "papers-title" }, title),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}, scrolls sideways` }, el("table", { class: "plain-table" },
        el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col", class: NUMBERS.includes(name) ? "num" : null }, name)))),
        el("tbody", {}, lines.map((line) => el("tr", {}, names.map((name) => cell(line, name))))))),
      el("p", { class: "legend" }, note, " Unrounded, with the intervals: ", el("a", { href: "against_papers.csv" }, "against_papers.csv"), "."));
  }

  return { title: "Papers", filters: false, draw };
})();
