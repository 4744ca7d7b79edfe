"use strict";
// Utterances, worst first, and a player that switches between systems without losing its place.
bench.views.listen = (() => {
  const { el, known, fixed } = bench;
  const PAGE = 40;
  const ORDERS = { worst: "worst first", best: "best first", data: "as in the data", difference: "largest difference of A and B" };
  const chosen = { point: null, metric: null, unit: null, a: null, b: null, page: 1, order: "worst", audible: null, all: false };
  const slots = new Map(); // "R", "A", "B" -> {point, drawing, canvas}
  let context = null; // one for the page, from the first sound on
  let deck = null; // of the utterance that is open; its sounds are named by their points
  const buffers = new Map(); // point -> what the deck has of it
  let hearing = "R"; // R, A, B, X, or a point by its number
  let hidden = null; // what X stands for, "A" or "B"
  let matching = false; // levels
  const guesses = { right: 0, all: 0 };
  let zoom = 1;
  let boundaries = true;
  let ticking = 0;
  let version = 0; // of what is drawn: answers to older questions are dropped

  const utterances = () => bench.load("utterances", "data/utterances.js");
  const scoresOf = (point) => bench.load(`point${point}`, `data/point${point}.js`);
  const soundOf = (unit, point) => bench.load(`sound u${unit}p${point}`, `audio/u${unit}/p${point}.js`);
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
    chosen.order = parts.order in ORDERS ? parts.order : chosen.order;
    chosen.all = "all" in parts ? parts.all === "1" : chosen.all;
    if (chosen.order === "difference" && (chosen.b === null || chosen.b === chosen.a)) chosen.b = [bench.report.baseline, ...others()].find((other) => known(other) && other !== chosen.a) ?? null;
    const compared = chosen.order === "difference" && chosen.b !== null;
    const [index, scores, subtrahend] = await Promise.all([utterances(), scoresOf(compared ? chosen.a : point), compared ? scoresOf(chosen.b) : null]);
    if (mine !== version) return;
    chosen.audible ??= Object.keys(index.audio).length > 0;
    const rows = ranked(index, scores, subtrahend);
    if (chosen.unit === null || !(chosen.unit in index.utterance)) chosen.unit = (rows.find((row) => index.audio[row.unit]) || rows[0])?.unit ?? null;
    if (!document.getElementById("player"))
      document.getElementById("listen").replaceChildren(el("h2", { id: "listen-title" }, "Listen"), el("div", { id: "listen-tools" }),
        el("div", { class: "listening" }, el("div", { id: "listen-list" }), el("div", { id: "player" }, el("p", { class: "empty" }, "Loading …"))));
    bench.redraw(document.getElementById("listen-tools"), controls(metrics));
    bench.redraw(document.getElementById("listen-list"), list(index, rows, compared));
    await openPlayer(index, mine);
  }

  // `subtrahend`: scores of B, where the list is of differences A − B.
  function ranked(index, scores, subtrahend) {
    const info = bench.report.metrics[chosen.metric];
    const scope = bench.report.scopes[bench.state.scope];
    const of = (from) => new Map(from.unit.map((unit, row) => [unit, { score: from.scores[chosen.metric][row] ?? null, failure: from.failures[row]?.[info.name] || from.failures[row]?.codec }]));
    const other = subtrahend && of(subtrahend);
    const less = ({ score, failure }, from) => ({ score: known(score) && known(from?.score) ? score - from.score : null, failure: failure || from?.failure });
    const rows = [...of(scores)].map(([unit, found]) => ({ unit, ...(other ? less(found, other.get(unit)) : found) }))
      .filter(({ unit }) => scope.kind === "all" || index[scope.kind][unit] === scope.name)
      .filter(({ unit }) => !chosen.audible || unit in index.audio);
    const up = info.higher_is_better ? 1 : -1;
    const badness = (row) => (row.failure ? -Infinity : known(row.score) ? up * row.score : Infinity);
    const keys = { worst: badness, best: (row) => -badness(row), difference: (row) => (known(row.score) ? -Math.abs(row.score) : Infinity) };
    const key = keys[chosen.order];
    if (key) rows.sort((a, b) => { const [x, y] = [key(a), key(b)]; return (x === y ? 0 : x - y) || a.unit - b.unit; });
    return rows;
  }

  const pair = () => (chosen.b === null ? {} : { a: chosen.a, b: chosen.b });
  const address = (changes) => bench.go({ view: "listen", point: chosen.point, metric: bench.report.metrics[chosen.metric].name, ...(chosen.order === "worst" ? {} : { order: chosen.order }), ...(chosen.all ? { all: 1 } : {}), ...changes });

  function controls(metrics) {
    const redraw = () => draw(bench.readAddress());
    return el("div", { class: "tools" },
      bench.select("System", others().map((point) => [point, bench.nameOf(point)]), chosen.point, (point) => address({ point })),
      bench.select("Metric", metrics.map((metric) => [metric, bench.metricHead(metric)]), chosen.metric, (metric) => address({ metric: bench.report.metrics[metric].name })),
      bench.select("Order", Object.values(ORDERS).map((text, n) => [n, text]).slice(0, others().length > 1 ? 4 : 3), Object.keys(ORDERS).indexOf(chosen.order), (n) => { chosen.page = 1; address({ ...pair(), order: Object.keys(ORDERS)[n], ...(chosen.unit === null ? {} : { unit: chosen.unit }) }); }),
      bench.report.scopes.length > 1 ? bench.select("Data", bench.report.scopes.map((scope, number) => [number, scope.kind === "all" ? "all" : scope.name || "unknown"]), bench.state.scope, (scope) => { bench.state.scope = scope; redraw(); }) : null,
      el("label", { class: "check" }, el("input", { type: "checkbox", checked: chosen.audible, onchange: (event) => { chosen.audible = event.target.checked; redraw(); } }), "with audio only"),
    );
  }

  function list(index, rows, compared) {
    const info = bench.report.metrics[chosen.metric];
    const shown = rows.slice(0, PAGE * chosen.page);
    const item = ({ unit, score, failure }) => el("li", {}, el("button", { type: "button", class: "utterance", "aria-current": unit === chosen.unit ? "true" : null, title: failure || null, onclick: () => address({ unit, ...pair() }) },
      el("span", { class: failure ? "score failed" : "score" }, failure ? "failed" : compared ? bench.signed(score, info.decimals) : fixed(score, info.decimals)),
      el("span", { class: "snippet", dir: "auto" }, index.text[unit] || index.utterance[unit]),
      el("span", { class: "id", dir: "auto" }, [index.utterance[unit], index.language[unit]].filter(Boolean).join(" · "))));
    return el("div", { class: "utterances" },
      rows.length ? el("ol", { "aria-label": `Utterances by ${info.name}${compared ? `, ${bench.nameOf(chosen.a)} less ${bench.nameOf(chosen.b)}` : ""}` }, shown.map(item)) : el("p", { class: "empty" }, "No utterance has audio here; untick “with audio only” to see the scores."),
      rows.length > shown.length ? el("button", { type: "button", class: "plain", onclick: () => { chosen.page++; draw(bench.readAddress()); } }, `Show more of ${rows.length}`) : null);
  }

  function stop() {
    cancelAnimationFrame(ticking);
    deck?.close();
    deck = null;
    buffers.clear();
    slots.clear();
    hearing = "R";
    hidden = null;
  }

  // Into the deck, at the place where the others are.
  async function addSound(unit, point) {
    const mine = deck;
    const buffer = await context.decodeAudioData(bench.deck.bytes(await soundOf(unit, point)));
    if (deck !== mine || mine.has(point)) return;
    buffers.set(point, buffer);
    mine.add(point, buffer);
    setLevels();
  }

  function setLevels() {
    if (!deck) return;
    const points = [...buffers.keys()];
    const target = buffers.get(slots.get("R")?.point) ?? buffers.get(slots.get("A").point);
    const gains = matching && target ? bench.deck.matched([...buffers.values()], target) : points.map(() => 1);
    deck.setLevels(new Map(points.map((point, n) => [point, gains[n]])));
    const told = document.getElementById("levels");
    if (!told) return;
    const decibels = (point) => `${bench.signed(Math.round(200 * Math.log10(gains[points.indexOf(point)])) / 10 + 0, 1)} dB`;
    told.textContent = matching ? `Brought to one level (RMS): ${[...slots].filter(([, slot]) => buffers.has(slot.point)).map(([name, slot]) => `${name} ${decibels(slot.point)}`).join(", ")}` : "";
  }

  async function openPlayer(index, mine) {
    stop();
    const holder = document.getElementById("player");
    const unit = chosen.unit;
    if (unit === null) return bench.redraw(holder);
    const heard = index.audio[unit] || [];
    const has = (point) => heard.includes(point);
    const ceiling = ceilingPoint();
    const audible = others().filter(has);
    if (!has(chosen.a)) chosen.a = audible[0] ?? null;
    if (!has(chosen.b) || chosen.b === chosen.a) chosen.b = audible.find((point) => point !== chosen.a && point === bench.report.baseline) ?? audible.find((point) => point !== chosen.a) ?? null;
    const head = [
      el("blockquote", { dir: "auto", lang: index.language[unit] || null }, index.text[unit] || "(no text)"),
      el("p", { class: "id", dir: "auto" }, [index.utterance[unit], index.dataset[unit], index.speaker[unit] && `speaker ${index.speaker[unit]}`, index.language[unit], `${bench.digits(index.duration_s[unit])} s`].filter(Boolean).join(" · ")),
    ];
    if (chosen.a === null) return bench.redraw(holder, ...head, el("p", { class: "empty" }, "The audio of this utterance was not kept in the report."), await scoreTable(unit, [chosen.point]));
    const wanted = [["R", has(ceiling) ? ceiling : null], ["A", chosen.a], ["B", chosen.b]].filter(([, point]) => point !== null);
    const loaded = await Promise.all(wanted.map(async ([name, point]) => [name, { point, drawing: await drawingOf(unit, point) }]));
    if (mine !== version) return;
    context ??= new AudioContext();
    deck = bench.deck.create(context, follow);
    for (const [name, slot] of loaded) slots.set(name, slot);
    await Promise.all([...slots.values()].map(({ point }) => addSound(unit, point)));
    if (mine !== version) return;
    if (!slots.has(hearing)) hearing = "A";
    if (slots.has("B")) hidden = Math.random() < 0.5 ? "A" : "B";
    const below = chosen.all ? [await grid(unit, [...(has(ceiling) ? [ceiling] : []), ...audible])] : [tracks(), ...(slots.has("B") ? [blindTest()] : []), await scoreTable(unit, [...slots.values()].map((slot) => slot.point))];
    if (mine !== version) return;
    bench.redraw(holder, ...head, transport(audible), ...below, invitation());
    paint();
    setLevels();
    switchTo(hearing);
  }

  // One utterance by every system: what it sounds like, looks like, and was understood as.
  async function grid(unit, points) {
    const info = bench.report.metrics[chosen.metric];
    const [drawings, scores] = await Promise.all([Promise.all(points.map((point) => drawingOf(unit, point))), Promise.all(points.map(scoresOf))]);
    const cards = points.map((point, n) => {
      const row = scores[n].unit.indexOf(unit);
      const failure = scores[n].failures[row]?.[info.name];
      return { point, drawing: drawings[n], failure, score: scores[n].scores[chosen.metric][row] ?? null, texts: Object.values(scores[n].hypotheses).map((texts) => texts[row]).filter(Boolean) };
    });
    const up = info.higher_is_better ? -1 : 1;
    cards.sort((a, b) => bench.isCeiling(b.point) - bench.isCeiling(a.point) || known(b.score) - known(a.score) || (known(a.score) ? up * (a.score - b.score) : 0));
    const play = async (point) => {
      const mine = deck;
      if (!mine) return;
      if (!mine.has(point)) await addSound(unit, point);
      await context.resume();
      if (deck !== mine) return;
      switchTo(point);
      if (!deck.playing()) deck.play();
      follow();
    };
    const card = ({ point, drawing, failure, score, texts }) => {
      const slot = [...slots].find(([, each]) => each.point === point)?.[0];
      const canvas = el("canvas", { "aria-hidden": "true" });
      canvas.drawing = drawing;
      return el("li", {}, el("button", { type: "button", class: "card", "data-point": point, "aria-pressed": "false", onclick: () => play(point) },
        el("span", { class: "card-name" }, slot ? el("b", {}, slot) : null, bench.marker(bench.codecOf(point)), el("span", { dir: "auto" }, bench.nameOf(point)), el("span", { class: failure ? "score failed" : "score" }, failure ? "failed" : fixed(score, info.decimals))),
        canvas,
        texts.map((text) => el("span", { class: "heard-text", dir: "auto" }, text))));
    };
    return el("div", {},
      el("ul", { class: "grid-of-systems", "aria-label": `Every system, best ${info.name} first` }, cards.map(card)),
      el("p", { class: "legend" }, `Best ${bench.metricHead(chosen.metric)} first; under each spectrogram, what the recogniser heard. A click plays a system in the place of the one that is heard.`));
  }

  function invitation() {
    const name = (point) => `${bench.codecOf(point).label}@${bench.report.points[point].name}`;
    const names = [chosen.a, chosen.b].filter((point) => point !== null).map(name).join(",");
    return el("p", { class: "legend" }, "A blind test with listeners of these systems, as a page to give away: ",
      el("code", {}, `${bench.report.listen} --test mushra --codecs ${/^[\w@%+=:,./-]*$/.test(names) ? names : `'${names.replaceAll("'", `'"'"'`)}'`} --utterances 8`));
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
      el("span", { class: "checks" },
        el("label", { class: "check" }, el("input", { type: "checkbox", id: "all-systems", checked: chosen.all, onchange: (event) => address({ ...pair(), unit: chosen.unit, all: Number(event.target.checked) }) }), "all systems"),
        el("label", { class: "check" }, el("input", { type: "checkbox", id: "match-levels", checked: matching, onchange: (event) => { matching = event.target.checked; setLevels(); } }), "match levels"),
        el("span", { id: "levels", role: "status" })),
      el("p", { class: "legend" }, "Keys: ", ...["R", "A", "B", "X"].flatMap((key) => [el("kbd", {}, key), " "]), "switch in place, ", el("kbd", {}, "space"), " plays, ", el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " move by half a second."));
  }

  function blindTest() {
    const status = el("span", { id: "blind", role: "status" }, "");
    const guess = (name) => () => {
      if (!hidden) return;
      guesses.all++;
      if (name === hidden) guesses.right++;
      status.textContent = `X was ${hidden}. ${guesses.right} of ${guesses.all} right.`;
      hidden = Math.random() < 0.5 ? "A" : "B";
      switchTo(hearing);
    };
    return el("p", { class: "blind" }, "X is A or B, at random: ", el("button", { type: "button", class: "plain", onclick: guess("A") }, "X is A"), " ", el("button", { type: "button", class: "plain", onclick: guess("B") }, "X is B"), " ", status);
  }

  const pointHeard = () => (typeof hearing === "number" ? hearing : slots.get(hearing === "X" ? hidden : hearing).point);

  // All sounds run together and one is heard, so that a switch falls between two samples and not between two loads.
  function switchTo(name) {
    if (!deck || (!slots.has(name) && !(name === "X" && hidden) && !deck.has(name))) return;
    hearing = name;
    deck.hear(pointHeard());
    for (const button of document.querySelectorAll("#player button[data-slot]")) button.setAttribute("aria-checked", String(button.dataset.slot === name));
    for (const track of document.querySelectorAll("#player .track")) track.classList.toggle("heard", track.dataset.slot === name);
    for (const card of document.querySelectorAll("#player .card")) card.setAttribute("aria-pressed", String(name !== "X" && Number(card.dataset.point) === pointHeard()));
  }

  async function playOrPause() {
    if (!deck) return;
    if (deck.playing()) deck.pause();
    else {
      await context.resume();
      deck?.play();
    }
    follow();
  }

  function seek(seconds) {
    deck?.seek(seconds);
    follow();
  }

  function follow() {
    cancelAnimationFrame(ticking);
    const button = document.getElementById("play");
    if (!deck || !button) return;
    button.textContent = deck.playing() ? "Pause" : "Play";
    document.getElementById("clock").textContent = `${deck.position().toFixed(2)} s`;
    const strip = document.getElementById("tracks");
    const at = deck.duration() ? deck.position() / deck.duration() : 0;
    document.getElementById("player").style.setProperty("--at", String(at));
    if (strip && zoom > 1) strip.parentElement.scrollLeft = at * strip.clientWidth - strip.parentElement.clientWidth / 2;
    if (deck.playing()) ticking = requestAnimationFrame(follow);
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
    for (const canvas of document.querySelectorAll("#player .card canvas")) {
      const image = spectrogram(canvas.drawing, dark);
      Object.assign(canvas, { width: image.width, height: image.height });
      canvas.getContext("2d").drawImage(image, 0, 0);
    }
    for (const slot of slots.values()) {
      if (!slot.canvas?.isConnected) continue;
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
      bench.scroll("Scores of this utterance", el("table", { class: "plain-table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "This utterance"), points.map((point) => el("th", { scope: "col", class: "num", dir: "auto" }, bench.nameOf(point))))),
        el("tbody", {},
          bench.report.metrics.map((_, metric) => el("tr", {}, el("th", { scope: "row" }, bench.breakable(bench.metricHead(metric))), all.map((scores, n) => (rows[n] < 0 ? el("td", { class: "num" }, bench.missing) : value(scores, rows[n], metric))))),
          rate("kbit/s", (scores, row, point) => bench.kbps(scores.rates.bitrate[row] || null) + (scores.rates.bitrate[row] ? bench.stated(point) : "")),
          rate("frames per second (Hz)", (scores, row) => bench.digits(scores.rates.frame_rate[row] || null)),
          rate("bits: tokens + side + header", bits)))),
      heard.length ? el("h3", {}, "What the recogniser heard") : null, ...heard);
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !deck) return;
    if (event.target.closest?.("input, select, textarea, dialog")) return;
    const key = event.key.toUpperCase();
    if (["R", "A", "B", "X"].includes(key)) switchTo(key);
    else if (event.key === " " && !event.target.closest?.("button, a, summary")) playOrPause();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") seek(deck.position() + (event.key === "ArrowLeft" ? -0.5 : 0.5));
    else return;
    event.preventDefault();
  }

  return { title: "Listen", filters: false, draw, leave: () => { version++; stop(); }, onKey, repaint: () => slots.size && paint() };
})();
