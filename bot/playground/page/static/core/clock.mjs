/** Times that go on: drawn anew every second. */

import { h } from "./dom.mjs";

const ticking = new Set();

setInterval(() => {
  for (const redraw of ticking) redraw();
}, 1000);

/** A text that `show(now)` makes of the present time, in Unix seconds. */
export function Ticking({ show, ...rest }, self) {
  self.mounted = () => ticking.add(self.redraw);
  self.gone = () => ticking.delete(self.redraw);
  return h("span", rest, show(Date.now() / 1000));
}
