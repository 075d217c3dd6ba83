// The page of a run: views, keys, and what is drawn first.
const jump = byId("jump");
jump.textContent = errors.length ? "first error ↓" : "no errors";
jump.disabled = !errors.length;
function toError(by) {
  if (!errors.length) return;
  const found = by > 0 ? errors.find((index) => index > chosen) : errors.filter((index) => index < chosen).pop();
  choose(found === undefined ? errors[by > 0 ? 0 : errors.length - 1] : found, true);
  jump.textContent = errors.length > 1 ? "next error ↓" : "first error ↓";
}
jump.addEventListener("click", () => toError(1));

const views = ["tree", "events", "nodes"];
const shownView = () => views.find((view) => !byId(view).hidden);
function turnTo(view, focus) {
  for (const other of views) {
    const tab = byId(`tab-${other}`);
    byId(other).hidden = other !== view;
    tab.setAttribute("aria-selected", other === view);
    tab.tabIndex = other === view ? 0 : -1;
  }
  byId("filters").hidden = view === "nodes";
  if (focus) byId(`tab-${view}`).focus();
  select();
}
for (const [place, view] of views.entries()) {
  byId(`tab-${view}`).addEventListener("click", () => turnTo(view));
  byId(`tab-${view}`).addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) turnTo(views[(place + by + views.length) % views.length], true);
  });
}

function showNode(node) {
  clearFilters();
  byId("node").value = node;
  turnTo("tree");
}

const share = byId("share");
share.addEventListener("click", () => copy(markdownOfRun(), share));

const typing = (element) => ["INPUT", "SELECT", "TEXTAREA"].includes(element.tagName);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (document.querySelector("dialog[open]")) return undefined;
    if (!typing(event.target) && !byId("details").hidden) return hideDetails();
    if (wanted()) clearFilters();
    return byId(shownView() === "events" ? "event-rows" : "rows").focus();
  }
  if (typing(event.target)) return;
  const rows = shownView() === "events" ? list : tree;
  if (event.target === document.body || event.target === rows.box) rows.press(event);
  const keys = {
    "/": () => byId("text").focus(), e: () => toError(1), E: () => toError(-1), z: zoom, "?": () => byId("help").click(),
    c: () => (byId("details").hidden ? copy(markdownOfRun(), share) : copy(markdownOfSpan(chosen), share)), w: () => document.querySelector("main").classList.toggle("wide"),
    1: () => turnTo("tree"), 2: () => turnTo("events"), 3: () => turnTo("nodes"),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
byId("help").addEventListener("click", () => {
  byId("keys").hidden = !byId("keys").hidden;
  byId("help").setAttribute("aria-expanded", !byId("keys").hidden);
});
byId("theme").addEventListener("click", () => {
  switchTheme();
  paintLanes();
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
for (const field of fields) field.addEventListener("input", select);
byId("text").addEventListener("input", () => {
  if (chosen >= 0 && !byId("details").hidden) details(chosen); // with what is searched for marked, and opened
});

function fromLink() {
  const id = decodeURIComponent(location.hash.replace(/^#span=/, "")), index = spans.findIndex((span) => span[ID] === id);
  if (index >= 0 && index !== chosen) choose(index, true);
}
addEventListener("hashchange", fromLink);

new ResizeObserver(drawAxis).observe(byId("axis"));
new ResizeObserver(paintLanes).observe(byId("tree"));
drawAxis();
drawNodes(byId("totals"), data.nodes, showNode, "show its spans");
select();
fromLink();
