"use strict";
// What ran, on what, with which weights and data, and whom to credit.
bench.views.provenance = (() => {
  const { el } = bench;
  const link = (url, text) => (/^https?:\/\//.test(url || "") ? el("a", { href: url, rel: "noreferrer" }, text) : text);
  const facts = (pairs) => el("dl", { class: "facts-list" }, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined).flatMap(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)]));

  function run(about, number, all) {
    return el("article", {},
      all.length > 1 ? el("h3", {}, `Run ${number + 1}`) : el("h3", {}, "The run"),
      el("p", {}, "To repeat it:"), el("pre", { class: "command", tabindex: 0 }, about.command || "bench run"),
      facts([
        ["started", about.started], ["finished", about.finished], ["git commit", about.git_commit], ["resampler", about.resampler], ["seed", String(about.seed)],
        ...Object.entries(about.machine || {}).map(([name, value]) => [name, String(value)]),
      ]),
      el("details", {}, el("summary", {}, "Versions of packages"), facts(Object.entries(about.versions || {}))),
      el("details", {}, el("summary", {}, "The suite file"), el("pre", { tabindex: 0, dir: "auto" }, about.suite_text || "")));
  }

  function credits() {
    const cite = (text) => (text ? el("details", {}, el("summary", {}, "cite"), el("pre", { tabindex: 0 }, text)) : null);
    const table = (name, heads, rows) => bench.scroll(name, el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col", class: ["Parameters", "Utterances", "Version", "At"].includes(text) ? "num" : null }, text)))), el("tbody", {}, rows)));
    const hashes = (all) => el("td", { class: "hash", title: all.join(" ") }, all.map((sha256) => sha256.slice(0, 16)).join(" ") || bench.missing);
    const millions = (count) => (count ? `${bench.digits(count / 1e6)} M` : bench.missing);
    const codecs = bench.report.codecs.map((codec) => el("tr", {},
      el("th", { scope: "row", class: "codec" }, bench.marker(codec), el("span", { dir: "auto" }, link(codec.url, bench.breakable(codec.label)))), el("td", {}, codec.title), el("td", {}, codec.checkpoint || bench.missing),
      el("td", { class: "num" }, millions(codec.parameters)), hashes(codec.weights_sha256 ? [codec.weights_sha256] : []), el("td", { class: "text" }, codec.licence), el("td", {}, cite(codec.citation))));
    const datasets = [...new Map(bench.report.runs.flatMap((about) => about.datasets).map((data) => [data.name, data])).values()].map((data) => el("tr", {},
      el("th", { scope: "row", dir: "auto" }, data.name), el("td", { class: "hash" }, data.revision || bench.missing), el("td", { class: "num" }, String(data.utterances)), el("td", {}, data.licence || bench.missing), el("td", {}, cite(data.citation))));
    const metrics = bench.report.metrics.map((info) => el("tr", {},
      el("th", { scope: "row" }, bench.breakable(info.name)), el("td", { class: "num" }, String(info.version)), el("td", { class: "num" }, info.sample_rate ? `${info.sample_rate} Hz` : bench.missing), el("td", { class: "wide" }, info.definition), el("td", { class: "text" }, info.source), hashes(info.weights_sha256), el("td", { class: "text" }, info.licence || bench.missing), el("td", {}, cite(info.citation))));
    return [
      el("h3", {}, "Codecs"), table("Codecs", ["Codec", "What", "Checkpoint", "Parameters", "Weights (sha256)", "Licence", "Citation"], codecs),
      el("h3", {}, "Data"), table("Data", ["Data set", "Revision", "Utterances", "Licence", "Citation"], datasets),
      el("h3", {}, "Metrics"), table("Metrics", ["Metric", "Version", "At", "Definition", "Source", "Weights (sha256)", "Licence", "Citation"], metrics),
    ];
  }

  function draw() {
    document.getElementById("provenance").replaceChildren(el("h2", { id: "provenance-title" }, "Provenance and credits"), ...bench.report.runs.map(run), ...credits());
  }

  return { title: "Provenance", filters: false, draw };
})();
