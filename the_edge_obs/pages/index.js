"use strict";
// The rows are in the page; this only chooses and orders them.
(() => {
  const byId = (id) => document.getElementById(id);
  const body = byId("runs").tBodies[0], heads = [...byId("runs").tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({
    row,
    text: `${row.cells[0].textContent} ${row.lastElementChild.textContent}`.toLowerCase(),
    status: row.cells[1].textContent,
    values: [...row.cells].map((cell) => (cell.dataset.value === undefined ? cell.textContent : cell.dataset.value)),
  }));

  // Of many runs, those of the first PAGE rows are in the table, and as many more with each press of the button.
  const PAGE = 300, number = (value) => value.toLocaleString("en");
  let room = PAGE;

  function draw() {
    const text = byId("text").value.trim().toLowerCase(), status = byId("status").value;
    const found = rows.filter((one) => one.text.includes(text) && (!status || one.status === status));
    body.replaceChildren(...found.slice(0, room).map((one) => one.row));
    byId("more").hidden = found.length <= room;
    byId("more").textContent = `show more: ${number(found.length - room)} are left`;
    byId("none").hidden = found.length > 0;
    byId("shown").textContent = found.length === rows.length ? "" : `${number(found.length)} of ${number(rows.length)} runs`;
  }

  function select() {
    room = PAGE;
    draw();
  }

  function sort(place) {
    const head = heads[place], down = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("number");
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const isNumber = head.classList.contains("number") || head.textContent === "started";
    const before = isNumber ? (a, b) => a.values[place] - b.values[place] : (a, b) => a.values[place].localeCompare(b.values[place]);
    rows.sort((a, b) => (down ? -before(a, b) : before(a, b)));
    select();
  }

  heads.forEach((head, place) => head.firstElementChild.addEventListener("click", () => sort(place)));
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
