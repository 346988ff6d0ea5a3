// The map: every clip by its audio embedding (a circle) and its visual one (a square).

import { get } from "./api.js";
import { byId, el, say, seconds } from "./dom.js";
import { waveform } from "./player.js";

const MARGIN = 28; // pixels
const NEAR = 18; // pixels within which the pointer hits a point

/** A class's colour: evenly spaced hues, every other one darker where there are many. */
function colour(number, count, dark) {
  const light = (dark ? 74 : 58) + (count > 12 && number % 2 ? -14 : 0);
  return `oklch(${light}% 0.135 ${(25 + (360 * number) / Math.max(count, 1)) % 360})`;
}

export class CollectionMap {
  /** `search(item, find)` is called when a point is chosen. */
  constructor(about, search) {
    this.classes = about.classes.map((one) => one.name);
    this.search = search;
    this.canvas = byId("canvas");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.points = [];
    this.shown = null; // the only class shown
    this.at = null; // the point under the pointer or the keys
    this.loaded = false;
    this.dark.addEventListener("change", () => { this.legend(); this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.wire();
  }

  /** Fetch the points as soon as the server has computed them. */
  async load() {
    if (this.loaded) { this.draw(); return; }
    this.loaded = true;
    let map;
    try {
      map = await get("/api/map");
      while (!map.ready) {
        await new Promise((resolve) => setTimeout(resolve, 800));
        map = await get("/api/map");
      }
    } catch (error) {
      this.loaded = false;
      byId("map-wait").textContent = error.message;
      return;
    }
    map.items.forEach((item, index) => {
      this.points.push({ item, kind: "sound", place: map.audio[index] });
      this.points.push({ item, kind: "picture", place: map.visual[index] });
    });
    byId("map-wait").hidden = true;
    this.canvas.dataset.points = this.points.length;
    this.canvas.setAttribute("aria-label", `Map of ${this.points.length} points, two for each clip`);
    this.legend();
    this.draw();
  }

  legend() {
    const buttons = this.classes.map((name, number) => {
      const swatch = el("i", { "aria-hidden": "true" });
      swatch.style.setProperty("--colour", colour(number, this.classes.length, this.dark.matches));
      return el("button", { type: "button", "aria-pressed": String(this.shown === name), onclick: () => {
        this.shown = this.shown === name ? null : name;
        this.legend();
        this.draw();
        [...byId("legend").children][number].focus();
      } }, swatch, name || "no class");
    });
    byId("legend").replaceChildren(...buttons);
  }

  pixel(point) {
    const { width, height } = this.size;
    return [MARGIN + point.place[0] * (width - 2 * MARGIN), MARGIN + point.place[1] * (height - 2 * MARGIN)];
  }

  visible(point) {
    return this.shown === null || point.item.label === this.shown;
  }

  draw() {
    const { canvas } = this;
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    this.size = box;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(box.width * scale);
    canvas.height = Math.round(box.height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const ink = getComputedStyle(document.body).color;
    const size = Math.max(2.2, Math.min(6.5, 110 / Math.sqrt(this.points.length || 1)));
    const colours = new Map(this.classes.map((name, number) =>
      [name, colour(number, this.classes.length, this.dark.matches)]));
    for (const point of this.points) {
      pen.globalAlpha = this.visible(point) ? 0.82 : 0.07;
      pen.fillStyle = colours.get(point.item.label) ?? ink;
      this.shape(pen, point, size);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (this.at) {
      const other = this.points.find((one) => one.item === this.at.item && one.kind !== this.at.kind);
      const [from, to] = [this.pixel(this.at), this.pixel(other)];
      pen.strokeStyle = ink;
      pen.lineWidth = 1.25;
      pen.setLineDash([4, 3]);
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(...to);
      pen.stroke();
      pen.setLineDash([]);
      for (const point of [this.at, other]) {
        pen.fillStyle = colours.get(point.item.label) ?? ink;
        this.shape(pen, point, size + 3);
        pen.fill();
        pen.lineWidth = 2;
        pen.stroke();
      }
    }
  }

  shape(pen, point, size) {
    const [x, y] = this.pixel(point);
    pen.beginPath();
    if (point.kind === "sound") pen.arc(x, y, size, 0, 2 * Math.PI);
    else pen.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  }

  nearest(x, y) {
    let best = null;
    let least = NEAR ** 2;
    for (const point of this.points) {
      if (!this.visible(point)) continue;
      const [px, py] = this.pixel(point);
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) { least = far; best = point; }
    }
    return best;
  }

  /** The next point in a direction: close by, and not far to the side. */
  next(dx, dy) {
    if (!this.at) return this.points.find((point) => this.visible(point)) ?? null;
    const [x, y] = this.pixel(this.at);
    let best = this.at;
    let least = Infinity;
    for (const point of this.points) {
      if (point === this.at || !this.visible(point)) continue;
      const [px, py] = this.pixel(point);
      const along = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy + (py - y) * dx);
      if (along > 0.5 && along + 2.5 * aside < least) { least = along + 2.5 * aside; best = point; }
    }
    return best;
  }

  point(to) {
    if (to === this.at) return;
    this.at = to;
    this.draw();
    this.tip();
  }

  tip() {
    const tip = byId("tip");
    tip.hidden = !this.at;
    if (!this.at) return;
    const { item, kind } = this.at;
    const wave = el("div", { class: "wave untouched" });
    const image = el("img", { src: `/thumbnails/${item.at}`, alt: "", onerror: () => image.remove() });
    get(`/peaks/${item.at}`).then((peaks) => wave.replaceChildren(waveform(peaks)), () => wave.remove());
    const wanted = kind === "sound" ? "find pictures" : "find sounds";
    tip.replaceChildren(item.media ? image : "", item.media ? wave : "",
      el("p", {}, el("b", { text: item.label })),
      el("p", { class: "soft", text: [item.id, seconds(item)].filter(Boolean).join(" · ") }),
      el("p", { class: kind === "sound" ? "of-sound" : "of-picture", text: `Its ${kind}: ${wanted}` }));
    const [x, y] = this.pixel(this.at);
    const { width, height } = this.size;
    const left = x + 16 + tip.offsetWidth < width ? x + 16 : Math.max(0, x - 16 - tip.offsetWidth);
    tip.style.transform = `translate(${left}px, ${Math.max(0, Math.min(y - 40, height - 250))}px)`;
  }

  wire() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch" || !this.size) return;
      this.point(this.nearest(...place(event)));
    });
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") this.point(null);
    });
    canvas.addEventListener("click", (event) => {
      if (!this.size) return;
      const chosen = this.nearest(...place(event));
      // Touch has no hover: the first tap shows the clip, the second one searches.
      if (event.pointerType === "touch" && chosen !== this.at) this.point(chosen);
      else if (chosen) this.choose(chosen);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!this.points.length || !this.size) return;
      if (step) {
        this.point(this.next(...step));
        if (this.at) say(`${this.at.item.label}, ${this.at.item.id}, its ${this.at.kind}`);
      } else if (event.key === "Enter" && this.at) this.choose(this.at);
      else if (event.key === "Escape") this.point(null);
      else return;
      event.preventDefault();
    });
    canvas.addEventListener("blur", () => this.point(null));
  }

  choose(point) {
    this.point(null);
    this.search(point.item, point.kind === "sound" ? "picture" : "sound");
  }
}
