// Values from the log: long texts that fold, and JSON as a tree whose parts are made when they are opened.
const SHOWN = { chars: 1500, lines: 24 }, BRIEF = { chars: 320, lines: 4 }, TRACE = { chars: 8000, lines: 80 }, INLINE_CHARS = 240, MORE_CHARS = 100_000;
const CHUNK = 100, OPEN_ROWS = 48, OPEN_DEPTH = 4, MOST_MARKS = 200;

// Returns a text as nodes, in which what was searched for is marked.
function inert(text, needle) {
  if (!needle) return [document.createTextNode(seen(text))];
  const nodes = [], lower = text.toLowerCase();
  let from = 0;
  if (lower.length === text.length) { // a few characters change their length, and then nothing is marked
    for (let at = lower.indexOf(needle); at >= 0 && nodes.length < 2 * MOST_MARKS; at = lower.indexOf(needle, from)) {
      nodes.push(document.createTextNode(seen(text.slice(from, at))), make("mark", "", seen(text.slice(at, at + needle.length))));
      from = at + needle.length;
    }
  }
  nodes.push(document.createTextNode(seen(text.slice(from))));
  return nodes;
}

const has = (text, needle) => Boolean(needle) && text.toLowerCase().includes(needle);

// Returns an element with a text of any length: its beginning, and a button for more of it.
function longText(text, needle, name = "text", most = SHOWN) {
  const box = make("div", "long"), body = make("div", name);
  let end = Math.min(text.length, most.chars);
  for (let at = -1, line = 0; line < most.lines && (at = text.indexOf("\n", at + 1)) >= 0 && at < end; line++) if (line === most.lines - 1) end = at;
  if (text.length - end < most.chars / 4 && text.slice(end).split("\n", most.lines).length <= most.lines / 4) end = text.length; // not worth a click
  const found = needle ? text.toLowerCase().indexOf(needle, Math.max(0, end - needle.length)) : -1;
  if (found >= 0 && !has(text.slice(0, end), needle)) end = Math.min(text.length, found + needle.length + INLINE_CHARS);
  body.append(...inert(text.slice(0, end), needle));
  body.dir = "auto";
  box.append(body);
  if (end === text.length) return box;
  const more = makeButton("more", "", () => {
    const to = Math.min(text.length, end + MORE_CHARS);
    body.append(...inert(text.slice(end, to), needle));
    end = to;
    if (end === text.length) more.remove();
    else label();
  });
  const label = () => (more.textContent = text.length - end > MORE_CHARS ? `show ${number(MORE_CHARS)} more characters` : `show all ${number(text.length)} characters`);
  label();
  box.append(more);
  return box;
}

// --- paths of what was cut, as data.cut has them ---

const inside = (path, key) => (typeof key === "number" ? `${path}[${key}]` : /^[\p{L}_][\p{L}\p{N}_]*$/u.test(key) ? (path ? `${path}.${key}` : key) : `${path}[${JSON.stringify(key)}]`);

// Knows which paths of a span's data were cut or redacted.
class Cuts {
  constructor(paths) {
    this.paths = new Set(paths);
  }
  // Returns what to say of a value, or "".
  of(path, value) {
    if (!this.paths.has(path)) return "";
    return typeof value === "string" && value.includes("[REDACTED") ? "redacted" : "cut";
  }
  badge(path, value) {
    const what = this.of(path, value);
    return what ? [make("span", `badge ${what}`, what)] : [];
  }
}

// --- the tree ---

const isContainer = (value) => value !== null && typeof value === "object";
const sizeOf = (value) => (Array.isArray(value) ? value.length : Object.keys(value).length);

// Tells whether a text is in a key or a text of a value; of a large value, within its first nodes.
function holds(value, needle) {
  const waiting = [value];
  for (let left = 20_000; waiting.length && left > 0; left--) {
    const item = waiting.pop();
    if (!isContainer(item)) {
      if (has(String(item), needle)) return true;
    } else {
      for (const [key, inner] of Object.entries(item)) {
        if (!Array.isArray(item) && has(key, needle)) return true;
        waiting.push(inner);
      }
    }
  }
  return false;
}

// Returns an element that shows a value: a text as text, and anything else as a tree.
function showValue(value, { path = "", cuts = new Cuts([]), needle = "", rows = OPEN_ROWS } = {}) {
  const tree = { cuts, needle, rows };
  const box = make("div", "value");
  if (!isContainer(value) || !sizeOf(value)) {
    box.append(...(typeof value === "string" ? [longText(value, needle)] : [scalar(value, tree)]), ...cuts.badge(path, value));
    return box;
  }
  box.append(...children(value, path, tree, 0));
  return box;
}

function scalar(value, tree) {
  if (isContainer(value)) return make("span", "empty", Array.isArray(value) ? "[]" : "{}");
  if (typeof value !== "string") return make("span", value === null ? "null" : typeof value, String(value));
  if (value.length <= INLINE_CHARS && !value.includes("\n")) {
    const text = make("span", "string");
    text.dir = "auto";
    text.append(...(value ? inert(value, tree.needle) : ['""']));
    return text;
  }
  return longText(value, tree.needle, "text string");
}

function children(value, path, tree, depth) {
  const keys = Array.isArray(value) ? null : Object.keys(value), count = keys ? keys.length : value.length;
  const entry = (at) => {
    const key = keys ? keys[at] : at;
    return treeNode(key, value[key], inside(path, key), tree, depth);
  };
  if (count <= CHUNK) return Array.from({ length: count }, (_, at) => entry(at));
  return Array.from({ length: Math.ceil(count / CHUNK) }, (_, chunk) => {
    const from = chunk * CHUNK, to = Math.min(count, from + CHUNK);
    const slice = keys ? keys.slice(from, to).map((key) => [key, value[key]]) : value.slice(from, to);
    return folding("chunk", [make("span", "key", `${number(from)} … ${number(to - 1)}`)], () => Array.from({ length: to - from }, (_, at) => entry(from + at)), tree.needle ? holds(slice, tree.needle) : chunk === 0 && !depth);
  });
}

function treeNode(key, value, path, tree, depth) {
  const name = make("span", "key");
  name.append(...inert(String(key), typeof key === "number" ? "" : tree.needle));
  const badge = tree.cuts.badge(path, value);
  tree.rows--;
  if (!isContainer(value) || !sizeOf(value)) {
    const leaf = make("div", "leaf");
    leaf.append(name, ": ", scalar(value, tree), ...badge);
    return leaf;
  }
  const count = sizeOf(value), isOpen = tree.needle && holds(value, tree.needle) ? true : count <= tree.rows && depth < OPEN_DEPTH;
  const told = make("span", "count", Array.isArray(value) ? `[${number(count)}]` : `{${number(count)}}`);
  return folding("node", [name, ": ", told, make("span", "preview", preview(value)), ...badge], () => children(value, path, tree, depth + 1), isOpen);
}

// Returns an element that folds; what is in it is made when it is first opened.
function folding(name, summary, makeInner, isOpen) {
  const box = make("details", name), head = make("summary");
  head.append(...summary);
  box.append(head);
  const fill = () => {
    if (box.childElementCount > 1) return;
    const inner = make("div", "inner");
    inner.append(...makeInner());
    box.append(inner);
  };
  if (isOpen) fill();
  box.open = Boolean(isOpen);
  box.addEventListener("toggle", () => box.open && fill());
  return box;
}

function preview(value) {
  const parts = [];
  let length = 0;
  for (const [key, item] of Object.entries(value).slice(0, 6)) {
    const text = isContainer(item) ? (Array.isArray(item) ? "[…]" : "{…}") : typeof item === "string" ? oneLine(item.slice(0, 80)) : String(item);
    parts.push(Array.isArray(value) ? text : `${key}: ${text}`);
    if ((length += text.length + key.length) > 90) break;
  }
  return seen(parts.join(", ")).slice(0, 120);
}
