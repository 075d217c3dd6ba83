// Filters of spans and events.
const texts = new Array(events.length);
const textOf = (place) => {
  if (texts[place] === undefined) {
    const event = events[place];
    // A quote is searched for as it is shown, also in JSON within JSON, as the arguments of tools are. A run
    // of backslashes is read once: without the look behind, the time would be quadratic.
    texts[place] = `${names[event[NAME]]} ${event[MESSAGE] || ""} ${JSON.stringify(event[DATA]).replace(/(?<!\\)(?:\\\\)*\\"/g, '"')}`.toLowerCase();
  }
  return texts[place];
};
// The search texts are prepared while the browser is idle.
const idle = window.requestIdleCallback || ((work) => setTimeout(() => work({ timeRemaining: () => 8 }), 30));
let prepared = 0;
const prepare = (deadline) => {
  while (prepared < events.length && deadline.timeRemaining() > 1) for (const end = Math.min(prepared + 200, events.length); prepared < end; prepared++) textOf(prepared);
  if (prepared < events.length) idle(prepare);
};
idle(prepare);

const fields = ["text", "node", "status", "level"].map(byId);
const glob = (pattern) => new RegExp(`^${pattern.replace(/[\\^$+.()|{}[\]]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "i");

function wanted() {
  const [text, node, status, level] = fields.map((field) => field.value.trim());
  if (!text && !node && !status && !level) return null;
  const pattern = node ? glob(node) : null;
  return { text: text.toLowerCase(), names: pattern && names.map((name) => pattern.test(name)), status: status ? statuses.indexOf(status) : -1, level: level ? levels.indexOf(level) : -1 };
}

function fitsSpan(want, index) {
  const span = spans[index];
  if (want.names && !want.names[span[NODE]]) return false;
  if (want.status >= 0 && span[STATUS] !== want.status) return false;
  if (want.level >= 0 && highest[index] < want.level) return false;
  if (!want.text || span[LABEL].toLowerCase().includes(want.text)) return true;
  for (let place = first[index]; place < first[index + 1]; place++) if (textOf(order[place]).includes(want.text)) return true;
  return false;
}

function fitsEvent(want, index) {
  const event = events[index], span = spans[event[SPAN]];
  if (want.names && !want.names[event[NAME]]) return false;
  if (want.status >= 0 && (!span || span[STATUS] !== want.status)) return false;
  if (want.level >= 0 && event[LEVEL] < want.level) return false;
  return !want.text || textOf(index).includes(want.text) || (span !== undefined && span[LABEL].toLowerCase().includes(want.text));
}

function select() {
  const want = wanted(), view = shownView();
  if (view === "events") {
    const found = [];
    for (let index = 0; index < events.length; index++) if (!want || fitsEvent(want, index)) found.push(index);
    list.show(found, "No event matches the filters. Press Esc to clear them.");
    byId("shown").textContent = want ? `${number(found.length)} of ${counted(events.length, "event")}` : counted(events.length, "event");
    return;
  }
  const fits = want ? spansThatFit(want) : around.fill(0) && spans.length;
  const visible = [];
  for (let index = 0, hidden = Infinity; index < spans.length; index++) {
    if (spans[index][DEPTH] > hidden) continue;
    hidden = Infinity;
    if (want && !around[index]) continue;
    visible.push(index);
    if (!want && closed.has(index)) hidden = spans[index][DEPTH];
  }
  tree.show(visible, "No span matches the filters. Press Esc to clear them.");
  byId("shown").textContent = want ? `${number(fits)} of ${counted(spans.length, "span")}` : counted(spans.length, "span");
}

// Marks matching spans with 1 and the spans around them with 2; parents come before their children.
function spansThatFit(want) {
  let count = 0;
  around.fill(0);
  for (let index = spans.length - 1; index >= 0; index--) {
    if (fitsSpan(want, index)) {
      around[index] = 1;
      count++;
    }
    if (around[index] && spans[index][PARENT] >= 0 && !around[spans[index][PARENT]]) around[spans[index][PARENT]] = 2;
  }
  return count;
}

function clearFilters() {
  for (const field of fields) field.value = "";
  select();
}
