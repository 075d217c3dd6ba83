// A span or the run as Markdown, for a colleague or a model: complete enough to say what happened, and bounded.
const MOST_TEXT = 2_000, MOST_VALUE = 8_000, MOST_TREE = 150, MOST_ERRORS = 10, MOST_LINES = 40, LABEL_WIDTH = 56;

const clipped = (text, most) => (text.length <= most ? text : `${text.slice(0, most)}… (${number(text.length)} characters)`);
const ticks = (text) => (text.match(/`+/g) || []).reduce((most, run) => Math.max(most, run.length), 0);
// A fence is longer than any run of backticks inside, so that no text can end it.
const fenced = (text, language = "") => {
  const fence = "`".repeat(Math.max(3, ticks(text) + 1));
  return `${fence}${language}\n${text}\n${fence}`;
};
const code = (text) => {
  const line = seen(clipped(oneLine(text), 200)), mark = "`".repeat(ticks(line) + 1);
  return mark.length > 1 || !line ? `${mark} ${line} ${mark}` : mark + line + mark;
};
const blockOf = (value, most) => (typeof value === "string" ? fenced(seen(clipped(value, most)), "text") : fenced(seen(clipped(JSON.stringify(value, null, 2), most)), "json"));

function markdownOfError(error) {
  const lines = [fenced(seen(clipped(errorText(error), MOST_TEXT)), "text")];
  if (error.where) lines.push(`raised at ${code(String(error.where))}`);
  if (error.cause) lines.push(`caused by ${code(errorText(error.cause))}`);
  if (error.traceback) {
    const text = String(error.traceback); // its end tells most
    lines.push("", fenced(seen(text.length > MOST_VALUE ? `(${number(text.length)} characters) …${text.slice(-MOST_VALUE)}` : text), "text"));
  }
  return lines;
}

function markdownOfSpan(index, level = "##") {
  const span = spans[index], { input, output, error, rest, cuts } = dataOf(index), node = names[span[NODE]], lines = logged(index);
  const figures = Object.entries(span[METRICS]).map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : asText(value)}`);
  const made = [
    `${level} ${code(span[LABEL])} (${node}): ${statuses[span[STATUS]]}`, "",
    `- in: ${pathOf(index).map(code).join(" / ") || "the top"}`,
    `- start +${duration(span[TIME])}, duration ${took(span) || "unknown: the log has no end"}`,
    ...(figures.length ? [`- ${seen(figures.join(", "))}`] : []),
    `- span ${code(span[ID])}`,
    ...(cuts.length ? [`- cut or redacted: ${clipped(cuts.map(code).join(", "), MOST_TEXT)}`] : []),
  ];
  if (error) made.push("", `${level}# Error`, "", ...markdownOfError(error));
  for (const [title, value] of [["Input", input], ["Output", output], ["Data", Object.keys(rest).length ? rest : undefined]]) {
    if (value !== undefined) made.push("", `${level}# ${title}`, "", blockOf(value, MOST_VALUE));
  }
  if (lines.length) {
    const texts = lines.slice(0, MOST_LINES).map((event) => `+${duration(Math.max(event[AT], 0))} ${levels[event[LEVEL]]} ${clipped(oneLine(said(event)), 300)}`);
    if (lines.length > MOST_LINES) texts.push(`… ${number(lines.length - MOST_LINES)} more`);
    made.push("", `${level}# Logged`, "", fenced(seen(texts.join("\n")), "text"));
  }
  return `${made.join("\n")}\n`;
}

// Returns the spans to list: all of them, or those with errors, those around them, and then the highest in the tree.
function listed() {
  if (spans.length <= MOST_TREE) return spans.map((_, index) => index);
  const kept = new Set();
  const keep = (index) => {
    for (let at = index; at >= 0 && !kept.has(at); at = spans[at][PARENT]) kept.add(at);
  };
  for (const index of errors.slice(0, MOST_ERRORS)) keep(index);
  const byDepth = spans.map((_, index) => index).sort((a, b) => spans[a][DEPTH] - spans[b][DEPTH] || a - b);
  for (const index of byDepth) if (kept.size < MOST_TREE) kept.add(index);
  return [...kept].sort((a, b) => a - b);
}

function markdownOfTree() {
  const rows = listed(), name = (span) => {
    const node = names[span[NODE]], label = seen(oneLine(span[LABEL]));
    return clipped(`${"  ".repeat(Math.min(span[DEPTH], 20))}${label}${label.startsWith(node) ? "" : ` (${node})`}`, 120);
  };
  const tookText = (span) => took(span) || "no end", widest = (text) => rows.reduce((most, index) => Math.max(most, text(spans[index]).length), 0);
  const width = Math.min(LABEL_WIDTH, widest(name)), room = widest(tookText);
  const lines = rows.map((index) => {
    const span = spans[index], error = errors.includes(index) ? errorOf(index) : null;
    return `${name(span).padEnd(width)}  ${tookText(span).padStart(room)}  ${statuses[span[STATUS]]}${error ? `: ${seen(clipped(oneLine(errorText(error)), 200))}` : ""}`;
  });
  if (rows.length < spans.length) lines.push(`… ${number(spans.length - rows.length)} of ${counted(spans.length, "span")} are not listed`);
  return fenced(lines.join("\n"), "text");
}

function markdownOfRun() {
  const { about } = data, shown = errors.slice(0, MOST_ERRORS);
  const made = [
    `# Run ${code(about.name)}: ${about.status}`, "",
    `- flow ${code(about.flow_id)}, started ${about.started}`,
    `- ${about.figures.join(", ")}`,
    ...about.warnings.map((warning) => `- ${warning}`),
    "", "## Tree", "", markdownOfTree(),
  ];
  for (const index of shown) made.push("", markdownOfSpan(index).trimEnd());
  if (errors.length > shown.length) made.push("", `… ${number(errors.length - shown.length)} more spans with errors`);
  return `${made.join("\n")}\n`;
}

// --- the clipboard: pages from disk may not have one ---

async function copy(text, from) {
  const label = (from.dataset.label ||= from.textContent); // it may still say "copied"
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) return offer(text);
  }
  from.textContent = "copied";
  setTimeout(() => (from.textContent = label), 1500);
}

function copyBySelection(text) {
  const field = make("textarea", "aside"), active = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  let isDone = false;
  try {
    isDone = document.execCommand("copy");
  } catch {
    // The text is offered for copying by hand.
  }
  field.remove();
  if (active) active.focus();
  return isDone;
}

function offer(text) {
  const box = make("dialog"), field = make("textarea");
  field.value = text;
  field.readOnly = true;
  box.append(make("p", "", "The browser does not let this page use the clipboard. Copy the text by hand."), field, makeButton("", "close", () => box.close()));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  field.select();
}
