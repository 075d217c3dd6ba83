// The tree on its time line.
const DEEPEST = 14;

const closed = new Set();
let range = [0, Math.max(data.end, 1)], around = new Uint8Array(spans.length), chosen = -1;
const percent = (micros) => ((micros - range[0]) / (range[1] - range[0])) * 100;

function spanRow(index) {
  const span = spans[index], status = statuses[span[STATUS]];
  const row = make("div", `row${span[STATUS] === ERROR ? " failed" : ""}${around[index] === 2 ? " around" : ""}`);
  row.setAttribute("aria-level", span[DEPTH] + 1);
  if (parents[index]) row.setAttribute("aria-expanded", !closed.has(index));
  const name = make("div", "name"), twist = make("span", "twist", parents[index] ? (closed.has(index) ? "▸" : "▾") : "");
  name.style.setProperty("--depth", Math.min(span[DEPTH], DEEPEST));
  twist.addEventListener("click", (event) => {
    if (!parents[index]) return;
    event.stopPropagation();
    toggle(index);
  });
  const label = make("span", "label", seen(span[LABEL]));
  label.title = label.textContent;
  name.append(twist, label);
  if (span[STEP] !== null || !span[LABEL].startsWith(names[span[NODE]])) name.append(make("span", "node", names[span[NODE]]));
  const tokens = span[METRICS].tokens;
  row.append(
    name,
    bar(index),
    make("div", "number", took(span)),
    make("div", "number tokens", typeof tokens === "number" && tokens ? number(tokens) : ""),
    make("div", `status ${status}`, status + (span[START_LOST] ? " *" : "")),
  );
  if (span[START_LOST]) row.lastChild.title = "the log lacks its start";
  row.addEventListener("click", () => choose(index));
  row.addEventListener("dblclick", () => toggle(index));
  return row;
}

function bar(index) {
  const span = spans[index], cell = make("div", "time");
  const start = Math.max(percent(span[TIME]), -1), end = Math.min(percent(span[TIME] + span[LENGTH]), 101);
  if (end < 0 || start > 100) return cell;
  const piece = make("span", `span ${statuses[span[STATUS]]}${parents[index] ? " wide" : ""}`);
  piece.style.left = `min(${start}%, calc(100% - 2px))`;
  piece.style.width = `${Math.max(end - start, 0)}%`;
  cell.append(piece);
  const error = span[STATUS] === ERROR && !below[index] ? errorOf(index) : null;
  if (error) {
    const label = make("span", "said", seen(oneLine(errorText(error).slice(0, 400))));
    const room = [100 - end, start, end - start], side = room[0] >= 40 ? 0 : room.indexOf(Math.max(...room));
    label.classList.add(["after", "before", "within"][side]);
    label.style.left = `${[end, 0, Math.max(start, 0)][side]}%`;
    label.style.right = `${[0, 100 - start, Math.max(100 - end, 0)][side]}%`;
    cell.append(label);
  }
  return cell;
}

function toggle(index, close = !closed.has(index)) {
  if (!parents[index] || close === closed.has(index)) return false;
  if (close) closed.add(index);
  else closed.delete(index);
  select();
  return true;
}

const tree = new List(byId("rows"), spanRow, (key) => {
  if (chosen < 0) return false;
  if (key === "ArrowLeft") {
    if (!toggle(chosen, true) && spans[chosen][PARENT] >= 0) choose(spans[chosen][PARENT]);
  } else if (key === "ArrowRight") {
    if (!toggle(chosen, false) && parents[chosen]) tree.step(1);
  } else if (key === "Enter") byId("details").focus();
  else return false;
  return true;
});
tree.pick = (index) => choose(index);

const labelWidth = (micros, step) => 8 + 7 * tickText(Math.round(micros / step) * step, step).length; // pixels, about

function drawAxis() {
  const axis = byId("axis"), wide = axis.clientWidth, size = range[1] - range[0];
  if (!wide) return;
  const [narrow, loose] = [58, 104].map((room) => durationStep(size / Math.max(1, Math.min(8, wide / room))));
  const step = labelWidth(range[1], narrow) < (narrow / size) * wide ? narrow : loose, from = Math.max(0, Math.ceil(range[0] / step));
  root.style.setProperty("--tick", `${(step / size) * wide}px`);
  root.style.setProperty("--first-tick", `${((from * step - range[0]) / size) * wide}px`);
  const marks = [];
  for (let at = from; at * step < range[1] - size * 1e-9; at++) {
    const text = tickText(at * step, step), left = percent(at * step);
    const mark = make("span", "", left + (labelWidth(at * step, step) / wide) * 100 < 100 || !marks.length ? text : ""); // if it has room
    mark.style.left = `${left}%`;
    marks.push(mark);
  }
  axis.replaceChildren(...marks);
}

function zoom() {
  const whole = [0, Math.max(data.end, 1)], isWhole = range[0] === whole[0] && range[1] === whole[1];
  const span = spans[chosen];
  if (isWhole && span && span[LENGTH] > 0) range = [span[TIME] - span[LENGTH] * 0.02, span[TIME] + span[LENGTH] * 1.02];
  else range = whole;
  drawAxis();
  tree.draw();
  drawLanes();
}
