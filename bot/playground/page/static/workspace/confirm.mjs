/** Dialogs that ask before something is done. */

import { h, render } from "../core/dom.mjs";
import { plainText, textObject } from "../blocks/mrkdwn.mjs";

let count = 0;

/** Show a Block Kit confirm dialog; resolves to whether the person agreed. */
export function confirmed(confirm) {
  return ask({
    title: plainText(confirm.title),
    body: h("p", {}, textObject(confirm.text)),
    yes: plainText(confirm.confirm) || "OK",
    no: plainText(confirm.deny) || "Cancel",
    style: confirm.style,
  }).then(Boolean);
}

/** Show a dialog with a form in it; resolves to its `FormData` once it is sent, or to null. */
export function ask({ title, body, yes, no = "Cancel", style = "primary" }) {
  count += 1;
  const id = `ask-${count}`;
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  dialog.setAttribute("aria-labelledby", id);
  render(
    dialog,
    h(
      "form",
      { method: "dialog" },
      h("h2", { id }, title),
      h("div", { class: "ask-body" }, body),
      h(
        "div",
        { class: "ask-buttons" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, no),
        h("button", { type: "submit", class: `button is-${style}`, value: "yes" }, yes),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      resolve(dialog.returnValue === "yes" ? new FormData(dialog.querySelector("form")) : null);
      dialog.remove();
    };
  });
}
