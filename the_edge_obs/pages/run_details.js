// The selected span.
function choose(index, bring) {
  chosen = index;
  for (let parent = spans[index][PARENT]; parent >= 0; parent = spans[parent][PARENT]) if (closed.delete(parent)) bring = true;
  if (bring && shownView() !== "tree") turnTo("tree");
  if (bring) select();
  if (shownView() === "tree" && !tree.items.includes(index)) clearFilters();
  tree.choose(index);
  details(index);
  drawLanes();
  try {
    history.replaceState(null, "", `#span=${spans[index][ID]}`);
  } catch {
    // Some browsers refuse this for pages from disk; the details have the same link.
  }
}

let isJson = false; // whether conversations are shown as JSON

function details(index) {
  const span = spans[index], box = byId("details"), top = make("div", "top"), link = make("a", "", "link");
  link.href = `#span=${span[ID]}`;
  link.title = "a link to this span";
  const share = makeButton("", "copy", () => copy(markdownOfSpan(index), share)), close = makeButton("", "×", hideDetails);
  share.title = "copy this span as Markdown (c)";
  const widen = makeButton("widen", "⇔", () => document.querySelector("main").classList.toggle("wide"));
  widen.title = widen.ariaLabel = "more or less room for the details (w)";
  close.setAttribute("aria-label", "close the details");
  top.append(make("h2", "", seen(span[LABEL])), link, share, widen, close);
  box.replaceChildren(top, make("p", "path dim", seen(pathOf(index).join(" / "))), facts(span), ...contents(index), ...lines(index));
  box.hidden = false;
  box.scrollTop = 0;
}

function hideDetails() {
  byId("details").hidden = true;
  byId(shownView() === "events" ? "event-rows" : "rows").focus();
}

function facts(span) {
  const table = make("dl"), status = statuses[span[STATUS]];
  const add = (name, text, style) => table.append(make("dt", "", seen(name)), make("dd", style, seen(text)));
  add("node", names[span[NODE]]);
  if (span[STEP] !== null) add("step", span[STEP]);
  add("status", status + (span[START_LOST] ? ", start lost" : ""), status);
  const start = new Date(data.start + span[TIME] / 1000);
  add("start", `+${duration(span[TIME])}, ${start.toLocaleTimeString("en-GB")}`);
  table.lastChild.title = start.toLocaleString();
  add("duration", took(span) || "the log has no end");
  for (const [name, value] of Object.entries(span[METRICS])) add(name, typeof value === "number" ? number(value) : asText(value));
  add("span", span[ID], "whole");
  return table;
}

// Returns the elements that show a span's input, output, error and other data.
function contents(index) {
  const { input, output, error, rest, cuts } = dataOf(index), needle = byId("text").value.trim().toLowerCase();
  const options = { cuts: new Cuts(cuts), needle }, parts = error ? [make("h3", "", "error"), showError(error, options)] : [];
  const talk = conversation(names[spans[index][NODE]], input, output);
  const add = (title, value, path = title) => {
    if (value !== undefined) parts.push(heading(title, [copyOf(value)], path, value, options), showValue(value, { ...options, path }));
  };
  if (talk && !isJson) parts.push(...showTalk(talk, input, output, options, index));
  else {
    if (talk) parts.push(heading("", [switchOf(index)]));
    add("input", input);
    add("output", output);
  }
  if (Object.keys(rest).length) add("data", rest, "");
  if (cuts.length) parts.push(make("p", "dim cuts", `cut or redacted: ${seen(cuts.join(", "))}`));
  return parts;
}

function showTalk({ given, answer }, input, output, options, index) {
  const parts = [heading("conversation", [switchOf(index)])];
  const others = (title, value, path) => {
    const kept = Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined && item !== null));
    const summary = [make("span", "key", title), ": ", make("span", "preview", preview(kept))];
    if (Object.keys(kept).length) parts.push(folding("facts", summary, () => [showValue(kept, { ...options, path })], holds(kept, options.needle)));
  };
  if (given) {
    others("settings", given.rest, "input");
    parts.push(showMessages(given.messages, options));
  } else if (input !== undefined) parts.push(make("h3", "", "input"), showValue(input, { ...options, path: "input" }));
  if (answer) {
    parts.push(make("h3", "", "answer"), showMessages(answer.messages, options));
    others("about the answer", answer.rest, "output");
  } else if (output !== undefined) parts.push(make("h3", "", "output"), showValue(output, { ...options, path: "output" }));
  return parts;
}

function heading(title, buttons, path, value, options) {
  const head = make("h3", "", title);
  head.append(...(options ? options.cuts.badge(path, value) : []), make("span", "spacer"), ...buttons);
  return head;
}

function copyOf(value) {
  const button = makeButton("small", "copy", () => copy(asText(value), button));
  return button;
}

function switchOf(index) {
  return makeButton("small", isJson ? "as conversation" : "as JSON", () => {
    isJson = !isJson;
    details(index);
  });
}

function showError(error, options) {
  const box = make("div", "error-box");
  box.append(longText(errorText(error), options.needle));
  const add = (name, text) => text && box.append(make("div", "dim", `${name} ${seen(String(text))}`));
  add("raised at", error.where);
  if (error.cause) add("caused by", errorText(error.cause));
  for (const one of Array.isArray(error.errors) ? error.errors : []) add("with", errorText(one));
  for (const note of Array.isArray(error.notes) ? error.notes : []) add("note:", note);
  if (error.traceback) box.append(longText(String(error.traceback), options.needle, "text trace", TRACE));
  return box;
}

function lines(index) {
  const parts = logged(index).map((event) => {
    const line = make("div", "said-line"), level = levels[event[LEVEL]], text = make("div");
    const { cut, ...told } = event[DATA];
    text.append(longText(event[MESSAGE] === null ? names[event[NAME]] : event[MESSAGE], byId("text").value.trim().toLowerCase()));
    for (const more of [told, event[FIGURES]]) if (Object.keys(more).length) text.append(showValue(more, { cuts: new Cuts(Array.isArray(cut) ? cut : []), rows: 6 }));
    line.append(make("span", "dim number", `+${duration(Math.max(event[AT], 0))}`), make("span", `level-${level}`, level), text);
    return line;
  });
  return parts.length ? [make("h3", "", "logged"), ...parts] : [];
}
