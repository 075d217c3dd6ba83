// Two runs side by side. Rows are created as they scroll into view. Data from the log is only inserted as text, never as markup.
const rows = data.rows;
const list = byId("list"), body = byId("rows"), details = byId("details"), only = byId("only"), filter = byId("filter");
const HEIGHT = 28, SPARE = 12, DEEPEST = 12;
const MARKS = { added: "+", removed: "-", changed: "~", same: "" };
let visible = [], chosen = -1;

const differs = (row) => row.kind !== "same" || row.moved || row.notable;

// Show matching rows and the rows around them. The parent of a row is the last row before it with a smaller depth.
function select() {
  const text = filter.value.trim().toLowerCase(), keep = new Uint8Array(rows.length), below = [];
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index];
    const fits = (!only.checked || differs(row)) && (!text || row.text.includes(text));
    keep[index] = fits || below[row.depth + 1] ? 1 : 0;
    below.length = row.depth + 1;
    if (keep[index]) below[row.depth] = true;
  }
  visible = [];
  for (let index = 0; index < rows.length; index++) if (keep[index]) visible.push(index);
  list.setAttribute("aria-rowcount", visible.length);
  body.style.height = `${visible.length * HEIGHT}px`;
  byId("shown").textContent = `${visible.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  draw();
}

function cell(row, side, other) {
  const span = row[side];
  if (!span) {
    const none = make("div", "cell none");
    none.setAttribute("role", "gridcell");
    none.setAttribute("aria-label", `not in the ${side} run`);
    return none;
  }
  const box = make("div", "cell");
  box.setAttribute("role", "gridcell");
  const name = make("span", "name", row.label);
  name.title = row.label;
  name.style.setProperty("--depth", Math.min(row.depth, DEEPEST));
  box.append(name);
  if (!row.label.startsWith(span.node)) box.append(make("span", "node", span.node));
  box.append(make("span", `figure${row.notable ? " notable" : ""}`, span.duration));
  const changed = row[other] && row[other].status !== span.status;
  box.append(make("span", `figure status ${span.status}${changed ? " differs" : ""}`, span.status));
  return box;
}

function rowOf(place) {
  const index = visible[place], row = rows[index];
  const element = make("div", `row ${row.kind}${row.moved ? " moved" : ""}`);
  element.id = `row-${index}`;
  element.style.top = `${place * HEIGHT}px`;
  element.setAttribute("role", "row");
  element.setAttribute("aria-rowindex", place + 1);
  element.setAttribute("aria-level", row.depth + 1);
  element.setAttribute("aria-selected", index === chosen);
  const mark = make("div", "mark");
  mark.setAttribute("role", "gridcell");
  mark.append(make("b", "", row.moved && row.kind === "same" ? ">" : MARKS[row.kind]));
  const word = row.kind === "same" ? (row.moved ? "moved" : row.notable ? "time" : "") : row.kind;
  mark.append(make("span", "word", word ? ` ${word}` : ""));
  element.append(mark, cell(row, "old", "new"), cell(row, "new", "old"));
  element.addEventListener("click", () => choose(index));
  return element;
}

function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - SPARE);
  const last = Math.min(visible.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + SPARE);
  const made = [];
  for (let place = first; place < last; place++) made.push(rowOf(place));
  body.replaceChildren(...made);
  if (chosen >= 0 && byId(`row-${chosen}`)) list.setAttribute("aria-activedescendant", `row-${chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

function choose(index) {
  chosen = index;
  const place = visible.indexOf(index), top = place * HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
  draw();
  show(rows[index]);
}

function show(row) {
  const parts = [make("h2", "", row.label), make("p", "dim", row.path.join(" / "))];
  const what = [row.kind === "same" ? "" : row.kind, row.moved ? "moved" : ""].filter(Boolean).join(" and ");
  const detail = row.differences.length ? `: ${row.differences.join(", ")}` : "";
  parts.push(make("p", "", what ? what + detail : row.notable ? "the same, except for the duration" : "no differences"));
  const table = make("table"), head = make("tr");
  for (const text of ["", "old", "new", ""]) head.append(make("th", "", text));
  table.append(head);
  for (const [name, old, now, growth] of row.figures) {
    const line = make("tr", old !== now && row.old && row.new ? "differs" : "");
    line.append(make("th", "", name), ...[old, now, growth].map((text) => make("td", "", text)));
    table.append(line);
  }
  parts.push(table);
  for (const change of row.changes) parts.push(...changeParts(change));
  if (row.more) parts.push(make("p", "dim", `and ${row.more.toLocaleString("en")} more changes`));
  details.replaceChildren(...parts);
  details.scrollTop = 0;
}

function changeParts(change) {
  const parts = [make("h3", "", change.path)];
  const texts = ["old", "new"].map((side) => (side in change ? textOf(change[side], change.path) : null));
  for (const [place, side] of ["old", "new"].entries()) {
    if (texts[place] === null) continue;
    const box = make("div", `value ${side}`);
    box.append(...marked(texts[place], texts[1 - place]));
    parts.push(box);
  }
  return parts;
}

function textOf(value, path) {
  if (path === "error" && value) return [`${value.type}: ${value.message}`, value.traceback].filter(Boolean).join("\n");
  return typeof value === "string" ? value || '""' : JSON.stringify(value, null, 2);
}

// Mark the part of a text that differs, between the beginning and the end that both texts share.
function marked(text, other) {
  if (other === null) return [text];
  let start = 0, end = 0;
  const shortest = Math.min(text.length, other.length);
  while (start < shortest && text[start] === other[start]) start++;
  while (end < shortest - start && text[text.length - 1 - end] === other[other.length - 1 - end]) end++;
  return [text.slice(0, start), make("mark", "", text.slice(start, text.length - end)), text.slice(text.length - end)];
}

function step(by) {
  if (!visible.length) return;
  const at = visible.indexOf(chosen);
  choose(visible[Math.max(0, Math.min(visible.length - 1, at < 0 ? (by < 0 ? visible.length - 1 : 0) : at + by))]);
}

function jump(by) {
  const start = chosen < 0 ? (by > 0 ? -1 : rows.length) : chosen;
  const found = by > 0 ? visible.find((index) => index > start && differs(rows[index]))
    : visible.findLast((index) => index < start && differs(rows[index]));
  if (found !== undefined) choose(found);
}

list.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const page = Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1);
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
  if (event.key in moves) step(moves[event.key]);
  else if (event.key === "Enter") details.focus();
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.target === filter || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n" || event.key === "p") jump(event.key === "n" ? 1 : -1);
  if (event.key === "Escape") list.focus();
});
byId("next").addEventListener("click", () => jump(1));
byId("previous").addEventListener("click", () => jump(-1));
only.addEventListener("change", select);
filter.addEventListener("input", select);
list.addEventListener("scroll", () => requestAnimationFrame(draw));
addEventListener("resize", draw);
for (const row of rows) row.text = `${row.label} ${row.old ? row.old.node : ""} ${row.new ? row.new.node : ""}`.toLowerCase();
select();
// The page opens on the first difference; a difference of duration alone counts only if nothing else differs.
const start = visible.find((index) => rows[index].kind !== "same" || rows[index].moved);
if (start === undefined) jump(1);
else choose(start);
