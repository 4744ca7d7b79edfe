"use strict";
// Which columns the leaderboard has, which of them show, and the picker of them.
bench.columns = (() => {
  const { el, digits, kbps } = bench;
  const METRICS_AT_FIRST = 8; // more than fit beside each other are picked
  let picked = null; // keys, or null: those of `usual`

  const rate = (group) => ([key, name, text, definition]) => ({ key, name, group, text, definition, value: (row) => row.rates[key] });
  const RATES = [
    ["bitrate", "kbps", kbps, "Tokens and side information (durations, masks, flags) over the seconds of audio that went in, counted in the packed bitstream that was decoded."],
    ["nominal_bitrate", "nominal kbps", kbps, "What a paper would print: frames a second times the bits of a token, without headers, and without side information where papers leave it out."],
    ["token_rate", "tokens/s", digits, "Tokens per second over all codebooks, measured."],
    ["frame_rate", "Hz", digits, "Token frames per second, measured over all utterances; the nominal rate of the operating point stands below it where it differs."],
  ].map(rate("Rate"));
  const DATA = [{ key: "utterances", name: "n", group: "Data", text: String, definition: "Utterances of this point, failed ones included.", value: (row) => row.utterances }];
  const SPLIT = [
    ["bitrate_tokens", "tokens", kbps, "The part of the bitrate that is tokens (of a classical coder: its packets)."],
    ["bitrate_side", "side", kbps, "The part of the bitrate that is side information: durations of dynamic frames, masks, flags."],
    ["bitrate_header", "header", kbps, "Header and padding to whole bytes of one file an utterance; not part of the bitrate, as a long stream has it once."],
    ["bitrate_entropy", "entropy", kbps, "The same content through an adaptive range coder, also decodable."],
  ].map(rate("Bits, kbit/s"));
  const COST = [
    ["encode_rtf", "encode", digits, "Seconds of computation per second of audio, analysis included, on the machine named under Provenance."],
    ["decode_rtf", "decode", digits, "Seconds of computation per second of audio, on the machine named under Provenance."],
    ["peak_memory_mb", "memory, MB", digits, "Peak memory of the process that ran the codec, everything else in it included."],
  ].map(rate("Cost"));

  const metrics = (diagnostic) => bench.report.metrics
    .map((info, metric) => ({ key: info.name, name: bench.metricHead(metric), group: diagnostic ? "Diagnostics" : "Quality", metric, info }))
    .filter((column) => column.info.diagnostic === diagnostic);
  const all = () => [...RATES, ...metrics(false), ...DATA, ...SPLIT, ...metrics(true), ...COST];
  const usual = () => new Set(["bitrate", "frame_rate", ...metrics(false).slice(0, METRICS_AT_FIRST).map((column) => column.key)]);
  const keys = () => picked ?? usual();
  const shown = () => all().filter((column) => keys().has(column.key));

  function close(event) {
    if (event.key !== "Escape") return;
    event.currentTarget.open = false;
    event.currentTarget.firstChild.focus();
  }

  function picker(redraw) {
    const change = (set) => { picked = set; redraw(); };
    const tick = (column) => el("label", { class: "check" },
      el("input", { type: "checkbox", checked: keys().has(column.key), onchange: (event) => {
        const set = new Set(keys());
        event.target.checked ? set.add(column.key) : set.delete(column.key);
        change(set);
      } }), column.name);
    const groups = new Map(all().map((column) => [column.group, all().filter((each) => each.group === column.group)]));
    return el("details", { class: "picker", onkeydown: close }, el("summary", {}, `Columns (${shown().length} of ${all().length})`),
      el("div", { class: "panel" },
        [...groups].map(([name, columns]) => el("fieldset", {}, el("legend", {}, name), el("span", { class: "checks" }, columns.map(tick)))),
        el("p", {}, el("button", { type: "button", class: "plain", onclick: () => change(null) }, "The usual"), " ",
          el("button", { type: "button", class: "plain", onclick: () => change(new Set(all().map((column) => column.key))) }, "All"))));
  }

  const keep = () => picked && ([...picked].join(",") || "none");
  const recall = (text) => { picked = text ? new Set(text.split(",").filter((key) => all().some((column) => column.key === key))) : null; };

  return { shown, picker, keep, recall };
})();
