// A conversation as people read it: who said what, calls of tools with their results, long texts folded.
const MOST_MESSAGES = 40, FIRST_MESSAGES = 2, LAST_MESSAGES = 25;

// Returns an element that shows messages.
function showMessages(messages, options) {
  const talk = { ...options, brief: messages.length > 1, results: resultsByCall(messages), names: namesByCall(messages) };
  const shown = messages.filter((message) => message.parts.some((part) => !talk.results.placed.has(part)) || !message.parts.length);
  const box = make("div", "talk"), hides = shown.length > MOST_MESSAGES && !talk.needle;
  const draw = (some) => some.map((message) => showMessage(message, talk));
  if (!hides) box.append(...draw(shown));
  else {
    const middle = shown.slice(FIRST_MESSAGES, -LAST_MESSAGES);
    const more = makeButton("more", `show ${number(middle.length)} messages in between`, () => more.replaceWith(...draw(middle)));
    box.append(...draw(shown.slice(0, FIRST_MESSAGES)), more, ...draw(shown.slice(-LAST_MESSAGES)));
  }
  return box;
}

function namesByCall(messages) {
  const names = new Map();
  for (const message of messages) for (const part of message.parts) if (part.kind === "call" && part.id) names.set(part.id, part.name);
  return names;
}

// Each call takes the first result with its id that comes after it; results without a call stay where they are.
function resultsByCall(messages) {
  const waiting = new Map(), of = new Map(), placed = new Set();
  for (const message of messages) {
    for (const part of message.parts) {
      if (part.kind === "call" && part.id) waiting.set(part.id, part);
      else if (part.kind === "result" && waiting.has(part.id)) {
        of.set(waiting.get(part.id), part);
        placed.add(part);
        waiting.delete(part.id);
      }
    }
  }
  return { of, placed };
}

function showMessage(message, talk) {
  const role = message.role || "?", box = make("div", `message ${/^(user|assistant|system|developer|tool)$/.test(role) ? role : "other"}`);
  const who = make("div", "who", seen(role));
  if (message.name) who.append(make("span", "dim", ` ${seen(message.name)}`));
  who.append(...talk.cuts.badge(message.path, ""));
  box.append(who);
  const most = talk.brief && /^(system|developer)$/.test(role) ? BRIEF : SHOWN;
  for (const part of message.parts) if (!talk.results.placed.has(part)) box.append(showPart(part, talk, most));
  if (!message.parts.length) box.append(make("div", "dim", "no content"));
  return box;
}

function showPart(part, talk, most = SHOWN) {
  const { needle, cuts } = talk, badge = cuts.badge(part.path, part.text === undefined ? part.value : part.text);
  if (part.kind === "call") return showCall(part, talk, badge);
  if (part.kind === "result") return showResult(part, talk);
  if (part.kind === "media") return withBadge(make("div", "media", seen(part.text)), badge);
  if (part.kind === "other") return withBadge(showValue(part.value, { path: part.path, cuts, needle, rows: 12 }), badge);
  if (part.kind === "thinking") return withBadge(folding("thinking", [make("span", "", "thinking")], () => [longText(part.text, needle)], has(part.text, needle)), badge);
  return withBadge(longText(part.kind === "refusal" ? `refusal: ${part.text}` : part.text, needle, "text", most), badge);
}

function withBadge(element, badge) {
  element.append(...badge);
  return element;
}

function showCall(part, talk, badge) {
  const box = make("div", "call"), head = make("div", "who", `→ ${seen(isText(part.name) ? part.name : "?")}`);
  if (part.id) head.append(make("span", "dim id", ` ${seen(String(part.id))}`));
  head.append(...badge);
  box.append(head);
  if (part.value !== undefined && part.value !== null && part.value !== "") box.append(showContent(part.value, part.deep || part.path, talk));
  const result = talk.results.of.get(part);
  if (result) box.append(showResult(result, talk));
  return box;
}

function showResult(part, talk) {
  const name = part.name || talk.names.get(part.id), isPlaced = talk.results.placed.has(part);
  const box = make("div", `result${part.failed ? " failed" : ""}`), head = make("div", "who", part.failed ? "← failed" : "←");
  if (!isPlaced) head.append(make("span", "", ` ${seen(isText(name) ? name : "result")}`), make("span", "dim id", part.id ? ` ${seen(String(part.id))}` : ""));
  head.append(...talk.cuts.badge(part.path, part.value));
  box.append(head, showContent(part.value, part.path, talk));
  return box;
}

// Arguments and results: texts of JSON as trees, lists of parts as their parts, all else as it is.
function showContent(value, path, talk) {
  const { cuts, needle } = talk;
  const parts = Array.isArray(value) && value.length && value.every((item) => isObject(item) && isText(item.type)) ? partsOf(value, path) : [];
  if (parts.length && parts.every((part) => ["text", "media"].includes(part.kind))) {
    const box = make("div", "value");
    box.append(...parts.map((part) => (part.kind === "text" ? showValue(parsed(part.text), { path: part.path, cuts, needle, rows: 12 }) : showPart(part, talk))));
    return box;
  }
  return showValue(value === undefined || value === null ? "" : parsed(value), { path, cuts, needle, rows: 12 });
}
