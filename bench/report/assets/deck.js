"use strict";
// Sounds that play together on the clock of one AudioContext, one of them heard: a switch keeps the place to the sample.
bench.deck = (() => {
  const FADE_S = 0.005; // of a switch; the two gains sum to one throughout
  const AHEAD_S = 0.02; // between the order to play and the first sample

  function bytes(base64) {
    const raw = atob(base64);
    const values = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) values[i] = raw.charCodeAt(i);
    return values.buffer;
  }

  function rms(buffer) {
    let sum = 0;
    const samples = buffer.getChannelData(0);
    for (const sample of samples) sum += sample * sample;
    return Math.sqrt(sum / Math.max(1, samples.length));
  }

  function peak(buffer) {
    let most = 0;
    for (const sample of buffer.getChannelData(0)) most = Math.max(most, Math.abs(sample));
    return most;
  }

  // Gains that bring all sounds to the level of `target` (RMS over the whole file), all lowered alike where one would clip.
  function matched(buffers, target) {
    const wanted = rms(target);
    const gains = buffers.map((buffer) => (rms(buffer) ? wanted / rms(buffer) : 1));
    const highest = Math.max(1, ...gains.map((gain, n) => gain * peak(buffers[n])));
    return gains.map((gain) => gain / highest);
  }

  // context: an AudioContext, or an OfflineAudioContext in tests; onEnd: called when the longest sound has come to its end
  function create(context, onEnd = () => {}) {
    const sounds = new Map(); // name -> {buffer, level, gain, source}
    let heard = null;
    let offset = 0; // s, where playing began
    let startedAt = null; // s on the context's clock; null while silent
    const whole = (seconds) => Math.round(seconds * context.sampleRate) / context.sampleRate;
    const duration = () => Math.max(0, ...[...sounds.values()].map(({ buffer }) => buffer.duration));
    const playing = () => startedAt !== null;
    const position = () => (playing() ? Math.min(duration(), offset + Math.max(0, context.currentTime - startedAt)) : offset);

    function begin(sound, when, from) {
      sound.source = new AudioBufferSourceNode(context, { buffer: sound.buffer });
      sound.source.connect(sound.gain);
      if (from < sound.buffer.duration) sound.source.start(when, from);
    }

    function halt() {
      for (const sound of sounds.values()) {
        sound.source?.disconnect();
        sound.source = null;
      }
    }

    function watchEnd() {
      const longest = [...sounds.values()].find(({ buffer }) => buffer.duration === duration());
      for (const sound of sounds.values()) if (sound.source) sound.source.onended = null;
      longest.source.onended = () => {
        if (longest.source === null || !playing()) return;
        pause();
        offset = 0;
        onEnd();
      };
    }

    function add(name, buffer, level = 1) {
      const gain = new GainNode(context, { gain: name === heard ? level : 0 });
      gain.connect(context.destination);
      const sound = { buffer, level, gain, source: null };
      sounds.set(name, sound);
      if (!playing()) return;
      const when = whole(Math.max(startedAt, context.currentTime + AHEAD_S));
      begin(sound, when, whole(offset + (when - startedAt)));
      watchEnd();
    }

    function play(from = offset) {
      if (!sounds.size) return;
      halt();
      offset = whole(from >= duration() ? 0 : Math.max(0, from));
      startedAt = whole(context.currentTime + AHEAD_S);
      for (const sound of sounds.values()) begin(sound, startedAt, offset);
      watchEnd();
    }

    function pause() {
      offset = position();
      startedAt = null;
      halt();
    }

    function seek(seconds) {
      const at = Math.max(0, Math.min(seconds, duration()));
      if (playing()) play(at);
      else offset = at;
    }

    function fade() {
      const now = context.currentTime;
      for (const [name, { gain, level }] of sounds) {
        const to = name === heard ? level : 0;
        gain.gain.cancelScheduledValues(now);
        gain.gain.setValueAtTime(gain.gain.value, now);
        gain.gain.linearRampToValueAtTime(to, now + FADE_S);
      }
    }

    function hear(name) {
      heard = name;
      fade();
    }

    // levels: a Map of names to gains
    function setLevels(levels) {
      for (const [name, level] of levels) sounds.get(name).level = level;
      fade();
    }

    function close() {
      if (playing()) pause();
      for (const { gain } of sounds.values()) gain.disconnect();
      sounds.clear();
      offset = 0;
    }

    return { add, play, pause, seek, hear, setLevels, close, position, duration, playing, has: (name) => sounds.has(name), get heard() { return heard; } };
  }

  return { create, bytes, rms, matched };
})();
