// Queries by file: chosen, dropped or recorded.

import { RequestError, upload } from "./api.js";
import { byId, el, say } from "./dom.js";

const MAX_SECONDS = 15; // of a recording
const PEAKS = 160;

/**
 * Wire the drop zone.
 *
 * `begin(file)` is called at once, `done(file, answer)` when the server has embedded the query, and
 * `failed(message)` when it cannot.
 */
export function wireUploads(about, { begin, done, failed }) {
  if (about.no_uploads) {
    byId("no-uploads").textContent = `Files cannot be searched with here: ${about.no_uploads}`;
    byId("no-uploads").hidden = false;
    byId("file").disabled = true;
    byId("choose").hidden = true;
    return;
  }
  let latest = 0;
  const send = async (file) => {
    const mine = ++latest;
    begin(file);
    try {
      if (file.size > about.max_bytes) {
        throw new RequestError(`${file.name} is larger than ${about.max_bytes / 1e6} MB; cut it, or make it smaller`);
      }
      const answer = await upload(file);
      if (mine === latest) done(file, answer);
    } catch (error) {
      if (mine === latest) failed(`${file.name}: ${error.message}`);
    }
  };
  byId("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = ""; // so that the same file can be chosen again
    if (file) send(file);
  });
  wireDropping(send);
  wireRecording(send, failed);
}

function wireDropping(send) {
  let depth = 0;
  const show = (on) => { byId("dropping").hidden = !on; };
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) { depth += 1; show(true); } });
  addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) { depth = Math.max(0, depth - 1); show(depth > 0); }
  });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    depth = 0;
    show(false);
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) send(file);
  });
}

function wireRecording(send, failed) {
  const button = byId("record");
  // Browsers allow the microphone only on localhost and over HTTPS.
  if (!navigator.mediaDevices?.getUserMedia || typeof MediaRecorder === "undefined") return;
  button.hidden = false;
  let recorder = null;
  button.addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    let stream;
    try {
      // Unprocessed: the filters for speech would remove other sounds.
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch {
      failed("There is no microphone that this page may use; allow it in the browser's settings.");
      return;
    }
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    const stopMeter = meter(stream, button);
    const started = Date.now();
    const text = byId("record-text");
    const tick = () => {
      const passed = Math.floor((Date.now() - started) / 1000);
      text.textContent = `Stop (${passed} s)`;
      if (passed >= MAX_SECONDS) recorder?.stop();
    };
    const timer = setInterval(tick, 250);
    recorder.addEventListener("stop", () => {
      clearInterval(timer);
      stopMeter();
      stream.getTracks().forEach((track) => track.stop());
      const type = recorder.mimeType;
      recorder = null;
      button.classList.remove("recording");
      text.textContent = "Record";
      send(new File(parts, "recording", { type }));
    });
    recorder.start();
    button.classList.add("recording");
    tick();
    say("Recording; press again to stop.");
  });
}

/** Scale the button's dot with the loudness. */
function meter(stream, button) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let frame = 0;
  const draw = () => {
    analyser.getFloatTimeDomainData(samples);
    const loudest = samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
    button.style.setProperty("--level", Math.min(loudest, 0.8).toFixed(2));
    frame = requestAnimationFrame(draw);
  };
  draw();
  return () => {
    cancelAnimationFrame(frame);
    button.style.removeProperty("--level");
    context.close();
  };
}

/** The waveform peaks of a file, decoded by the browser; null where it cannot. */
export async function peaksOf(file) {
  try {
    const context = new OfflineAudioContext(1, 1, 16000);
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    const samples = buffer.getChannelData(0);
    const size = Math.max(1, Math.floor(samples.length / PEAKS));
    const peaks = Array.from({ length: PEAKS }, (_, part) => {
      let most = 0;
      for (let at = part * size; at < Math.min((part + 1) * size, samples.length); at += 1) {
        most = Math.max(most, Math.abs(samples[at]));
      }
      return most;
    });
    const loudest = Math.max(...peaks, 1e-6);
    return peaks.map((peak) => peak / loudest);
  } catch {
    return null;
  }
}

/** A placeholder while the server embeds the query. */
export function busyCard(file) {
  const bars = el("div", { class: "bars", "aria-hidden": "true" }, ...Array.from({ length: 5 }, () => el("i")));
  return el("div", { class: "card busy" }, bars, el("p", { text: `Listening and looking: ${file.name}` }));
}
