// The runs over time: a bar for each, or for several that follow each other if there are many. Below the bars stand marks for
// errors, and a second row of bars for the cost.
const PLOT = { left: 56, top: 10, height: 120, marks: 18, axis: 18, costs: 42 }, SLOT = { least: 6, most: 40 };
const LOG_FROM = 40; // the longest run takes so many times the median: short ones would be flat on a linear axis

const svg = (tag, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

let columns = [], cursor = -1, slot = SLOT.most;

function columnsOf(list, most) {
  const size = Math.max(1, Math.ceil(list.length / most));
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => {
    const part = list.slice(at * size, (at + 1) * size), durations = part.map((run) => run[DURATION]).filter((ms) => ms !== null).sort((a, b) => a - b);
    const sum = (field) => part.reduce((total, run) => total + run[field], 0);
    return {
      runs: part,
      middle: durations.length ? rank(durations, 0.5) : null,
      longest: durations.length ? durations[durations.length - 1] : null,
      failed: part.filter((run) => run[STATUS] === ERROR).length,
      handled: part.filter((run) => run[ERRORS] && run[STATUS] !== ERROR).length,
      cost: sum(COST),
      tokens: sum(TOKENS),
    };
  });
}

// Returns the scale of durations: where a value is between 0 and 1, and the ticks.
function durationScale(list) {
  const values = list.map((run) => run[DURATION]).filter((ms) => ms > 0).sort((a, b) => a - b);
  const longest = values.length ? values[values.length - 1] : 1, middle = values.length ? rank(values, 0.5) : 1;
  if (longest <= middle * LOG_FROM) {
    const step = durationStep((longest * 1000) / 4) / 1000, top = Math.ceil(longest / step - 1e-9) * step;
    return { at: (ms) => ms / top, ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, n) => [n * step, tickText(n * step * 1000, step * 1000)]) };
  }
  const low = 10 ** Math.floor(Math.log10(rank(values, 0.01))), decades = Math.ceil(Math.log10(longest / low)), every = Math.ceil(decades / 5);
  const ticks = [];
  for (let n = 0; n <= decades; n += every) ticks.push([low * 10 ** n, tickText(low * 10 ** n * 1000, low * 10 ** n * 1000)]);
  return { at: (ms) => Math.max(0, Math.log10(Math.max(ms, low) / low) / decades), ticks, isLog: true };
}

function drawChart(list) {
  const box = byId("chart"), wide = box.clientWidth - PLOT.left - 8;
  if (wide <= 0) return;
  columns = columnsOf(list, Math.max(1, Math.floor(wide / SLOT.least)));
  slot = Math.min(SLOT.most, wide / Math.max(1, columns.length));
  cursor = -1;
  const second = [["cost", COST, (value) => `$${Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 9 })}`], ["tokens", TOKENS, number]].find(([, field]) => list.some((run) => run[field]));
  const floor = PLOT.top + PLOT.height, end = floor + PLOT.marks + PLOT.axis + (second ? PLOT.costs + 16 : 0);
  const picture = svg("svg", { width: wide + PLOT.left + 8, height: end, role: "img" });
  const scale = durationScale(list), share = columns.reduce((most, column) => Math.max(most, column.failed / column.runs.length), 0);
  picture.append(...yAxis(scale, wide), ...columns.flatMap((column, at) => bars(column, PLOT.left + at * slot, scale, share)), ...xAxis(floor + PLOT.marks + 13, wide));
  if (second) picture.append(...secondRow(second, end, wide));
  picture.append(svg("rect", { id: "cursor", y: 0, height: end, width: Math.max(slot, 2), x: -99 }));
  picture.setAttribute("aria-label", `${counted(list.length, "run")} over time: duration, errors${second ? `, ${second[0]}` : ""}`);
  box.replaceChildren(picture);
  about(-1, list, scale.isLog);
}

function yAxis(scale, wide) {
  return scale.ticks.flatMap(([ms, text]) => {
    const y = PLOT.top + PLOT.height * (1 - scale.at(ms));
    return [svg("line", { class: "grid", x1: PLOT.left, x2: PLOT.left + wide, y1: y, y2: y }), svg("text", { class: "tick", x: PLOT.left - 6, y: y + 4, "text-anchor": "end" }, text)];
  });
}

// The kind of a column: its status, if all its runs have the same.
const kindOf = (column) => (column.runs.length > 1 ? "several" : statuses[column.runs[0][STATUS]]);

function bars(column, x, scale, share) {
  const floor = PLOT.top + PLOT.height, width = Math.max(1, slot - (slot > 4 ? 1.5 : 0.3)), kind = kindOf(column);
  const bar = (ms, name) => {
    const height = ms === null ? 5 : Math.max(1.5, PLOT.height * Math.min(1, scale.at(ms)));
    return svg("rect", { class: `bar ${name}${ms === null ? " open" : ""}`, x, y: floor - height, width, height });
  };
  const made = kind === "several" ? [bar(column.longest, "most"), bar(column.middle, "middle")] : [bar(column.middle, kind)];
  const centre = x + width / 2, y = floor + 9, size = Math.min(4, Math.max(2, width / 2));
  if (column.failed && kind === "several") { // the larger their share, the taller
    const height = Math.max(3, (PLOT.marks - 2) * (column.failed / column.runs.length / share));
    made.push(svg("rect", { class: "mark failed-share", x, y: floor + 2, width, height }));
  } else if (column.failed) made.push(svg("path", { class: "mark cross", d: `M${centre - size} ${y - size}L${centre + size} ${y + size}M${centre - size} ${y + size}L${centre + size} ${y - size}` }));
  else if (column.handled) made.push(svg("path", { class: "mark triangle", d: `M${centre} ${y - size}L${centre + size} ${y + size}L${centre - size} ${y + size}Z` }));
  return made;
}

// The runs are spaced evenly, so that those of a busy minute can be told apart: a tick says when its run started.
function xAxis(y, wide) {
  const every = Math.max(1, Math.ceil(96 / slot)), made = [];
  for (let at = 0; at < columns.length; at += every) {
    const x = PLOT.left + at * slot;
    if (x > PLOT.left && x + 80 > PLOT.left + wide) break;
    made.push(svg("line", { class: "grid", x1: x, x2: x, y1: PLOT.top + PLOT.height, y2: y }), svg("text", { class: "tick", x: x + 3, y }, columns[at].runs[0][STARTED].slice(5, 16)));
  }
  return made;
}

function secondRow([name, , text], end, wide) {
  const most = columns.reduce((top, column) => Math.max(top, column[name]), 0), step = roundStep(most / 2), top = Math.ceil(most / step - 1e-9) * step;
  const made = [0, top].flatMap((value) => {
    const y = end - 4 - (PLOT.costs - 4) * (value / top);
    return [svg("line", { class: "grid", x1: PLOT.left, x2: PLOT.left + wide, y1: y, y2: y }), svg("text", { class: "tick", x: PLOT.left - 6, y: value ? y + 4 : y, "text-anchor": "end" }, value ? text(value) : name)];
  });
  for (const [at, column] of columns.entries()) {
    const height = (PLOT.costs - 4) * (column[name] / top);
    if (height > 0) made.push(svg("rect", { class: "bar cost", x: PLOT.left + at * slot, y: end - 4 - Math.max(1, height), width: Math.max(1, slot - (slot > 4 ? 1.5 : 0.3)), height: Math.max(1, height) }));
  }
  return made;
}

// Says what a column is, or what all of them are.
function about(at, list, isLog) {
  const line = byId("about"), column = columns[at];
  if (list) line.dataset.all = legend(list, isLog);
  if (!column) {
    line.textContent = line.dataset.all;
    return;
  }
  const parts = column.runs.length === 1 ? aboutRun(column.runs[0]) : aboutRuns(column);
  line.textContent = [...parts, column.cost ? dollars(column.cost) : ""].filter(Boolean).join(" · ");
}

function aboutRun(run) {
  const error = run[ERROR_TEXT] ? seen(oneLine(run[ERROR_TEXT])) : run[ERRORS] ? counted(run[ERRORS], "error") : "";
  return [seen(run[NAME]), statuses[run[STATUS]], run[STARTED], run[DURATION] === null ? "no end" : duration(run[DURATION] * 1000), error];
}

function aboutRuns({ runs, middle, longest, failed, handled }) {
  return [
    counted(runs.length, "run"),
    `${minuteOf(runs[0])} to ${minuteOf(runs[runs.length - 1])}`,
    middle === null ? "" : `median ${duration(middle * 1000)}, longest ${duration(longest * 1000)}`,
    failed ? `${number(failed)} failed` : "",
    handled ? `${number(handled)} with handled errors` : "",
  ];
}

function legend(list, isLog) {
  if (!list.length) return "";
  const several = columns.some((column) => column.runs.length > 1), size = columns[0].runs.length;
  return [
    several ? `a bar is up to ${number(size)} runs: dark their median duration, light the longest` : "a bar is a run, its height the duration",
    isLog ? "logarithmic axis" : "",
    list.some((run) => run[STATUS] === ERROR) ? (several ? "red below: the share that failed" : "✗ failed") : "",
    list.some((run) => run[ERRORS] && run[STATUS] !== ERROR) ? "△ errors that were handled" : "",
  ].filter(Boolean).join(" · ");
}

function pointAt(at) {
  cursor = Math.max(-1, Math.min(columns.length - 1, at));
  const mark = byId("cursor");
  if (mark) mark.setAttribute("x", cursor < 0 ? -99 : PLOT.left + cursor * slot);
  about(cursor);
}

const columnAt = (event) => {
  const at = Math.floor((event.clientX - byId("chart").getBoundingClientRect().left - PLOT.left) / slot);
  return at >= 0 && at < columns.length ? at : -1;
};
