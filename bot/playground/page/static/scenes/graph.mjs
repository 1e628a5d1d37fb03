/** A Dify app as a graph, laid out by layers, with the steps of a run marked on it. */

import { h } from "../core/dom.mjs";

const WIDTH = 320;
const NODE_HEIGHT = 34;
const LAYER_HEIGHT = 52;
const GAP = 8;
const WIDEST = 150;
const CHARACTER = 6.2; // pixels, of the graph's font
const LINE = 13; // pixels, of a title
const LANE = 0.25; // of a node's room: what an edge takes that passes by

/** The graph of an app; `steps` is the state of each node by id. */
export function graph(app, steps = {}) {
  const { places, ways } = laidOut(app);
  const height = Math.max(...[...places.values()].map((place) => place.y)) + NODE_HEIGHT + 2;
  return h(
    "svg",
    { class: "graph", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": spoken(app, steps) },
    app.edges.map((edge, index) => line(ways[index].map((id) => places.get(id)), edge, steps)),
    app.nodes.map((node) => box(node, places.get(node.id), steps[node.id])),
  );
}

function box(node, place, step) {
  const lines = linesOf(node.title, Math.floor((place.width - 8) / CHARACTER));
  const first = place.y + 1 + NODE_HEIGHT / 2 + 4 - ((lines.length - 1) * LINE) / 2;
  return h(
    "g",
    { key: node.id, class: `node is-${node.type} ${step ? `is-${step}` : ""}` },
    h("title", {}, `${node.title} (${node.type})${step ? `: ${step}` : ""}`),
    h("rect", { x: place.x - place.width / 2, y: place.y + 1, width: place.width, height: NODE_HEIGHT, rx: 8 }),
    lines.map((text, index) => h("text", { x: place.x, y: first + index * LINE, "text-anchor": "middle" }, text)),
  );
}

/** A title in up to two lines, of so many characters each. */
function linesOf(title, room) {
  if (title.length <= room) return [title];
  const at = title.lastIndexOf(" ", room);
  const lines = at > 0 ? [title.slice(0, at), title.slice(at + 1)] : [title];
  return lines.map((text) => (text.length > room ? `${text.slice(0, room - 1)}…` : text));
}

/** An edge along its way: a curve from each layer to the next, and straight past the nodes in between. */
function line(way, edge, steps) {
  const pieces = way.slice(1).map((to, index) => {
    const from = way[index];
    const [top, bottom] = [from.y + NODE_HEIGHT + 1, to.y + 1];
    const bend = Math.max(12, (bottom - top) / 2);
    return `L ${from.x} ${top} C ${from.x} ${top + bend}, ${to.x} ${bottom - bend}, ${to.x} ${bottom}`;
  });
  const isTaken = steps[edge.source] && steps[edge.target];
  return h("path", {
    key: `${edge.source} ${edge.target} ${edge.handle}`,
    class: isTaken ? "edge is-taken" : "edge",
    d: `M ${way[0].x} ${way[0].y + NODE_HEIGHT + 1} ${pieces.join(" ")}`,
  });
}

function spoken(app, steps) {
  const at = app.nodes.filter((node) => ["running", "waiting", "failed"].includes(steps[node.id]));
  const now = at.map((node) => `${node.title} is ${steps[node.id]}`).join(", ");
  return `The steps of ${app.name}: ${app.nodes.map((node) => node.title).join(", ")}.${now ? ` Now: ${now}.` : ""}`;
}

/**
 * Where each node stands, below all that lead to it and near those it follows; and the way of each edge, as the ids of
 * the places it goes through: the nodes at its ends, and a lane of its own in every layer between them.
 */
function laidOut({ nodes, edges }) {
  const layers = [];
  const layerOf = layering(nodes, edges);
  for (const node of nodes) (layers[layerOf.get(node.id)] ??= []).push({ id: node.id, share: 1 });
  const ways = edges.map(({ source, target }, index) => {
    const between = [];
    for (let layer = layerOf.get(source) + 1; layer < layerOf.get(target); layer += 1) {
      between.push(`edge ${index} in ${layer}`);
      layers[layer].push({ id: between.at(-1), share: LANE });
    }
    return [source, ...between, target];
  });
  const steps = ways.flatMap((way) => way.slice(1).map((target, index) => ({ source: way[index], target })));
  const places = new Map();
  layers.forEach((layer, index) => {
    const wish = new Map(layer.map(({ id }) => [id, middleOf(id, steps, places)]));
    const ordered = [...layer].sort((one, other) => wish.get(one.id) - wish.get(other.id));
    const room = WIDTH / ordered.reduce((sum, { share }) => sum + share, 0);
    let left = 0;
    for (const { id, share } of ordered) {
      const width = Math.min(WIDEST, room * share - GAP);
      places.set(id, { x: left + (room * share) / 2, y: index * LAYER_HEIGHT, width });
      left += room * share;
    }
  });
  return { places, ways };
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

function middleOf(id, steps, places) {
  const before = steps
    .filter(({ target }) => target === id)
    .map(({ source }) => places.get(source)?.x)
    .filter(Boolean);
  return before.length ? before.reduce((sum, x) => sum + x, 0) / before.length : WIDTH / 2;
}
