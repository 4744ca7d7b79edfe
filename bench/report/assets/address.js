"use strict";
// The address bar holds what is shown: the view, the filters and what the view keeps of its own. A part that is absent has its default.
bench.address = (() => {
  const { state } = bench;
  const FILTERS = ["text", "kinds", "from", "to", "data", "chart"];
  const own = new Map(); // view -> the parts of its own, as it was last shown

  const scopeName = ({ kind, name }) => (kind === "all" ? "all" : `${kind}:${name}`);
  const number = (text) => (text !== undefined && text !== "" && Number.isFinite(Number(text)) ? Number(text) : null);
  const given = (parts) => Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false));

  const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  // ?embed=chart: the one chart that shows, for a frame in another page.
  const embedded = new URLSearchParams(location.search).get("embed") === "chart" ? read().chart ?? null : null;

  function filters() {
    return given({ chart: embedded, text: state.text, kinds: state.kinds && ([...state.kinds].join(",") || "none"), from: state.from, to: state.to, data: state.scope ? scopeName(bench.report.scopes[state.scope]) : null });
  }

  function recall(parts) {
    const scope = bench.report.scopes.findIndex((each) => scopeName(each) === parts.data);
    const kinds = parts.kinds ? new Set(parts.kinds.split(",")) : null;
    Object.assign(state, { text: parts.text || "", kinds, from: number(parts.from), to: number(parts.to), scope: Math.max(0, scope) });
  }

  const text = (parts) => `#${new URLSearchParams(given(parts)).toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%40", "@")}`;
  const href = (parts) => text({ view: parts.view, ...filters(), ...parts });

  // The address of what shows now takes the place of the one before: going back leads to the view before, not to the control before.
  function remember() {
    const { view, ...parts } = read();
    if (view in bench.views && view !== state.view) return; // on the way to another view
    const kept = bench.views[state.view].keep?.() ?? Object.fromEntries(Object.entries(parts).filter(([name]) => !FILTERS.includes(name)));
    own.set(state.view, given(kept));
    const address = href({ view: state.view, ...own.get(state.view) });
    if (address !== location.hash) history.replaceState(history.state, "", address);
    for (const tab of document.querySelectorAll("#tabs a")) tab.setAttribute("href", href({ view: tab.dataset.view, ...own.get(tab.dataset.view) }));
  }

  // A step forward: going back leads here again.
  const go = (parts) => { location.hash = href(parts); };

  return { embedded, read, recall, remember, href, go, number };
})();
