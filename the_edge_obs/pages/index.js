// The index of a folder: charts and tables of the runs that the filters choose.
const PAGE_ROWS = 300, VIEWS = ["runs", "nodes"];
const body = byId("runs").tBodies[0], heads = [...byId("runs").tHead.rows[0].cells];
const FIELDS = [NAME, STATUS, START, DURATION, ERRORS, NODES, TOKENS, COST, FLOW]; // of the columns
let room = PAGE_ROWS, order = [START, -1], shown = runs;

function draw() {
  room = PAGE_ROWS;
  shown = select();
  drawChart(shown);
  drawTable();
  byId("shown").textContent = shown.length === runs.length ? "" : `${number(shown.length)} of ${counted(runs.length, "run")}`;
  byId("range").hidden = !chosen.times;
  if (chosen.times && shown.length) byId("range").textContent = `${minuteOf(shown[0])} to ${minuteOf(shown[shown.length - 1])} ×`;
  byId("ran").hidden = chosen.node < 0;
  byId("ran").textContent = chosen.node < 0 ? "" : `ran ${seen(data.nodes[chosen.node])} ×`;
}

// Draws the tables that are shown; on paper, both are.
function drawTable() {
  if (!byId("nodes-panel").hidden) drawNodeTable(shown);
  if (!byId("runs-panel").hidden) drawRuns();
}

function drawRuns() {
  const [field, sign] = order, before = (a, b) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1);
  const listed = [...shown].sort((a, b) => sign * before(a[field], b[field]) || b[START] - a[START]);
  body.replaceChildren(...listed.slice(0, room).map(rowOf));
  byId("more").hidden = listed.length <= room;
  byId("more").textContent = `show more (${number(listed.length - room)} left)`;
  byId("none").hidden = listed.length > 0;
  byId("runs").hidden = !listed.length;
}

function rowOf(run) {
  const row = make("tr"), status = statuses[run[STATUS]], link = make("a", "", seen(run[NAME])), name = make("td", "run");
  link.href = run[PAGE];
  name.append(link);
  if (run[ERROR_TEXT]) {
    const why = make("div", "why", seen(oneLine(run[ERROR_TEXT])));
    why.title = why.textContent;
    name.append(why);
  }
  const cell = (column, text, numeric = true) => make("td", `${column}${numeric ? " number" : ""}`, text);
  const flow = make("td", "flow dim");
  flow.append(make("code", "", seen(run[FLOW])));
  row.append(
    name, cell(`status ${status}`, status, false), cell("started", run[STARTED], false), cell("duration", run[DURATION] === null ? "" : duration(run[DURATION] * 1000)),
    cell(`errors${run[ERRORS] ? " error" : ""}`, run[ERRORS] ? number(run[ERRORS]) : ""), cell("nodes", number(run[NODES])),
    cell("tokens", run[TOKENS] ? number(run[TOKENS]) : ""), cell("cost", run[COST] ? dollars(run[COST]) : ""), flow,
  );
  return row;
}

function sortBy(column) {
  const head = heads[column], isText = [NAME, STATUS, FLOW].includes(FIELDS[column]);
  const down = head.ariaSort ? head.ariaSort === "ascending" : !isText;
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  order = [FIELDS[column], down ? -1 : 1];
  room = PAGE_ROWS;
  drawTable();
}

function turnTo(view, focus) {
  for (const other of VIEWS) {
    const tab = byId(`tab-${other}`);
    byId(`${other}-panel`).hidden = other !== view;
    tab.setAttribute("aria-selected", other === view);
    tab.tabIndex = other === view ? 0 : -1;
  }
  if (focus) byId(`tab-${view}`).focus();
  drawTable();
}

// Opens the run of a column, or shows only its runs.
function open(at) {
  const column = columns[at];
  if (!column) return;
  if (column.runs.length === 1) location.assign(column.runs[0][PAGE]);
  else {
    chosen.times = [column.runs[0][START], column.runs[column.runs.length - 1][START]];
    draw();
  }
}

function reset() {
  if (chosen.times || chosen.node >= 0) Object.assign(chosen, { times: null, node: -1 });
  else for (const field of [byId("text"), byId("status"), byId("name")]) if (field) field.value = "";
  draw();
}

heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));
for (const [place, view] of VIEWS.entries()) {
  byId(`tab-${view}`).addEventListener("click", () => turnTo(view));
  byId(`tab-${view}`).addEventListener("keydown", (event) => ["ArrowRight", "ArrowLeft"].includes(event.key) && turnTo(VIEWS[1 - place], true));
}
byId("more").addEventListener("click", () => {
  const last = body.rows.length;
  room += PAGE_ROWS;
  drawTable();
  body.rows[last].cells[0].firstElementChild.focus();
});
byId("range").addEventListener("click", () => {
  chosen.times = null;
  draw();
});
byId("ran").addEventListener("click", () => {
  chosen.node = -1;
  draw();
});
byId("theme").addEventListener("click", switchTheme);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
for (const field of [byId("text"), byId("status"), byId("name")]) if (field) field.addEventListener("input", draw);
const chart = byId("chart");
chart.addEventListener("mousemove", (event) => pointAt(columnAt(event)));
chart.addEventListener("mouseleave", () => pointAt(-1));
chart.addEventListener("click", (event) => open(columnAt(event)));
chart.addEventListener("keydown", (event) => {
  const to = { ArrowRight: cursor + 1, ArrowLeft: Math.max(0, cursor - 1), Home: 0, End: columns.length - 1 }[event.key];
  if (event.key === "Enter") open(cursor);
  else if (to === undefined) return;
  else pointAt(to);
  event.preventDefault();
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") reset();
  if (event.key !== "/" || event.target === byId("text")) return;
  event.preventDefault();
  byId("text").focus();
});
addEventListener("beforeprint", () => {
  for (const view of VIEWS) byId(`${view}-panel`).hidden = false;
  drawTable();
});
addEventListener("afterprint", () => turnTo(VIEWS.find((view) => byId(`tab-${view}`).ariaSelected === "true")));
new ResizeObserver(() => drawChart(shown)).observe(chart);
draw();
