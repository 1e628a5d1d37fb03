/** A Dify app as a graph, laid out by layers, with the steps of a run marked on it. */

import { h } from "../core/dom.mjs";

const WIDTH = 320;
const NODE_HEIGHT = 28;
const LAYER_HEIGHT = 46;
const GAP = 10;
const WIDEST = 150;
const CHARACTER = 6.2; // pixels, of the graph's font

/** The graph of an app; `steps` is the state of each node by id. */
export function graph(app, steps = {}) {
  const places = laidOut(app);
  const height = Math.max(...[...places.values()].map((place) => place.y)) + NODE_HEIGHT + 2;
  return h(
    "svg",
    { class: "graph", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": spoken(app, steps) },
    app.edges.map((edge) => line(places.get(edge.source), places.get(edge.target), edge, steps)),
    app.nodes.map((node) => box(node, places.get(node.id), steps[node.id])),
  );
}

function box(node, place, step) {
  const room = Math.floor((place.width - 12) / CHARACTER);
  const title = node.title.length > room ? `${node.title.slice(0, room - 1)}…` : node.title;
  return h(
    "g",
    { key: node.id, class: `node is-${node.type} ${step ? `is-${step}` : ""}` },
    h("title", {}, `${node.title} (${node.type})${step ? `: ${step}` : ""}`),
    h("rect", { x: place.x - place.width / 2, y: place.y + 1, width: place.width, height: NODE_HEIGHT, rx: 8 }),
    h("text", { x: place.x, y: place.y + NODE_HEIGHT / 2 + 5, "text-anchor": "middle" }, title),
  );
}

function line(from, to, edge, steps) {
  const [top, bottom] = [from.y + NODE_HEIGHT + 1, to.y + 1];
  const bend = Math.max(12, (bottom - top) / 2);
  const path = `M ${from.x} ${top} C ${from.x} ${top + bend}, ${to.x} ${bottom - bend}, ${to.x} ${bottom}`;
  const isTaken = steps[edge.source] && steps[edge.target];
  return h("path", {
    key: `${edge.source} ${edge.target} ${edge.handle}`,
    class: isTaken ? "edge is-taken" : "edge",
    d: path,
  });
}

function spoken(app, steps) {
  const at = app.nodes.filter((node) => ["running", "waiting", "failed"].includes(steps[node.id]));
  const now = at.map((node) => `${node.title} is ${steps[node.id]}`).join(", ");
  return `The steps of ${app.name}: ${app.nodes.map((node) => node.title).join(", ")}.${now ? ` Now: ${now}.` : ""}`;
}

/** Where each node stands: below all that lead to it, near those it follows. */
function laidOut({ nodes, edges }) {
  const layers = [];
  const layerOf = layering(nodes, edges);
  for (const node of nodes) (layers[layerOf.get(node.id)] ??= []).push(node);
  const places = new Map();
  layers.forEach((layer, index) => {
    const wish = new Map(layer.map((node) => [node.id, middleOf(node, edges, places)]));
    const ordered = [...layer].sort((one, other) => wish.get(one.id) - wish.get(other.id));
    const room = WIDTH / ordered.length;
    const width = Math.min(WIDEST, room - GAP);
    ordered.forEach((node, at) => places.set(node.id, { x: room * (at + 0.5), y: index * LAYER_HEIGHT, width }));
  });
  return places;
}

/** The longest way to each node; an edge that leads back to a node on its own way does not count. */
function layering(nodes, edges) {
  const depth = new Map();
  const reach = (id, way) => {
    if (way.length <= (depth.get(id) ?? -1) || way.includes(id)) return;
    depth.set(id, way.length);
    for (const edge of edges) if (edge.source === id) reach(edge.target, [...way, id]);
  };
  const targets = new Set(edges.map((edge) => edge.target));
  for (const node of nodes) if (!targets.has(node.id)) reach(node.id, []);
  for (const node of nodes) if (!depth.has(node.id)) depth.set(node.id, 0);
  return depth;
}

function middleOf(node, edges, places) {
  const before = edges
    .filter((edge) => edge.target === node.id)
    .map((edge) => places.get(edge.source)?.x)
    .filter(Boolean);
  return before.length ? before.reduce((sum, x) => sum + x, 0) / before.length : WIDTH / 2;
}
