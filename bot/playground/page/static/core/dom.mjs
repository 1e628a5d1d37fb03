/**
 * The page's view layer: `h` describes what should be there, `render` makes the document match it.
 *
 * Elements are found again by their key (or by their place among unkeyed ones of their type) and changed in place, so
 * an input keeps its focus, its caret and what is being typed while everything around it changes. Text is data: it only
 * ever becomes a text node or an attribute.
 *
 * A function as the type is a component: `Component(props, self)` returns one description. `self` stays the same for as
 * long as the component is shown; it keeps what the component puts there, `self.redraw()` draws it anew, and the hooks
 * `self.mounted(node)`, `self.updated(node)` and `self.gone(node)` are called when it has set them. A component whose
 * props are the same values as before is not called again.
 */

const TEXT = Symbol("text");
const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "hidden", "inert"]);
const SVG = "http://www.w3.org/2000/svg";

const roots = new WeakMap();
let effects = [];
let isDrawing = false;

/** Describe an element or component; `null`, `undefined` and booleans among the children are left out. */
export function h(type, props, ...children) {
  const { key = null, ...rest } = props ?? {};
  return { type, key, props: rest, children: described(children) };
}

/** Make the children of `parent` match `children`. */
export function render(parent, ...children) {
  const after = described(children);
  drawing(() => reconcile(parent, roots.get(parent) ?? [], after, namespaceOf(parent)));
  roots.set(parent, after);
  flush();
}

/** Join class names, leaving out those that do not apply. */
export function classes(...names) {
  return names.filter(Boolean).join(" ");
}

function described(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && typeof child !== "boolean")
    .map((child) => (typeof child === "object" ? child : textOf(child)));
}

function textOf(text) {
  return { type: TEXT, key: null, text: String(text), props: {}, children: [] };
}

function reconcile(parent, before, after, namespace) {
  const old = new Map(identities(before).map((id, index) => [id, before[index]]));
  identities(after).forEach((id, index) => {
    const was = old.get(id);
    if (was !== undefined && was.type === after[index].type) {
      old.delete(id);
      update(was, after[index], namespace);
    } else {
      create(after[index], namespace);
    }
  });
  for (const was of old.values()) remove(was);
  let at = parent.firstChild;
  for (const each of after) {
    const node = nodeOf(each);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
}

/** What each description is found again by: its key, else its place among the unkeyed ones of its type. */
function identities(children) {
  const counts = new Map();
  return children.map((child) => {
    const name = child.key === null ? String(child.type.name ?? child.type.toString()) : `key ${child.key}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return `${name} ${count}`;
  });
}

function nodeOf(each) {
  return each.self ? nodeOf(each.self.internal.shown) : each.node;
}

function create(each, namespace) {
  if (each.type === TEXT) {
    each.node = document.createTextNode(each.text);
  } else if (typeof each.type === "function") {
    begin(each, namespace);
  } else {
    const own = each.type === "svg" ? SVG : namespace;
    each.node = own === null ? document.createElement(each.type) : document.createElementNS(own, each.type);
    reconcile(each.node, [], each.children, own);
    setProps(each.node, {}, each.props);
  }
}

function update(was, each, namespace) {
  if (was.type === TEXT) {
    each.node = was.node;
    if (was.text !== each.text) each.node.data = each.text;
  } else if (was.self) {
    continueWith(was.self, each);
  } else {
    each.node = was.node;
    reconcile(each.node, was.children, each.children, each.type === "svg" ? SVG : namespace);
    setProps(each.node, was.props, each.props);
  }
}

function remove(was) {
  const node = nodeOf(was);
  leave(was);
  node.remove();
}

function leave(was) {
  if (was.self) {
    was.self.gone?.(nodeOf(was));
    was.self.internal.isGone = true;
    leave(was.self.internal.shown);
  } else {
    was.children.forEach(leave);
  }
}

// --- components ------------------------------------------------------------------------------------------------------

function begin(each, namespace) {
  const self = { redraw: () => redraw(self) };
  Object.defineProperty(self, "internal", { value: { type: each.type, props: propsOf(each), namespace } });
  each.self = self;
  self.internal.shown = oneOf(each.type(self.internal.props, self));
  create(self.internal.shown, namespace);
  effects.push(() => self.mounted?.(nodeOf(self.internal.shown)));
}

function continueWith(self, each) {
  each.self = self;
  const props = propsOf(each);
  if (isSame(self.internal.props, props)) return;
  self.internal.props = props;
  draw(self);
}

/** Draw a component anew; what a removed element's blur asks for in the midst of drawing comes after it. */
function redraw(self) {
  if (isDrawing) {
    effects.push(() => redraw(self));
  } else if (!self.internal.isGone) {
    drawing(() => draw(self));
    flush();
  }
}

function draw(self) {
  const { type, props, namespace } = self.internal;
  const was = self.internal.shown;
  const now = oneOf(type(props, self));
  if (was.type === now.type && was.key === now.key) {
    update(was, now, namespace);
  } else {
    create(now, namespace);
    nodeOf(was).replaceWith(nodeOf(now));
    leave(was);
  }
  self.internal.shown = now;
  effects.push(() => self.updated?.(nodeOf(now)));
}

function propsOf(each) {
  return each.children.length ? { ...each.props, children: each.children } : each.props;
}

function oneOf(description) {
  return described([description])[0] ?? textOf("");
}

function isSame(before, after) {
  const names = Object.keys(after);
  return names.length === Object.keys(before).length && names.every((name) => Object.is(before[name], after[name]));
}

function drawing(work) {
  isDrawing = true;
  try {
    work();
  } finally {
    isDrawing = false;
  }
}

function flush() {
  while (effects.length) {
    const due = effects;
    effects = [];
    for (const effect of due) effect();
  }
}

// --- attributes ------------------------------------------------------------------------------------------------------

function setProps(node, before, after) {
  for (const name of Object.keys(before)) if (!(name in after)) setProp(node, name, undefined);
  for (const [name, value] of Object.entries(after)) if (before[name] !== value) setProp(node, name, value);
}

function setProp(node, name, value) {
  if (name.startsWith("on")) {
    node[name] = value ?? null;
  } else if (name === "style") {
    for (const [property, each] of Object.entries(value ?? {})) node.style.setProperty(property, each);
  } else if (name === "value" && !("value" in node)) {
    node.setAttribute("value", value);
  } else if (PROPERTIES.has(name) && name in node) {
    const wanted = value ?? (name === "value" ? "" : false);
    if (node[name] !== wanted) node[name] = wanted;
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

function namespaceOf(node) {
  return node.namespaceURI === SVG ? SVG : null;
}
