/** Dialogs that ask before something is done. */

import { classes, h, render } from "../core/dom.mjs";
import { plainText, textObject } from "../blocks/mrkdwn.mjs";

const SENT = "sent";
let count = 0;

/** Show a Block Kit confirm dialog; resolves to whether the person agreed. */
export function confirmed(confirm) {
  return ask({
    title: plainText(confirm.title),
    body: h("p", {}, textObject(confirm.text)),
    yes: plainText(confirm.confirm) || "OK",
    no: plainText(confirm.deny) || "Cancel",
    style: confirm.style,
  });
}

/**
 * Show a dialog with a form in it; resolves to whether it was sent.
 *
 * `send` is given its `FormData`; while that fails the dialog stays open, with what was entered and the reason in it.
 */
export function ask({ title, body, yes, no = "Cancel", style = "primary", send = async () => {} }) {
  count += 1;
  const id = `ask-${count}`;
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  dialog.setAttribute("aria-labelledby", id);
  render(dialog, h(Ask, { id, title, body, yes, no, style, send, close: (answer) => dialog.close(answer) }));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      resolve(dialog.returnValue === SENT);
      dialog.remove();
    };
  });
}

function Ask({ id, title, body, yes, no, style, send, close }, self) {
  const submit = async (event) => {
    event.preventDefault();
    if (self.isBusy) return;
    Object.assign(self, { isBusy: true, problem: null });
    self.redraw();
    try {
      await send(new FormData(event.target));
      close(SENT);
    } catch (error) {
      Object.assign(self, { isBusy: false, problem: error.message });
      self.redraw();
    }
  };
  return h(
    "form",
    { onsubmit: submit },
    h("h2", { id }, title),
    h("div", { class: "ask-body" }, body),
    self.problem && h("p", { key: "problem", class: "field-error", role: "alert" }, self.problem),
    h(
      "div",
      { key: "buttons", class: "ask-buttons" },
      h("button", { type: "button", class: "button", onclick: () => close() }, no),
      h("button", { type: "submit", class: classes(`button is-${style}`, self.isBusy && "is-busy") }, yes),
    ),
  );
}
