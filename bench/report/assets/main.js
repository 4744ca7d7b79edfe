"use strict";
// The frame of the page: tabs, filters, colours, and the address.
(() => {
  const { el, state } = bench;
  const report = bench.report;

  function facts() {
    const rows = report.rows[0].filter(Boolean);
    const utterances = Math.max(...rows.map((row) => row.utterances));
    const minutes = Math.max(...rows.map((row) => row.duration_s)) / 60;
    const systems = report.codecs.filter((codec) => codec.kind !== "ceiling").length;
    const time = minutes >= 90 ? `${bench.digits(minutes / 60, 2)} hours` : `${bench.digits(minutes, 2)} minutes`;
    const points = report.points.filter((_, point) => !bench.isCeiling(point)).length;
    const finished = report.runs.map((run) => run.finished || "").sort().at(-1).slice(0, 10);
    const told = [`${systems} codecs at ${points} operating points`, `${utterances} utterances, ${time}`, `${report.metrics.length} metrics`, finished].filter(Boolean);
    document.getElementById("facts").replaceChildren(...told.flatMap((fact, n) => [el("span", {}, n < told.length - 1 ? `${fact} ·` : fact), " "]));
  }

  function filters() {
    const kinds = [...new Set(report.codecs.map((codec) => codec.kind))].filter((kind) => kind !== "ceiling");
    const redraw = () => Promise.resolve(bench.views[state.view].draw(bench.readAddress())).then(bench.address.remember);
    const number = (label, key) => el("label", { class: "field" }, el("span", {}, label), el("input", { type: "number", min: 0, step: "any", id: `filter-${key}`, placeholder: key === "from" ? "0" : "∞", oninput: (event) => { state[key] = event.target.value === "" ? null : Number(event.target.value); redraw(); } }));
    const kind = (name) => el("label", { class: "check" }, el("input", { type: "checkbox", checked: true, value: name, onchange: () => {
      const on = [...document.querySelectorAll("#filters input[type=checkbox]")].filter((box) => box.checked).map((box) => box.value);
      state.kinds = on.length === kinds.length ? null : new Set(on);
      redraw();
    } }), name);
    const scope = ({ kind: of, name }) => (of === "all" ? "all" : of === "language" ? `language ${name || "unknown"}` : `data set ${name}`);
    const fields = [
      el("label", { class: "field" }, el("span", {}, "Codec or point"), el("input", { type: "search", id: "filter-text", placeholder: "any", oninput: (event) => { state.text = event.target.value; redraw(); } })),
      kinds.length > 1 ? el("fieldset", {}, el("legend", {}, "Kind"), el("span", { class: "checks" }, kinds.map(kind))) : null,
      number("kbps from", "from"), number("to", "to"),
      report.scopes.length > 1 ? bench.select("Data", report.scopes.map((each, n) => [n, scope(each)]), state.scope, (choice) => { state.scope = choice; redraw(); }) : null,
    ].filter(Boolean);
    const fold = el("details", {}, el("summary", {}, "Filters"), el("div", { class: "fields" }, fields));
    document.getElementById("filters").replaceChildren(fold);
    // On a phone they would fill the first screen; elsewhere they are always open, and CSS hides the summary.
    const narrow = window.matchMedia("(max-width: 860px)");
    const unfold = () => { fold.open = !narrow.matches || fields.some((field) => field.contains(document.activeElement)); };
    narrow.addEventListener("change", unfold);
    unfold();
  }

  function showFilters() {
    for (const [id, value] of [["text", state.text], ["from", state.from ?? ""], ["to", state.to ?? ""]]) document.getElementById(`filter-${id}`).value = String(value);
    for (const box of document.querySelectorAll("#filters input[type=checkbox]")) box.checked = !state.kinds || state.kinds.has(box.value);
    const scope = document.querySelector("#filters select");
    if (scope) scope.value = String(state.scope);
  }

  function tabs() {
    document.getElementById("tabs").replaceChildren(...Object.entries(bench.views).map(([name, view]) =>
      el("li", {}, el("a", { href: `#view=${name}`, "data-view": name }, view.title))));
  }

  function show() {
    const parts = bench.readAddress();
    const name = parts.view in bench.views ? parts.view : "leaderboard";
    if (state.view !== name) bench.views[state.view].leave?.();
    bench.hideTooltip();
    bench.address.recall(parts);
    bench.views[name].recall?.(parts);
    state.view = name;
    for (const each of Object.keys(bench.views)) document.getElementById(each).hidden = each !== name;
    for (const tab of document.querySelectorAll("#tabs a")) tab.dataset.view === name ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current");
    const [list, current] = [document.getElementById("tabs"), document.querySelector("#tabs [aria-current]")];
    list.scrollLeft = current.offsetLeft - list.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;
    document.getElementById("filters").hidden = !bench.views[name].filters;
    showFilters();
    Promise.resolve(bench.views[name].draw(parts)).then(bench.address.remember).catch((error) => document.getElementById(name).append(el("p", { class: "failed", role: "alert" }, error.message)));
  }

  function theme() {
    const button = document.getElementById("theme");
    const modes = ["auto", "light", "dark"];
    let mode = "auto";
    try { mode = localStorage.getItem("theme") || "auto"; } catch { /* some browsers keep nothing for files */ }
    const apply = () => {
      document.documentElement.dataset.theme = mode;
      button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[mode];
      button.setAttribute("aria-label", `Colours: ${{ auto: "as the system has them", light: "light", dark: "dark" }[mode]}`);
      bench.views.listen.repaint();
    };
    button.addEventListener("click", () => {
      mode = modes[(modes.indexOf(mode) + 1) % modes.length];
      try { localStorage.setItem("theme", mode); } catch { /* as above */ }
      apply();
    });
    apply();
  }

  for (const name of ["papers", "listeners"]) {
    if (report[name].lines.length) continue;
    delete bench.views[name];
    document.getElementById(name).remove();
  }
  // Heads of tables stick under the bar of tabs, whatever its height.
  new ResizeObserver(([entry]) => document.documentElement.style.setProperty("--tabs", `${entry.target.offsetHeight}px`)).observe(document.querySelector(".tabs"));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // its address would be that of another view
    document.getElementById("main").focus();
  });
  window.addEventListener("click", (event) => { for (const picker of document.querySelectorAll(".picker[open]")) if (!event.composedPath().includes(picker)) picker.open = false; }, true);
  document.body.classList.toggle("embed", bench.address.embedded !== null);
  facts();
  tabs();
  filters();
  theme();
  show();
  // A finger does not rest: what a mouse sees while it rests, a tap shows.
  window.addEventListener("click", (event) => {
    if (event.pointerType !== "touch" || event.target.closest(".chart")) return;
    const told = event.target.closest("[title]");
    told && !event.target.closest("a, button") ? bench.tooltip(event, told.title.split("; ")) : bench.hideTooltip();
  });
  window.addEventListener("hashchange", show);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => bench.views.listen.repaint());
  window.addEventListener("resize", () => bench.views.listen.repaint());
  window.addEventListener("keydown", (event) => { if (state.view === "listen") bench.views.listen.onKey(event); });
  window.addEventListener("keydown", (event) => { if (event.key === "Escape") bench.hideTooltip(); });
  // Paper gets every view that draws without a choice.
  window.addEventListener("beforeprint", () => { for (const name of ["leaderboard", "papers", "listeners", "curves", "rates", "provenance"]) bench.views[name]?.draw({}); });
})();
