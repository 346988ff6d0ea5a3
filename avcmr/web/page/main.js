// The page. Its state is in the address, so that "back" and links work.

import { get } from "./api.js";
import { itemCard, queryCard, resultCard } from "./cards.js";
import { byId, el, say } from "./dom.js";
import { CollectionMap } from "./map.js";
import { filePlayer, silence } from "./player.js";
import { busyCard, peaksOf, wireUploads } from "./query.js";

const PAGE = 48;
const FILTERS = ["label", "split", "top"];
const uploads = new Map(); // token → { file, url, kind, finds, peaks }
let about = null;
let map = null;
let pending = null; // aborts a search that a newer one has replaced
let listed = 0;

/** The view and the parameters in the address. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: ["map", "report"].includes(path) ? path : "search", given: new URLSearchParams(query) };
}

/** Change the address; `replace` adds no entry to the history. */
function go(changes, { replace = false, view = "" } = {}) {
  const { given } = address();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") given.delete(name);
    else given.set(name, value);
  }
  const query = given.toString();
  const hash = `#/${view}${query ? `?${query}` : ""}`;
  if (hash === location.hash) show();
  else if (replace) { history.replaceState(null, "", hash); show(); }
  else location.hash = hash;
}

const searchWith = (item, find) => {
  const changes = { id: item.id, query: null, text: null };
  if (find) changes.find = find;
  go(changes);
  byId("main").focus({ preventScroll: true });
  scrollTo({ top: 0 });
};

function show() {
  const { view, given } = address();
  silence();
  for (const name of ["search", "map", "report"]) {
    byId(`${name}-view`).hidden = name !== view;
    const link = document.querySelector(`nav [data-view=${name}]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("nav [data-view=search]").href = view === "search" ? "#/" : `#/?${given}`;
  document.querySelector("nav [data-view=map]").href = `#/map${given.size ? `?${given}` : ""}`;
  document.querySelector("nav [data-view=report]").href = `#/report${given.size ? `?${given}` : ""}`;
  if (view === "map") map.load();
  else if (view === "report") showReport();
  else showSearch(given);
}

function showReport() {
  const frame = byId("report");
  if (frame.src) return;
  frame.addEventListener("load", () => {
    const fit = () => { frame.style.height = `${frame.contentDocument.documentElement.scrollHeight + 8}px`; };
    fit();
    new ResizeObserver(fit).observe(frame.contentDocument.body);
  });
  frame.src = "/report";
}

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

async function showSearch(given) {
  const [id, token] = [given.get("id"), given.get("query")];
  for (const name of FILTERS) byId(name).value = given.get(name) ?? (name === "top" ? "12" : "");
  const uploaded = uploads.get(token);
  const finds = token ? uploaded?.finds ?? ["picture", "sound"] : ["picture", "sound"];
  const find = finds.includes(given.get("find")) ? given.get("find") : finds[0];
  for (const radio of document.getElementsByName("find")) {
    radio.disabled = !finds.includes(radio.value);
    radio.checked = radio.value === find;
  }
  byId("direction").hidden = !id && !token;
  byId("top").parentElement.hidden = !id && !token;
  byId("finder").hidden = Boolean(id || token);
  byId("text").value = given.get("text") ?? "";
  problem("");
  pending?.abort();
  pending = new AbortController();
  byId("cards").classList.add("loading");
  try {
    const filters = { label: given.get("label"), split: given.get("split") };
    if (id || token) {
      const top = given.get("top") ?? 12;
      const results = await get("/api/search", { id, query: token, find, top, ...filters }, pending.signal);
      showQuery(results.query, token, find);
      showResults(results, token);
    } else {
      showQuery(null, null, find);
      listed = 0;
      const page = await get("/api/clips", { text: given.get("text"), ...filters, limit: PAGE }, pending.signal);
      showClips(page, true);
    }
    byId("cards").classList.remove("loading");
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("cards").replaceChildren();
    byId("cards").classList.remove("loading");
    byId("more").hidden = true;
    byId("summary").textContent = "";
    byId("title").textContent = "Nothing to show";
    problem(error.message);
  }
}

let shownQuery = "";

function showQuery(item, token, find) {
  const place = byId("query");
  place.classList.toggle("by-picture", find === "sound");
  const key = item ? `id ${item.id}` : token ? `query ${token}` : "";
  if (key === shownQuery) return;
  shownQuery = key;
  place.replaceChildren();
  if (!key) return;
  const back = el("a", { href: "#/", class: "soft", text: "Back to all clips" });
  const uploaded = uploads.get(token);
  let card = el("div", { class: "card" }, el("div", { class: "about" }, el("span", { class: "label", text: "An uploaded file" })));
  if (item) card = queryCard(item);
  else if (uploaded) {
    uploaded.peaks ??= uploaded.kind === "image" ? null : peaksOf(uploaded.file);
    const face = filePlayer(uploaded.file, uploaded.url, uploaded.kind, uploaded.peaks);
    const kind = { image: "your picture", video: "your clip", audio: "your sound" }[uploaded.kind];
    card = el("div", { class: "card" }, face, el("div", { class: "about" },
      el("span", { class: "label", text: kind }), el("span"), el("span", { class: "id", text: uploaded.file.name })));
  }
  place.append(el("h2", {}, "Searching with · ", back), card);
}

function showResults({ find, query, hits }, token) {
  const uploaded = uploads.get(token);
  const name = query?.id ?? uploaded?.file.name ?? "your file";
  byId("title").replaceChildren(
    el("span", { class: `of-${find}`, text: find === "picture" ? "Pictures" : "Sounds" }),
    find === "picture" ? " that fit the sound of " : " that fit the picture of ", name);
  const rated = hits.filter((hit) => hit.same_class !== null);
  const correct = rated.filter((hit) => hit.same_class).length;
  const summary = byId("summary");
  summary.replaceChildren();
  if (rated.length) {
    const strip = el("span", { class: "strip", "aria-hidden": "true" },
      ...rated.map((hit) => el("i", { class: hit.same_class ? "right" : "" })));
    summary.append(`${correct} of ${rated.length} of the class ${query.label}`, strip);
  } else summary.append(`the ${hits.length} best, best first`);
  const cards = byId("cards");
  cards.className = `cards finds-${find}`;
  cards.replaceChildren(...hits.map((hit) => resultCard(hit, query?.id === hit.item.id, searchWith)));
  byId("more").hidden = true;
  say(`${hits.length} ${find}s found. ${summary.textContent}`);
  document.title = `${name} · avcmr`;
}

function showClips(page, first) {
  byId("title").textContent = "Begin with a clip, or with a file of your own";
  byId("summary").textContent = `${page.total.toLocaleString("en")} clips`;
  const cards = byId("cards");
  cards.className = "cards collection";
  const fresh = page.items.map((item) => itemCard(item, searchWith));
  if (first) cards.replaceChildren(...fresh);
  else cards.append(...fresh);
  listed += fresh.length;
  byId("more").hidden = listed >= page.total;
  document.title = `${about.name} · avcmr`;
  if (first) say(byId("summary").textContent);
}

async function showMore() {
  const { given } = address();
  const filters = { text: given.get("text"), label: given.get("label"), split: given.get("split") };
  byId("more").disabled = true;
  try {
    showClips(await get("/api/clips", { ...filters, offset: listed, limit: PAGE }), false);
  } catch (error) {
    problem(error.message);
  }
  byId("more").disabled = false;
}

function wire() {
  for (const name of FILTERS) byId(name).addEventListener("change", (event) => go({ [name]: event.target.value }));
  for (const radio of document.getElementsByName("find")) {
    radio.addEventListener("change", () => go({ find: radio.value }));
  }
  let waiting = 0;
  byId("text").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => go({ text: event.target.value }, { replace: true }), 200);
  });
  byId("more").addEventListener("click", showMore);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  addEventListener("hashchange", show);
  wireUploads(about, {
    begin: (file) => {
      problem("");
      shownQuery = "";
      byId("query").replaceChildren(busyCard(file));
      say(`Searching with ${file.name}`);
      if (address().view !== "search") go({}, { view: "" });
    },
    done: (file, { query, kind, finds }) => {
      if (!uploads.has(query)) uploads.set(query, { file, kind, finds, url: URL.createObjectURL(file) });
      const find = kind === "video" ? "sound" : finds[0];
      go({ query, id: null, text: null, find: finds.includes(find) ? find : finds[0] });
    },
    failed: (message) => {
      const { given } = address();
      showSearch(given).then(() => problem(message));
    },
  });
}

async function start() {
  try {
    about = await get("/api/about");
  } catch (error) {
    problem(error.message);
    return;
  }
  const classes = about.classes.length;
  byId("run").textContent = `${about.name} · ${about.clips.toLocaleString("en")} clips` + (classes > 1 ? ` · ${classes} classes` : "");
  byId("warning").textContent = about.warnings.join(" ");
  byId("warning").hidden = !about.warnings.length;
  byId("report-link").hidden = !about.report;
  for (const [id, groups] of [["label", about.classes], ["split", about.splits]]) {
    const named = groups.filter((group) => group.name);
    byId(id).append(...named.map((group) => el("option", { value: group.name, text: `${group.name} (${group.clips})` })));
    byId(id).parentElement.hidden = named.length < 2;
  }
  map = new CollectionMap(about, searchWith);
  wire();
  show();
}

start();
