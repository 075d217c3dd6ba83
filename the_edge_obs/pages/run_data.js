// A run: its spans and events as pages/run.py writes them, events by span, and spans by parent.
const { spans, events, names, types, span_types, levels, statuses } = data;
const [ID, PARENT, NODE, STEP, LABEL, STATUS, TIME, LENGTH, LANE, DEPTH, DURATION, METRICS, START_LOST] = Array(13).keys();
const [SPAN, NAME, TYPE, LEVEL, AT, MESSAGE, DATA, FIGURES] = Array(8).keys();
const ERROR = statuses.indexOf("error"), ERROR_LEVEL = levels.indexOf("error");

const order = new Uint32Array(events.length), first = new Uint32Array(spans.length + 1);
const highest = new Int8Array(spans.length).fill(-1), parents = new Uint8Array(spans.length), below = new Uint8Array(spans.length);
for (const event of events) if (event[SPAN] >= 0) first[event[SPAN] + 1]++;
for (let index = 0; index < spans.length; index++) first[index + 1] += first[index];
const next = first.slice();
events.forEach((event, index) => {
  if (event[SPAN] < 0) return;
  order[next[event[SPAN]]++] = index;
  highest[event[SPAN]] = Math.max(highest[event[SPAN]], event[LEVEL]);
});
const own = (index) => Array.from(order.subarray(first[index], first[index + 1]), (place) => events[place]);
for (let index = spans.length - 1; index >= 0; index--) {
  const parent = spans[index][PARENT];
  if (parent < 0) continue;
  parents[parent] = 1;
  if (spans[index][STATUS] === ERROR) below[parent] = 1;
}
const hasLoggedError = (index) => own(index).some((event) => event[LEVEL] === ERROR_LEVEL && types[event[TYPE]] === "log");
// The spans in which errors arose: the spans that an error passed through have it too.
const errors = [];
spans.forEach((span, index) => {
  if ((span[STATUS] === ERROR && !below[index]) || (highest[index] === ERROR_LEVEL && span[STATUS] !== ERROR && hasLoggedError(index))) errors.push(index);
});

const took = (span) => (span[DURATION] === null ? "" : duration(span[DURATION] * 1000));
const errorText = (error) => (error.type && error.message ? `${error.type}: ${error.message}` : error.message || error.type || "");

function errorOf(index) {
  const event = own(index).find((event) => event[DATA].error && types[event[TYPE]] === "error");
  return event ? event[DATA].error : null;
}

// Returns what a span's entry and end hold: input, output and error, all other keys as rest, and the paths of what was cut.
function dataOf(index) {
  const known = { rest: Object.create(null), cuts: [] };
  for (const event of own(index)) {
    if (!span_types.includes(types[event[TYPE]])) continue;
    for (const [name, value] of Object.entries(event[DATA])) {
      if (["input", "output", "error"].includes(name)) known[name] = value;
      else if (name === "cut" && Array.isArray(value)) known.cuts.push(...value.filter((path) => typeof path === "string"));
      else known.rest[name] = value;
    }
  }
  return known;
}

function pathOf(index) {
  const path = [];
  for (let parent = spans[index][PARENT]; parent >= 0; parent = spans[parent][PARENT]) path.unshift(spans[parent][LABEL]);
  return path;
}

const logged = (index) => own(index).filter((event) => ["log", "metric"].includes(types[event[TYPE]]));
