// Elements built without HTML strings, as ids and labels come from users.

/** An element with properties (class, text, data, on…, attributes) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An SVG drawing of paths, hidden from screen readers. */
export function drawing(viewBox, ...paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Announce to screen readers. */
export function say(text) {
  byId("status").textContent = text;
}

/** "1.5–4 s" for a clip that is a part of its file; empty for a whole file. */
export function seconds(item) {
  if (item.start === null && item.end === null) return "";
  const round = (value) => String(Math.round(value * 100) / 100);
  return `${round(item.start ?? 0)}–${item.end === null ? "" : round(item.end)} s`;
}
