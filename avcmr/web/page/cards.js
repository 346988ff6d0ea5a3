// Clips as cards.

import { drawing, el, seconds } from "./dom.js";
import { player } from "./player.js";

const RIGHT = "M3.5 10.5l4.5 4.5 8.5-10";
const WRONG = "M5 5l10 10 M15 5l-10 10";

/** A hit: rank, player, class, score, whether its class is that of the query. */
export function resultCard(hit, own, search) {
  const { item } = hit;
  const face = player(item);
  face.querySelector(".screen").append(el("span", { class: "rank", "aria-hidden": "true", text: String(hit.rank) }));
  const score = hit.score.toFixed(3);
  const meter = el("div", { class: "meter", "aria-hidden": "true" }, el("i"));
  meter.firstChild.style.setProperty("--share", `${100 * Math.min(Math.max(hit.score, 0), 1)}%`);
  return el("li", { class: own ? "card own" : "card", "data-id": item.id,
    "aria-label": `${hit.rank}. ${item.label} ${item.id}, score ${score}` }, face,
    caption(item, [el("span", { class: "score", title: "score", text: score }), meter],
      el("div", { class: "foot" }, verdict(hit.same_class, own), searchButton(item, search))));
}

/** A clip of the collection. */
export function itemCard(item, search) {
  return el("li", { class: "card", "data-id": item.id }, player(item),
    caption(item, [el("span")], el("div", { class: "foot" }, searchButton(item, search))));
}

/** The query clip. */
export function queryCard(item) {
  return el("div", { class: "card" }, player(item), caption(item, [el("span")]));
}

/** A clip's caption: its class, the score, and below these its id, seconds and split. */
function caption(item, score, foot = null) {
  return el("div", { class: "about" },
    el("span", { class: "label", text: item.label || item.id }),
    ...score,
    el("span", { class: "id", text: [item.id, seconds(item), item.split].filter(Boolean).join(" · ") }),
    foot);
}

function verdict(sameClass, own) {
  if (own) return el("span", { class: "mark right" }, drawing("0 0 20 20", RIGHT), "the same clip");
  if (sameClass === null) return el("span");
  return el("span", { class: sameClass ? "mark right" : "mark wrong" },
    drawing("0 0 20 20", sameClass ? RIGHT : WRONG), sameClass ? "same class" : "other class");
}

function searchButton(item, search) {
  return el("button", { type: "button", class: "again", "aria-label": `Search with ${item.id}`,
    text: "Search →", onclick: () => search(item) });
}
