"use strict";
// What papers printed beside what was measured, line by line as Python wrote it.
bench.linesView = (name, heading, numbers, strong, file) => {
  const { el } = bench;

  function draw() {
    const { title, note, lines } = bench.report[name];
    const columns = Object.keys(lines[0]);
    const number = (column) => (numbers.includes(column) ? "num" : lines.some((line) => line[column].length > 24) ? "text" : "nowrap");
    // Python writes for files and terminals; the page has the minus sign.
    const shown = (text) => text.replace(/(^|[ (\[])-(?=\d)/g, "$1−");
    const cell = (line, column) => el("td", { class: number(column), dir: "auto" }, column === strong ? el("b", {}, shown(line[column])) : shown(line[column]));
    document.getElementById(name).replaceChildren(
      el("h2", { id: `${name}-title` }, title),
      bench.scroll(title, el("table", { class: "plain-table" },
        el("thead", {}, el("tr", {}, columns.map((column) => el("th", { scope: "col", class: number(column) }, column)))),
        el("tbody", {}, lines.map((line) => el("tr", {}, columns.map((column) => cell(line, column))))))),
      el("p", { class: "legend" }, note, " Unrounded, with the intervals: ", el("a", { href: file }, file), "."));
  }

  return { title: heading, filters: false, draw };
};
bench.views.papers = bench.linesView("papers", "Papers", ["paper", "measured", "difference", "n"], "difference", "against_papers.csv");
