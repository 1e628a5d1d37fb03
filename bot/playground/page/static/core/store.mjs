/** The documents the server sent: everything the page shows of the workspace, of Dify and of the bot. */

const collections = new Map();
const waiting = new Set();

/** Take a message of the server: the documents it sets, and the keys it drops. */
export function take({ set = {}, drop = [], first = false }) {
  if (first) collections.clear();
  for (const [key, document] of Object.entries(set)) collection(headOf(key)).set(key, document);
  for (const key of drop) collection(headOf(key)).delete(key);
  for (const look of waiting) look();
}

/** Resolves to what `find` finds, which is asked now and whenever documents have come. */
export function until(find) {
  return new Promise((resolve) => {
    const look = () => {
      const found = find();
      if (!found) return;
      waiting.delete(look);
      resolve(found);
    };
    waiting.add(look);
    look();
  });
}

/** The document under a key, or undefined. */
export function read(key) {
  return collections.get(headOf(key))?.get(key);
}

/** The documents whose keys begin with `prefix`, as `[key, document]`. */
export function under(prefix) {
  return [...(collections.get(headOf(prefix)) ?? [])].filter(([key]) => key.startsWith(prefix));
}

/** The documents of `under`, without their keys. */
export function all(prefix) {
  return under(prefix).map(([, document]) => document);
}

/** A person by id, or undefined. */
export function personOf(id) {
  return read("workspace")?.people.find((person) => person.id === id);
}

/** What readers call the user with an id: a person, the app, or the id itself. */
export function userName(id) {
  const { app } = read("workspace") ?? {};
  return personOf(id)?.name ?? (app && [app.user_id, app.bot_id].includes(id) ? app.name : id);
}

/** What readers call the channel with an id. */
export function channelName(id) {
  const channel = read("workspace")?.channels.find((each) => each.id === id);
  return channel ? channel.name : id;
}

function headOf(key) {
  return key.split("/", 1)[0];
}

function collection(head) {
  if (!collections.has(head)) collections.set(head, new Map());
  return collections.get(head);
}
