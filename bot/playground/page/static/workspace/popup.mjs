/** Lists and menus that open beside what they belong to, above everything else, and stay within the window. */

const GAP = 4;
const LEAST_HEIGHT = 160;
const MOST_HEIGHT = 320;

const open = new Map();

/** Show a popover below its anchor, or above it where there is more room; it follows when something scrolls. */
export function placeBelow(popover, anchor) {
  if (!popover.matches(":popover-open")) popover.showPopover();
  open.set(popover, anchor);
  place(popover, anchor);
}

/** Hide a popover. */
export function hide(popover) {
  open.delete(popover);
  if (popover.matches(":popover-open")) popover.hidePopover();
}

function place(popover, anchor) {
  const box = anchor.getBoundingClientRect();
  const below = innerHeight - box.bottom - 2 * GAP;
  const above = box.top - 2 * GAP;
  const isBelow = below >= Math.min(LEAST_HEIGHT, popover.scrollHeight) || below >= above;
  const style = {
    "min-width": `${box.width}px`,
    "max-height": `${Math.min(isBelow ? below : above, MOST_HEIGHT)}px`,
    left: `${Math.max(GAP, Math.min(box.left, innerWidth - Math.max(popover.offsetWidth, box.width) - GAP))}px`,
    top: isBelow ? `${box.bottom + GAP}px` : "auto",
    bottom: isBelow ? "auto" : `${innerHeight - box.top + GAP}px`,
  };
  for (const [property, value] of Object.entries(style)) popover.style.setProperty(property, value);
}

function follow() {
  for (const [popover, anchor] of open) {
    if (popover.isConnected) place(popover, anchor);
    else open.delete(popover);
  }
}

addEventListener("scroll", (event) => open.has(event.target) || follow(), { capture: true, passive: true });
addEventListener("resize", follow);
