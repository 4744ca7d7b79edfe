"use strict";
// Utterances, worst first, and a player that switches between systems without losing its place.
bench.views.listen = (() => {
  const { el, known, fixed } = bench;
  const PAGE = 40;
  const chosen = { point: null, metric: null, unit: null, a: null, b: null, page: 1, order: 0, audible: true };
  const slots = new Map(); // "R", "A", "B" -> {point, audio, drawing}
  let hearing = "R";
  let hidden = null; // what X stands for, "A" or "B"
  const guesses = { right: 0, all: 0 };
  let zoom = 1;
  let boundaries = true;
  let ticking = 0;
  let version = 0; // of what is drawn: answers to older questions are dropped

  const utterances = () => bench.load("utterances", "data/utterances.js");
  const scoresOf = (point) => bench.load(`point${point}`, `data/point${point}.js`);
  const drawingOf = (unit, point) => bench.load(`u${unit}p${point}`, `media/u${unit}/p${point}.js`);
  const ceilingPoint = () => bench.report.points.findIndex((_, point) => bench.isCeiling(point));
  const others = () => bench.report.points.map((_, point) => point).filter((point) => !bench.isCeiling(point));

  async function draw(parts) {
    const mine = ++version;
    const metrics = bench.report.ranking.length ? bench.report.ranking : bench.report.metrics.map((_, metric) => metric);
    const named = (name) => bench.report.metrics.findIndex((info) => info.name === name);
    const whole = (text) => (/^\d+$/.test(text || "") ? Number(text) : null);
    const asked = whole(parts.point);
    const point = asked !== null && asked < bench.report.points.length ? asked : chosen.point ?? bench.report.baseline ?? others()[0] ?? 0;
    if (point !== chosen.point) Object.assign(chosen, { point, page: 1 });
    chosen.metric = parts.metric && named(parts.metric) >= 0 ? named(parts.metric) : chosen.metric ?? metrics[0];
    chosen.unit = whole(parts.unit) ?? chosen.unit;
    chosen.a = whole(parts.a) ?? point;
    chosen.b = whole(parts.b) ?? chosen.b;
    const [index, scores] = await Promise.all([utterances(), scoresOf(point)]);
    if (mine !== version) return;
    const rows = ranked(index, scores);
    if (chosen.unit === null || !(chosen.unit in index.utterance)) chosen.unit = (rows.find((row) => index.audio[row.unit]) || rows[0])?.unit ?? null;
    bench.redraw(document.getElementById("listen"),
      el("h2", { id: "listen-title" }, "Listen"),
      controls(metrics),
      el("div", { class: "listening" }, list(index, rows), el("div", { id: "player" }, el("p", { class: "empty" }, "Loading …"))),
    );
    await openPlayer(index, mine);
  }

  function ranked(index, scores) {
    const info = bench.report.metrics[chosen.metric];
    const scope = bench.report.scopes[bench.state.scope];
    const rows = scores.unit.map((unit, row) => ({ unit, row, score: scores.scores[chosen.metric][row] ?? null, failure: scores.failures[row]?.[info.name] || scores.failures[row]?.codec }))
      .filter(({ unit }) => scope.kind === "all" || index[scope.kind][unit] === scope.name)
      .filter(({ unit }) => !chosen.audible || unit in index.audio);
    const up = info.higher_is_better ? 1 : -1;
    const badness = (row) => (row.failure ? -Infinity : known(row.score) ? up * row.score : Infinity);
    if (chosen.order < 2) rows.sort((a, b) => (chosen.order ? badness(b) - badness(a) : badness(a) - badness(b)) || a.unit - b.unit);
    return rows;
  }

  const address = (changes) => bench.go({ view: "listen", point: chosen.point, metric: bench.report.metrics[chosen.metric].name, ...changes });

  function controls(metrics) {
    const redraw = () => draw(bench.readAddress());
    return el("div", { class: "tools" },
      bench.select("System", others().map((point) => [point, bench.nameOf(point)]), chosen.point, (point) => address({ point })),
      bench.select("Metric", metrics.map((metric) => [metric, bench.metricHead(metric)]), chosen.metric, (metric) => address({ metric: bench.report.metrics[metric].name })),
      bench.select("Order", [[0, "worst first"], [1, "best first"], [2, "as in the data"]], chosen.order, (order) => { chosen.order = order; chosen.page = 1; redraw(); }),
      bench.report.scopes.length > 1 ? bench.select("Data", bench.report.scopes.map((scope, number) => [number, scope.kind === "all" ? "all" : scope.name || "unknown"]), bench.state.scope, (scope) => { bench.state.scope = scope; redraw(); }) : null,
      el("label", { class: "check" }, el("input", { type: "checkbox", checked: chosen.audible, onchange: (event) => { chosen.audible = event.target.checked; redraw(); } }), "with audio only"),
    );
  }

  function list(index, rows) {
    const info = bench.report.metrics[chosen.metric];
    const shown = rows.slice(0, PAGE * chosen.page);
    const item = ({ unit, score, failure }) => el("li", {}, el("button", { type: "button", class: "utterance", "aria-current": unit === chosen.unit ? "true" : null, title: failure || null, onclick: () => address({ point: chosen.point, unit, ...(chosen.b === null ? {} : { b: chosen.b }) }) },
      el("span", { class: failure ? "score failed" : "score" }, failure ? "failed" : fixed(score, info.decimals)),
      el("span", { class: "snippet", dir: "auto" }, index.text[unit] || index.utterance[unit]),
      el("span", { class: "id", dir: "auto" }, [index.utterance[unit], index.language[unit]].filter(Boolean).join(" · "))));
    return el("div", { class: "utterances" },
      rows.length ? el("ol", { "aria-label": `Utterances by ${info.name}` }, shown.map(item)) : el("p", { class: "empty" }, "No utterance has audio here; untick “with audio only” to see the scores."),
      rows.length > shown.length ? el("button", { type: "button", class: "plain", onclick: () => { chosen.page++; draw(bench.readAddress()); } }, `Show more of ${rows.length}`) : null);
  }

  function stop() {
    cancelAnimationFrame(ticking);
    for (const { audio } of slots.values()) { audio?.pause(); audio?.removeAttribute("src"); }
    slots.clear();
    hearing = "R";
    hidden = null;
  }

  async function openPlayer(index, mine) {
    stop();
    const holder = document.getElementById("player");
    const unit = chosen.unit;
    if (unit === null) return holder.replaceChildren();
    const heard = index.audio[unit] || {};
    const has = (point) => point !== null && point in heard;
    const ceiling = ceilingPoint();
    const audible = others().filter(has);
    if (!has(chosen.a)) chosen.a = audible[0] ?? null;
    if (!has(chosen.b) || chosen.b === chosen.a) chosen.b = audible.find((point) => point !== chosen.a && point === bench.report.baseline) ?? audible.find((point) => point !== chosen.a) ?? null;
    const head = [
      el("blockquote", { dir: "auto", lang: index.language[unit] || null }, index.text[unit] || "(no text)"),
      el("p", { class: "id", dir: "auto" }, [index.utterance[unit], index.dataset[unit], index.speaker[unit] && `speaker ${index.speaker[unit]}`, index.language[unit], `${bench.digits(index.duration_s[unit])} s`].filter(Boolean).join(" · ")),
    ];
    if (chosen.a === null) return holder.replaceChildren(...head, el("p", { class: "empty" }, "The audio of this utterance was not kept in the report."), await scoreTable(unit, [chosen.point]));
    const wanted = [["R", has(ceiling) ? ceiling : null], ["A", chosen.a], ["B", chosen.b]].filter(([, point]) => point !== null);
    const loaded = await Promise.all(wanted.map(async ([name, point]) => [name, { point, drawing: await drawingOf(unit, point), audio: new Audio(`audio/u${unit}/p${point}${heard[point]}`) }]));
    if (mine !== version) return;
    for (const [name, slot] of loaded) { slots.set(name, slot); slot.audio.preload = "auto"; }
    if (!slots.has(hearing)) hearing = "A";
    if (slots.has("B")) hidden = Math.random() < 0.5 ? "A" : "B";
    const table = await scoreTable(unit, [...slots.values()].map((slot) => slot.point));
    if (mine !== version) return;
    holder.replaceChildren(...head, transport(audible), tracks(), ...(slots.has("B") ? [blindTest()] : []), table);
    paint();
    switchTo(hearing);
  }

  function transport(audible) {
    const pick = (name) => slots.has(name) ? bench.select(name, audible.map((point) => [point, bench.nameOf(point)]), slots.get(name).point, (point) => address({ unit: chosen.unit, a: name === "A" ? point : chosen.a, b: name === "B" ? point : chosen.b })) : null;
    const names = [["R", "reference"], ["A", "A"], ["B", "B"], ["X", "X"]].filter(([name]) => slots.has(name) || (name === "X" && slots.has("B")));
    return el("div", { class: "transport" },
      el("button", { type: "button", id: "play", class: "primary", onclick: playOrPause }, "Play"),
      el("div", { class: "switches", role: "radiogroup", "aria-label": "What is heard" }, names.map(([name, label]) =>
        el("button", { type: "button", role: "radio", "data-slot": name, "aria-checked": String(name === hearing), onclick: () => switchTo(name) }, label))),
      el("span", { id: "clock", class: "clock" }, "0.00 s"),
      el("span", { class: "picks" }, pick("A"), pick("B")),
      el("p", { class: "legend" }, "Keys: ", ...["R", "A", "B", "X"].flatMap((key) => [el("kbd", {}, key), " "]), "switch in place, ", el("kbd", {}, "space"), " plays, ", el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " move by half a second."));
  }

  function blindTest() {
    const status = el("span", { id: "blind", role: "status" }, "");
    const guess = (name) => () => {
      guesses.all++;
      if (name === hidden) guesses.right++;
      status.textContent = `X was ${hidden}. ${guesses.right} of ${guesses.all} right.`;
      hidden = Math.random() < 0.5 ? "A" : "B";
      switchTo(hearing);
    };
    return el("p", { class: "blind" }, "X is A or B, at random: ", el("button", { type: "button", class: "plain", onclick: guess("A") }, "X is A"), " ", el("button", { type: "button", class: "plain", onclick: guess("B") }, "X is B"), " ", status);
  }

  const current = () => slots.get(hearing === "X" ? hidden : hearing);
  const playing = () => [...slots.values()].some(({ audio }) => !audio.paused);

  // All systems run together and one is heard, so that a switch falls between two samples and not between two loads.
  function switchTo(name) {
    if (!slots.has(name) && !(name === "X" && hidden)) return;
    const before = current();
    hearing = name;
    const now = current();
    for (const slot of slots.values()) slot.audio.muted = slot !== now;
    if (before && Math.abs(now.audio.currentTime - before.audio.currentTime) > 0.02) now.audio.currentTime = before.audio.currentTime;
    for (const button of document.querySelectorAll("#player button[data-slot]")) button.setAttribute("aria-checked", String(button.dataset.slot === name));
    for (const track of document.querySelectorAll("#player .track")) track.classList.toggle("heard", track.dataset.slot === name);
  }

  async function playOrPause() {
    if (!slots.size) return;
    if (playing()) {
      for (const { audio } of slots.values()) audio.pause();
    } else {
      const start = current().audio.ended ? 0 : current().audio.currentTime;
      for (const { audio } of slots.values()) audio.currentTime = start;
      await Promise.all([...slots.values()].map(({ audio }) => audio.play().catch((error) => { if (error.name !== "AbortError") throw error; })));
    }
    follow();
  }

  function seek(seconds) {
    for (const { audio, drawing } of slots.values()) audio.currentTime = Math.max(0, Math.min(seconds, drawing.seconds));
    follow();
  }

  function follow() {
    cancelAnimationFrame(ticking);
    const slot = current();
    const button = document.getElementById("play");
    if (!slot || !button) return;
    button.textContent = playing() ? "Pause" : "Play";
    document.getElementById("clock").textContent = `${slot.audio.currentTime.toFixed(2)} s`;
    const longest = Math.max(...[...slots.values()].map((each) => each.drawing.seconds));
    const [strip, at] = [document.getElementById("tracks"), slot.audio.currentTime / longest];
    strip.style.setProperty("--at", String(at));
    if (zoom > 1) strip.parentElement.scrollLeft = at * strip.clientWidth - strip.parentElement.clientWidth / 2;
    if (playing()) ticking = requestAnimationFrame(follow);
  }

  function tracks() {
    const longest = Math.max(...[...slots.values()].map((slot) => slot.drawing.seconds));
    const track = ([name, slot]) => {
      const dynamic = (slot.drawing.frames || []).some((axis) => axis.dynamic);
      const canvas = el("canvas", { role: "img", "aria-label": `Waveform and spectrogram of ${bench.nameOf(slot.point)}${dynamic ? " with its frame boundaries" : ""}` });
      slot.canvas = canvas;
      return el("div", { class: "track", "data-slot": name },
        el("div", { class: "track-name" }, el("b", {}, name === "R" ? "R" : name), " ", bench.marker(bench.codecOf(slot.point)), el("span", { dir: "auto" }, bench.nameOf(slot.point)), el("span", { class: "rate" }, rateText(slot.drawing))),
        canvas);
    };
    const seekTo = (event) => {
      const box = document.getElementById("tracks").getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * longest);
    };
    return el("div", {},
      el("div", { class: "tools" },
        bench.select("Zoom", [1, 2, 4, 8].map((factor) => [factor, `${factor}×`]), zoom, (factor) => { zoom = factor; document.getElementById("tracks").style.width = `${100 * zoom}%`; paint(); }),
        el("label", { class: "check" }, el("input", { type: "checkbox", id: "boundaries", checked: boundaries, onchange: (event) => { boundaries = event.target.checked; paint(); } }), "frame boundaries")),
      el("div", { class: "scroll tracks-scroll", tabindex: 0, role: "region", "aria-label": "Waveforms and spectrograms" }, el("div", { id: "tracks", style: `width:${100 * zoom}%`, onclick: seekTo }, [...slots].map(track), el("div", { class: "playhead", "aria-hidden": "true" }))),
      el("p", { class: "legend" }, "Under each spectrogram (0 to 8 kHz, 0 to −90 dB), one block a token frame: the longer it lasts, the stronger its colour. Lines mark the boundaries of dynamic frames."));
  }

  function rateText(drawing) {
    const axes = (drawing.frames || []).map((axis) => `${bench.digits(axis.durations.length / drawing.seconds)} Hz × ${axis.codebooks}`);
    return axes.join(" + ");
  }

  function bytes(text, Type) {
    const raw = atob(text);
    const values = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) values[i] = raw.charCodeAt(i);
    return new Type(values.buffer);
  }

  // Light pages get ink on paper, dark pages light on black.
  const STOPS = {
    light: [[255, 255, 255], [226, 232, 240], [148, 163, 196], [88, 80, 150], [45, 20, 70]],
    dark: [[12, 12, 18], [50, 24, 84], [140, 45, 120], [236, 110, 80], [254, 230, 170]],
  };

  function palette(name) {
    const stops = STOPS[name];
    return Array.from({ length: 256 }, (_, level) => {
      const at = (level / 255) * (stops.length - 1);
      const n = Math.min(Math.floor(at), stops.length - 2);
      return stops[n].map((value, k) => Math.round(value + (at - n) * (stops[n + 1][k] - value)));
    });
  }

  function spectrogram(drawing, dark) {
    const levels = bytes(drawing.mel, Uint8Array);
    const colours = palette(dark ? "dark" : "light");
    const bands = levels.length / drawing.hops;
    const canvas = document.createElement("canvas");
    canvas.width = drawing.hops;
    canvas.height = bands;
    const image = new ImageData(drawing.hops, bands);
    levels.forEach((level, i) => {
      const [r, g, b] = colours[Math.max(0, Math.round((level - 55) * (255 / 200)))]; // -70 dB and less is background
      image.data.set([r, g, b, 255], 4 * i);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  function paint() {
    const longest = Math.max(...[...slots.values()].map((slot) => slot.drawing.seconds));
    // One scale for all, so that a change of level shows.
    const loudest = Math.max(1, ...[...slots.values()].flatMap((slot) => [...bytes(slot.drawing.peaks, Int8Array)].map(Math.abs)));
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--scheme").trim() === "dark";
    for (const slot of slots.values()) {
      const axes = slot.drawing.frames || [];
      const [wave, gap, spec, lane] = [48, 4, 110, 13];
      const height = wave + gap + spec + (axes.length ? gap + lane * axes.length : 0);
      const ratio = window.devicePixelRatio || 1;
      const width = slot.canvas.clientWidth || 600;
      Object.assign(slot.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      slot.canvas.style.height = `${height}px`;
      const pen = slot.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const x = (seconds) => (seconds / longest) * width;
      const end = x(slot.drawing.seconds);
      const colour = bench.codecOf(slot.point).colour;
      drawWave(pen, slot.drawing, end, wave, dark, loudest);
      pen.imageSmoothingEnabled = true;
      pen.drawImage(spectrogram(slot.drawing, dark), 0, wave + gap, end, spec);
      axes.forEach((axis, number) => drawFrames(pen, axis, x, colour, { top: wave + gap + spec + gap + number * lane, lane: lane - 2, over: wave + gap + spec, dark }));
    }
  }

  function drawWave(pen, drawing, end, height, dark, loudest) {
    const peaks = bytes(drawing.peaks, Int8Array);
    pen.fillStyle = dark ? "#9aa3b5" : "#5b6475";
    const step = end / drawing.hops;
    for (let hop = 0; hop < drawing.hops; hop++) {
      const [low, high] = [peaks[2 * hop] / loudest, peaks[2 * hop + 1] / loudest];
      pen.fillRect(hop * step, (height / 2) * (1 - high), Math.max(step, 0.6), Math.max(1, (height / 2) * (high - low)));
    }
  }

  function drawFrames(pen, axis, x, colour, { top, lane, over, dark }) {
    const longest = Math.max(...axis.durations, 2);
    const spacing = x(axis.base_s * axis.durations.reduce((sum, duration) => sum + duration, 0)) / axis.durations.length;
    const line = Math.max(0.12, Math.min(0.5, spacing / 16)); // many lines must not hide what they divide
    let at = 0;
    for (const duration of axis.durations) {
      const [from, to] = [x(at * axis.base_s), x((at + duration) * axis.base_s)];
      pen.globalAlpha = axis.dynamic ? 0.2 + 0.8 * ((duration - 1) / (longest - 1)) : 0.35;
      pen.fillStyle = colour;
      pen.fillRect(from, top, Math.max(0.5, to - from - (to - from > 3 ? 1 : 0)), lane);
      if (axis.dynamic && boundaries) {
        pen.globalAlpha = line;
        pen.fillStyle = colour;
        pen.fillRect(to - 0.4, 0, 0.8, over);
      }
      if (axis.dynamic && to - from > 14) {
        pen.globalAlpha = 1;
        pen.fillStyle = dark ? "#fff" : "#111";
        pen.font = "9px ui-sans-serif, system-ui, sans-serif";
        pen.textAlign = "center";
        pen.fillText(String(duration), (from + to) / 2, top + lane - 2.5);
      }
      at += duration;
    }
    pen.globalAlpha = 1;
  }

  // What every metric says of this utterance, and what the recogniser heard.
  async function scoreTable(unit, points) {
    const all = await Promise.all(points.map(scoresOf));
    const rows = all.map((scores) => scores.unit.indexOf(unit));
    const value = (scores, row, metric) => {
      const info = bench.report.metrics[metric];
      const failure = scores.failures[row]?.[info.name] || scores.failures[row]?.codec;
      return failure ? el("td", { class: "num failed", title: failure }, "failed") : el("td", { class: "num" }, fixed(scores.scores[metric][row] ?? null, info.decimals));
    };
    const rate = (name, text) => el("tr", {}, el("th", { scope: "row" }, name), all.map((scores, n) => el("td", { class: "num" }, rows[n] < 0 ? bench.missing : text(scores, rows[n], points[n]))));
    const bits = (scores, row) => (scores.bits.total[row] ? `${scores.bits.tokens[row]} + ${scores.bits.side[row]} + ${scores.bits.total[row] - scores.bits.tokens[row] - scores.bits.side[row]}` : bench.missing);
    const heard = all.flatMap((scores, n) => Object.entries(scores.hypotheses).filter(([, texts]) => texts[rows[n]]).map(([name, texts]) =>
      el("p", { class: "hypothesis" }, bench.marker(bench.codecOf(points[n])), el("span", { class: "id", dir: "auto" }, `${bench.nameOf(points[n])}, ${name}`), el("span", { dir: "auto", class: "heard-text" }, texts[rows[n]]))));
    return el("div", {},
      el("div", { class: "scroll" }, el("table", { class: "plain-table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "This utterance"), points.map((point) => el("th", { scope: "col", class: "num", dir: "auto" }, bench.nameOf(point))))),
        el("tbody", {},
          bench.report.metrics.map((_, metric) => el("tr", {}, el("th", { scope: "row" }, bench.metricHead(metric)), all.map((scores, n) => (rows[n] < 0 ? el("td", { class: "num" }, bench.missing) : value(scores, rows[n], metric))))),
          rate("kbit/s", (scores, row, point) => bench.kbps(scores.rates.bitrate[row] || null) + (scores.rates.bitrate[row] ? bench.stated(point) : "")),
          rate("frames per second (Hz)", (scores, row) => bench.digits(scores.rates.frame_rate[row] || null)),
          rate("bits: tokens + side + header", bits)))),
      heard.length ? el("h3", {}, "What the recogniser heard") : null, ...heard);
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !slots.size) return;
    if (event.target.closest?.("input, select, textarea, dialog")) return;
    const key = event.key.toUpperCase();
    if (["R", "A", "B", "X"].includes(key)) switchTo(key);
    else if (event.key === " " && !event.target.closest?.("button, a, summary")) playOrPause();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") seek(current().audio.currentTime + (event.key === "ArrowLeft" ? -0.5 : 0.5));
    else return;
    event.preventDefault();
  }

  return { title: "Listen", filters: false, draw, leave: () => { version++; stop(); }, onKey, repaint: () => slots.size && paint() };
})();
