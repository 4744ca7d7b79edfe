"use strict";
// A listening test: training, trials in an order of the listener's own, a log that outlives a reload, and files of the result.
(async () => {
  const { el } = bench;
  const test = await bench.load("test", "data/test.js");
  const place = `listening test ${test.id}`;
  const LETTERS = "ABCDEFGHIJKL";
  const LABELS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
  const at = (id) => document.getElementById(id);
  let kept = true; // by the browser, when the page is loaded again
  let log = restored();
  let now = null; // the trial on the screen
  let context = null;
  let deck = null;

  function restored() {
    try {
      return JSON.parse(localStorage.getItem(place));
    } catch {
      kept = false;
      return null;
    }
  }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify(log));
    } catch {
      kept = false;
    }
    at("not-kept").hidden = kept;
  }

  // Numbers in [0, 1) that a text decides: FNV-1a into mulberry32.
  function random(text) {
    let state = 2166136261;
    for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 16777619);
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(items, draw) {
    const mixed = [...items];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
    }
    return mixed;
  }

  const drawOf = (what) => random(`${test.seed} ${log.listener} ${what}`);
  const token = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const show = (name) => { for (const id of ["start", "trial", "end"]) at(id).hidden = id !== name; window.scrollTo(0, 0); };

  function begin(listener) {
    log = { format: "listening result 1", test: test.id, kind: test.kind, listener, session: token(), started: new Date().toISOString(), finished: "", trained: false, order: [], trials: [], open: null };
    log.order = shuffled(test.trials.map((trial) => trial.id), drawOf("trials"));
    keep();
    proceed();
  }

  function proceed() {
    deck?.close();
    deck = null;
    if (!log) { show("start"); at("listener").focus(); return; }
    if (log.finished) { end(); return; }
    if (!log.trained) { open(test.training); return; }
    const next = log.order[log.trials.length];
    open(test.trials.find((trial) => trial.id === next));
  }

  // What is heard in a trial: [name on the button, stimulus], in the order shown.
  function sounds(trial, order, x) {
    const lettered = order.map((stimulus, n) => [LETTERS[n], stimulus]);
    return [...(trial.reference ? [["Reference", trial.reference]] : []), ...lettered, ...(x ? [["X", x]] : [])];
  }

  async function open(trial) {
    const draw = drawOf(trial.id);
    const order = shuffled(trial.stimuli, draw);
    const x = test.kind === "abx" ? order[draw() < 0.5 ? 0 : 1] : null;
    const before = log.open?.trial === trial.id ? log.open : null;
    log.open = before ?? { trial: trial.id, stimuli: order, x, scores: {}, answer: undefined, plays: {}, seconds: 0 };
    now = { trial, heard: sounds(trial, order, x), since: performance.now() };
    show("trial");
    const training = trial === test.training;
    at("trial-title").textContent = training ? "Training" : `Trial ${log.trials.length + 1} of ${test.trials.length}`;
    at("training-note").hidden = !training;
    at("progress").value = training ? 0 : log.trials.length / test.trials.length;
    at("missing").textContent = "";
    at("next").textContent = training ? "Begin the test" : "Next";
    at("buttons").replaceChildren();
    at("answers").replaceChildren(el("p", { class: "empty" }, "Loading …"));
    // Without a device's rate in between, all stimuli go to the output as they were written.
    context ??= new AudioContext({ sampleRate: test.sample_rate });
    const mine = bench.deck.create(context, () => { if (at("repeat").checked) mine.play(0); follow(); });
    deck = mine;
    const files = [...new Set(now.heard.map(([, stimulus]) => stimulus))];
    const buffers = new Map(await Promise.all(files.map(async (file) => [file, await context.decodeAudioData(bench.deck.bytes(await bench.load(file, `audio/${file}.js`)))])));
    if (deck !== mine) return;
    for (const [name, stimulus] of now.heard) mine.add(name, buffers.get(stimulus));
    at("buttons").replaceChildren(...now.heard.map(([name]) => soundButton(name)).filter((_, n) => test.kind !== "mushra" || n === 0));
    at("answers").replaceChildren(...answers());
    at("trial-title").focus();
    keep();
    follow();
  }

  const soundButton = (name) => el("button", { type: "button", class: "sound", "data-sound": name, "aria-pressed": "false", onclick: () => hear(name) }, name);

  function answers() {
    if (test.kind === "mushra") return [scale(), ...now.heard.slice(1).map(([name, stimulus]) => slider(name, stimulus))];
    const choices = test.kind === "abx" ? [["X is A", 0], ["X is B", 1]] : [["A", 0], ["No preference", null], ["B", 1]];
    const stimulus = (number) => (number === null ? null : log.open.stimuli[number]);
    return [el("fieldset", { class: "choices" }, el("legend", {}, test.kind === "abx" ? "Which is X?" : "Which do you prefer?"), choices.map(([text, number]) =>
      el("label", { class: "check" }, el("input", { type: "radio", name: "answer", checked: log.open.answer === stimulus(number), onchange: () => { log.open.answer = stimulus(number); keep(); } }), text)))];
  }

  const scale = () => el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, LABELS.map((label) => el("span", {}, label))));

  function slider(name, stimulus) {
    const given = log.open.scores[stimulus];
    const shown = el("output", {}, given ?? "–");
    const told = (value) => `${value}, ${LABELS[Math.min(4, Math.floor(value / 20))]}`;
    const input = el("input", { type: "range", min: 0, max: 100, step: 1, value: given ?? 50, class: given === undefined ? "unrated" : null, "aria-label": `Quality of ${name}`, "aria-valuetext": given === undefined ? "not rated" : told(given) });
    const rate = () => {
      log.open.scores[stimulus] = Number(input.value);
      input.classList.remove("unrated");
      input.setAttribute("aria-valuetext", told(Number(input.value)));
      shown.textContent = input.value;
      keep();
    };
    input.addEventListener("input", rate);
    input.addEventListener("pointerup", rate); // a click that leaves it in the middle is a rating too
    return el("div", { class: "rating", "data-stimulus": stimulus }, soundButton(name), el("span", { class: "track-of-scale" }, input), shown);
  }

  async function hear(name) {
    await context.resume();
    log.open.plays[name] = (log.open.plays[name] ?? 0) + 1;
    deck.hear(name);
    if (!deck.playing()) deck.play();
    keep();
    follow();
  }

  async function playOrPause() {
    if (deck.playing()) { deck.pause(); follow(); return; }
    if (deck.heard === null) { hear(now.heard[0][0]); return; }
    await context.resume();
    deck.play();
    follow();
  }

  function follow() {
    if (!deck || at("trial").hidden) return;
    at("play").textContent = deck.playing() ? "Pause" : "Play";
    for (const button of document.querySelectorAll("[data-sound]")) {
      button.setAttribute("aria-pressed", String(button.dataset.sound === deck.heard));
      button.classList.toggle("heard-once", button.dataset.sound in log.open.plays);
    }
    at("place").value = deck.duration() ? deck.position() / deck.duration() : 0;
    at("clock").textContent = `${deck.position().toFixed(1)} of ${deck.duration().toFixed(1)} s`;
    if (deck.playing()) requestAnimationFrame(follow);
  }

  // What has to be done before the trial counts.
  function missing() {
    const unheard = now.heard.map(([name]) => name).filter((name) => !(name in log.open.plays));
    const unrated = test.kind === "mushra" ? now.heard.slice(1).filter(([, stimulus]) => !(stimulus in log.open.scores)).map(([name]) => name) : [];
    const unanswered = test.kind !== "mushra" && log.open.answer === undefined;
    return [unheard.length ? `Listen to ${unheard.join(", ")}.` : "", unrated.length ? `Rate ${unrated.join(", ")}.` : "", unanswered ? "Choose an answer." : ""].filter(Boolean).join(" ");
  }

  function next() {
    if (!deck?.duration()) return;
    at("missing").textContent = missing();
    if (missing()) return;
    const { trial, stimuli, x, scores, answer, plays } = log.open;
    const seconds = Math.round((performance.now() - now.since) / 100) / 10;
    const given = { mushra: { scores }, abx: { x, answer }, preference: { answer } }[test.kind];
    if (log.trained) log.trials.push({ trial, stimuli, ...given, plays, seconds });
    log.trained = true;
    log.open = null;
    if (log.trials.length === test.trials.length) log.finished = new Date().toISOString();
    keep();
    proceed();
  }

  function end() {
    show("end");
    at("end-title").focus();
  }

  function result() {
    const { open, trained, order, ...told } = log;
    return told;
  }

  const cell = (value) => (/^[=+\-@\t]|[",\n]/.test(String(value)) ? `"${String(value).replace(/^(?=[=+\-@\t])/, "'").replaceAll('"', '""')}"` : String(value));

  function table() {
    const common = (trial, n) => [log.test, log.listener, log.session, n + 1, trial.trial];
    const rows = { mushra: (trial, n) => trial.stimuli.map((stimulus) => [...common(trial, n), stimulus, trial.scores[stimulus]]), abx: (trial, n) => [[...common(trial, n), ...trial.stimuli, trial.x, trial.answer]], preference: (trial, n) => [[...common(trial, n), ...trial.stimuli, trial.answer ?? "none"]] };
    const heads = { mushra: ["stimulus", "score"], abx: ["a", "b", "x", "answer"], preference: ["a", "b", "preferred"] };
    const lines = [["test", "listener", "session", "position", "trial", ...heads[test.kind]], ...log.trials.flatMap(rows[test.kind])];
    return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }

  function save(text, type, suffix) {
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: `${test.id}_${log.listener.replace(/[^\p{L}\p{N}-]+/gu, "_")}_${log.session.slice(0, 4)}.${suffix}` });
    link.click();
    URL.revokeObjectURL(link.href);
    at("saved").textContent = `Saved as ${link.download} in your downloads.`;
  }

  at("start-form").addEventListener("submit", (event) => { event.preventDefault(); begin(at("listener").value.trim()); });
  at("play").addEventListener("click", playOrPause);
  at("place").addEventListener("input", () => { deck.seek(Number(at("place").value) * deck.duration()); follow(); });
  at("next").addEventListener("click", next);
  at("save-json").addEventListener("click", () => { save(JSON.stringify(result(), null, 1) + "\n", "application/json", "json"); at("anew").disabled = false; });
  at("save-csv").addEventListener("click", () => save(table(), "text/csv", "csv"));
  at("anew").addEventListener("click", () => { log = null; localStorage.removeItem(place); at("listener").value = ""; at("anew").disabled = true; at("saved").textContent = ""; proceed(); });
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("trial").hidden || !deck) return;
    if (event.target.closest?.("input:not([type=range]):not([type=radio])")) return;
    const key = event.key.toUpperCase();
    const name = now.heard.map(([each]) => each).find((each) => each === key || (key === "R" && each === "Reference"));
    if (name && deck.has(name)) hear(name);
    else if (event.key === " " && !event.target.closest?.("button, input")) playOrPause();
    else return;
    event.preventDefault();
  });
  at("not-kept").hidden = kept;
  proceed();
})();
