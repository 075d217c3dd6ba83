"use strict";
// The rows are in the page; this script only filters and sorts them.
(() => {
  const byId = (id) => document.getElementById(id);
  const body = byId("runs").tBodies[0], heads = [...byId("runs").tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({
    row,
    text: `${row.cells[0].textContent} ${row.lastElementChild.textContent}`.toLowerCase(),
    status: row.cells[1].textContent,
    values: [...row.cells].map((cell) => (cell.dataset.value === undefined ? cell.textContent : cell.dataset.value)),
  }));

  // The table shows the first PAGE rows, and PAGE more with each press of the button.
  const PAGE = 300, number = (value) => value.toLocaleString("en");
  let room = PAGE;

  function draw() {
    const text = byId("text").value.trim().toLowerCase(), status = byId("status").value;
    const matches = rows.filter((run) => run.text.includes(text) && (!status || run.status === status));
    body.replaceChildren(...matches.slice(0, room).map((run) => run.row));
    byId("more").hidden = matches.length <= room;
    byId("more").textContent = `show more (${number(matches.length - room)} left)`;
    byId("none").hidden = matches.length > 0;
    byId("shown").textContent = matches.length === rows.length ? "" : `${number(matches.length)} of ${number(rows.length)} runs`;
  }

  function select() {
    room = PAGE;
    draw();
  }

  function sort(column) {
    const head = heads[column], down = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("number");
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const isNumber = head.classList.contains("number") || head.textContent === "started";
    const before = isNumber ? (a, b) => a.values[column] - b.values[column] : (a, b) => a.values[column].localeCompare(b.values[column]);
    rows.sort((a, b) => (down ? -before(a, b) : before(a, b)));
    select();
  }

  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(column)));
  byId("more").addEventListener("click", () => {
    const last = body.rows.length;
    room += PAGE;
    draw();
    body.rows[last].cells[0].firstElementChild.focus();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["text", "status"]) byId(id).addEventListener("input", select);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === byId("text")) return;
    event.preventDefault();
    byId("text").focus();
  });
  select();
})();
