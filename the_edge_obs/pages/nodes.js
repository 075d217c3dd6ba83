// The table of nodes: how often each ran, how long it took, what failed and what it cost.
const NODE_COLUMNS = [["node", "node"], ["count", "count"], ["errors", "errors"], ["total_ms", "total"], ["p50_ms", "p50"], ["p95_ms", "p95"], ["max_ms", "max"], ["tokens", "tokens"], ["cost_usd", "cost"]];
let sorted = ["total_ms", -1];

// Draws the table: of each node its figures, and what ``more`` makes of them for a last column.
function drawNodes(table, nodes, choose, hint, more) {
  const [key, sign] = sorted, head = make("thead"), body = make("tbody"), line = make("tr");
  for (const [column, title] of NODE_COLUMNS) {
    const cell = make("th", column === "node" ? "" : "number"), mark = column === key ? (sign < 0 ? " ↓" : " ↑") : "";
    cell.scope = "col";
    if (column === key) cell.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    cell.append(makeButton("", title + mark, () => {
      sorted = [column, column === key ? -sign : column === "node" ? 1 : -1];
      drawNodes(table, nodes, choose, hint, more);
      [...table.tHead.rows[0].cells].find((head) => head.ariaSort).firstElementChild.focus();
    }));
    line.append(cell);
  }
  if (more) line.append(more.head());
  head.append(line);
  const before = (a, b) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1);
  for (const figures of [...nodes].sort((a, b) => sign * before(a[key], b[key]))) {
    const row = nodeRow(figures, choose, hint);
    if (more) row.append(more.cell(figures));
    body.append(row);
  }
  table.replaceChildren(head, body);
}

function nodeRow(figures, choose, hint) {
  const row = make("tr");
  for (const [column] of NODE_COLUMNS) {
    const value = figures[column], cell = make("td", column === "node" ? "" : "number");
    if (column === "node") {
      const button = makeButton("", seen(value), () => choose(value));
      button.title = hint;
      cell.append(button);
    } else if (column.endsWith("_ms")) cell.textContent = value === null ? "" : duration(value * 1000);
    else if (column === "cost_usd") cell.textContent = value ? dollars(value) : "";
    else cell.textContent = value ? number(value) : "";
    if (column === "errors" && value) cell.classList.add("error");
    if (["total_ms", "max_ms"].includes(column)) cell.classList.add("extra");
    row.append(cell);
  }
  return row;
}
