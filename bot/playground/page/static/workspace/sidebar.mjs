/** Where the reader is: whose eyes they look through, channels, the app. */

import { classes, h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { attempt } from "../core/notices.mjs";
import { becomePerson, channelsOf, goTo, session, unreadIn, unreadOf } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { read } from "../core/store.mjs";
import { avatar } from "./avatar.mjs";

/** What a channel is called in headings and lists. */
export function channelTitle(channel) {
  return channel.kind === "im" ? read("workspace").app.name : `#${channel.name}`;
}

/** The list of people, channels and the app. */
export function sidebar(workspace) {
  const channels = channelsOf(session.person);
  const rooms = channels.filter((channel) => channel.kind !== "im");
  const direct = channels.filter((channel) => channel.kind === "im");
  return h(
    "nav",
    { class: "sidebar", "aria-label": "Workspace" },
    h("p", { class: "workspace-name" }, workspace.name, h("span", { class: "badge" }, "Simulation")),
    people(workspace),
    h("h2", {}, "Channels"),
    h("ul", {}, rooms.map(place)),
    h("h2", {}, "App"),
    h("ul", {}, direct.map(place), home(workspace.app)),
  );
}

function people(workspace) {
  return [
    h("h2", { id: "people" }, "You are"),
    h(
      "ul",
      { class: "people", "aria-labelledby": "people" },
      workspace.people.map((person) => {
        const unread = person.id === session.person ? 0 : unreadOf(person.id);
        return h(
          "li",
          { key: person.id },
          h(
            "button",
            {
              type: "button",
              class: "person",
              title: `${person.name} in ${person.zone}`,
              "aria-pressed": String(person.id === session.person),
              onclick: () => become(person.id),
            },
            avatar(person.id, person.name),
            h("span", {}, person.name),
            unreadMark(unread),
          ),
        );
      }),
    ),
  ];
}

function become(id) {
  becomePerson(id);
  if (session.place === "home") attempt(() => request("open_home", { person: id }));
}

function place(channel) {
  const unread = session.place === channel.id ? 0 : unreadIn(session.person, channel.id);
  const isHere = session.place === channel.id;
  return h(
    "li",
    { key: channel.id },
    h(
      "button",
      {
        type: "button",
        class: classes("place", unread && "is-unread"),
        "aria-current": isHere ? "page" : null,
        onclick: () => goTo(channel.id),
      },
      h("span", { class: "place-sign", "aria-hidden": "true" }, channel.kind === "im" ? icon("bolt") : "#"),
      h("span", { class: "place-name" }, channel.kind === "im" ? `${channelTitle(channel)} Messages` : channel.name),
      unreadMark(unread),
    ),
  );
}

function home(app) {
  const open = () => {
    goTo("home");
    attempt(() => request("open_home", { person: session.person }));
  };
  return h(
    "li",
    { key: "home" },
    h(
      "button",
      { type: "button", class: "place", "aria-current": session.place === "home" ? "page" : null, onclick: open },
      h("span", { class: "place-sign", "aria-hidden": "true" }, icon("home")),
      h("span", { class: "place-name" }, `${app.name} Home`),
    ),
  );
}

/** The mark of something with messages that were not seen. */
export function unreadMark(unread) {
  return (
    unread > 0 && h("span", { class: "unread" }, String(unread), h("span", { class: "visually-hidden" }, " unread"))
  );
}
