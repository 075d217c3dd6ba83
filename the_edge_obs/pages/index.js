"use strict";
// The rows are in the page; this only hides and orders them.
(() => {
  const byId = (id) => document.getElementById(id);
  const body = byId("runs").tBodies[0], heads = [...byId("runs").tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({
    row,
    text: `${row.cells[0].textContent} ${row.lastElementChild.textContent}`.toLowerCase(),
    status: row.cells[1].textContent,
    values: [...row.cells].map((cell) => (cell.dataset.value === undefined ? cell.textContent : cell.dataset.value)),
  }));

  function select() {
    const text = byId("text").value.trim().toLowerCase(), status = byId("status").value;
    let shown = 0;
    for (const one of rows) {
      one.row.hidden = !(one.text.includes(text) && (!status || one.status === status));
      if (!one.row.hidden) shown++;
    }
    byId("shown").textContent = shown === rows.length ? "" : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
  }

  function sort(place) {
    const head = heads[place], down = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("number");
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const isNumber = head.classList.contains("number") || head.textContent === "started";
    const before = isNumber ? (a, b) => a.values[place] - b.values[place] : (a, b) => a.values[place].localeCompare(b.values[place]);
    rows.sort((a, b) => (down ? -before(a, b) : before(a, b)));
    body.replaceChildren(...rows.map((one) => one.row));
  }

  heads.forEach((head, place) => head.firstElementChild.addEventListener("click", () => sort(place)));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["text", "status"]) byId(id).addEventListener("input", select);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === byId("text")) return;
    event.preventDefault();
    byId("text").focus();
  });
  select();
})();
