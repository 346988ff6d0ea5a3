// A player: a picture, a button, and the waveform, which is the slider.

import { get } from "./api.js";
import { drawing, el } from "./dom.js";

const PLAY = "M5 3.5v13l11-6.5z";
const PAUSE = "M4.5 3.5h4v13h-4z M11.5 3.5h4v13h-4z";
let playing = null;

/** A waveform, drawn from its peaks in [0, 1]. */
export function waveform(peaks) {
  const height = (peak) => Math.max(peak * 0.94, 0.03);
  const bars = [];
  const step = 2; // every second peak, so that bars stay apart
  for (let at = 0; at < peaks.length; at += step) {
    const size = height(Math.max(...peaks.slice(at, at + step)));
    bars.push(`M${at + 0.5} ${1 - size}V${1 + size}`);
  }
  const svg = drawing(`0 0 ${peaks.length} 2`, bars.join(""), bars.join(""));
  svg.setAttribute("preserveAspectRatio", "none");
  svg.children[0].classList.add("rest");
  svg.children[1].classList.add("done");
  return svg;
}

/** A player of a clip; it loads the file on play, and stays within the clip's seconds of it. */
export function player(item) {
  const first = item.start ?? 0;
  const source = `/media/${item.at}`;
  const sound = get(`/peaks/${item.at}`);
  return build({ name: item.id, source, first, last: item.end, sound, media: item.media,
    poster: `/thumbnails/${item.at}` });
}

/** A player of an uploaded file; `peaks` is a promise. */
export function filePlayer(file, url, kind, peaks) {
  if (kind === "image") {
    return el("div", { class: "player" }, el("div", { class: "screen" }, el("img", { src: url, alt: file.name })));
  }
  return build({ name: file.name, source: url, first: 0, last: null, sound: peaks, media: true, poster: null,
    bare: kind === "audio" });
}

function build({ name, source, first, last, sound, media, poster, bare = false }) {
  const screen = el("div", { class: "screen" });
  const video = el("video", { playsinline: true, preload: bare || !poster ? "metadata" : "none", tabindex: "-1" });
  video.setAttribute("aria-label", name);
  const unavailable = (text) => screen.append(el("p", { class: "gone", text }));
  if (poster && media) {
    const image = el("img", { src: poster, alt: "", loading: "lazy", decoding: "async",
      onerror: () => { image.remove(); unavailable("no picture"); } });
    screen.append(image);
  } else if (!poster && !bare) {
    video.src = source;
    screen.append(video);
  } else if (!media) unavailable("no media file");

  const button = el("button", { type: "button", class: "play", "aria-label": `Play ${name}` });
  const show = (path) => button.replaceChildren(drawing("0 0 20 20", path));
  show(PLAY);

  const wave = el("div", { class: "wave untouched", role: "slider", tabindex: "0", "aria-label": `Position in ${name}`,
    "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0", "aria-valuetext": "at the start" });
  Promise.resolve(sound).then((peaks) => peaks && wave.replaceChildren(waveform(peaks)), () => {});

  const end = () => Math.min(last ?? Infinity, Number.isFinite(video.duration) ? video.duration : Infinity);
  const length = () => (Number.isFinite(end()) ? Math.max(end() - first, 0.01) : 0);
  const load = () => {
    if (video.isConnected && video.src) return;
    video.src = source;
    screen.prepend(video);
  };
  const mark = () => {
    const share = length() ? Math.min(Math.max((video.currentTime - first) / length(), 0), 1) : 0;
    wave.style.setProperty("--at", `${100 * share}%`);
    wave.classList.toggle("untouched", share === 0);
    wave.setAttribute("aria-valuenow", Math.round(100 * share));
    wave.setAttribute("aria-valuetext", `${(share * length()).toFixed(1)} of ${length().toFixed(1)} seconds`);
  };
  const seek = (share) => {
    load();
    const go = () => { video.currentTime = first + Math.min(Math.max(share, 0), 0.999) * length(); mark(); };
    if (video.readyState >= 1) go();
    else { video.addEventListener("loadedmetadata", go, { once: true }); video.load(); }
  };
  const play = async () => {
    load();
    screen.querySelector("img")?.setAttribute("hidden", "");
    if (video.readyState === 0 && first) video.currentTime = first;
    if (video.currentTime >= end() - 0.05 || video.currentTime < first) video.currentTime = first;
    if (playing && playing !== video) playing.pause();
    playing = video;
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "AbortError" && !screen.querySelector(".gone")) unavailable("this browser cannot play it");
    }
  };
  button.addEventListener("click", () => (video.paused ? play() : video.pause()));
  video.addEventListener("play", () => { show(PAUSE); button.setAttribute("aria-label", `Pause ${name}`); follow(); });
  video.addEventListener("pause", () => { show(PLAY); button.setAttribute("aria-label", `Play ${name}`); });
  video.addEventListener("ended", () => { video.currentTime = first; mark(); });
  video.addEventListener("loadedmetadata", mark);
  const follow = () => {
    if (last !== null && video.currentTime >= last) { video.pause(); video.currentTime = first; }
    mark();
    if (!video.paused && video.isConnected) requestAnimationFrame(follow);
  };
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width);
  });
  wave.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 0.05, ArrowUp: 0.05, ArrowLeft: -0.05, ArrowDown: -0.05 }[event.key];
    const now = Number(wave.getAttribute("aria-valuenow")) / 100;
    if (step) seek(now + step);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(0.999);
    else if (event.key === " " || event.key === "Enter") button.click();
    else return;
    event.preventDefault();
  });
  if (media || bare) screen.append(button);
  return el("div", { class: bare ? "player bare" : "player" }, screen, media ? wave : null);
}

/** Stop what is playing, before its card is removed. */
export function silence() {
  playing?.pause();
  playing = null;
}
