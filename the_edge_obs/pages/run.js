"use strict";
// Rows are created as they scroll into view. Data from the log is only inserted as text, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

  const data = JSON.parse(byId("data").textContent);
  const { spans, events, names, types, span_types, levels, statuses } = data;
  const [ID, PARENT, NODE, STEP, LABEL, STATUS, TIME, LENGTH, LANE, DEPTH, DURATION, METRICS, START_LOST] = Array(13).keys();
  const [SPAN, NAME, TYPE, LEVEL, AT, MESSAGE, DATA, FIGURES] = Array(8).keys();
  const ERROR = statuses.indexOf("error"), ERROR_LEVEL = levels.indexOf("error");
  const HEIGHT = 26, SPARE = 10, DEEPEST = 14;

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const number = (value) => value.toLocaleString("en");
  const one = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
  const duration = (micros) => {
    const ms = micros / 1000, seconds = ms / 1000;
    if (ms < 999.95) return `${ms.toFixed(ms < 9.995 ? 2 : 1)} ms`;
    if (seconds < 59.995) return `${seconds.toFixed(2)} s`;
    const minutes = Math.floor(Math.round(seconds) / 60);
    return minutes < 60 ? `${minutes} min ${Math.round(seconds) % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const took = (span) => (span[DURATION] === null ? "" : duration(span[DURATION] * 1000));
  const shownValue = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

  // --- events by span, and spans by parent ---

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

  // --- lists that create their rows as needed ---

  class List {
    constructor(box, row, key) {
      Object.assign(this, { box, row, key, body: box.firstElementChild, items: [], chosen: -1, prefix: box.id });
      box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
      new ResizeObserver(() => this.draw()).observe(box);
    }
    press(event) {
      const page = Math.max(1, Math.floor(this.box.clientHeight / HEIGHT) - 1);
      const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.items.length, End: this.items.length };
      if (event.key in moves) this.step(moves[event.key]);
      else if (!this.key(event.key)) return;
      event.preventDefault();
    }
    show(items, none) {
      this.items = items;
      this.body.style.height = `${items.length * HEIGHT}px`;
      this.box.setAttribute("aria-rowcount", items.length);
      this.box.querySelector(".none")?.remove();
      if (!items.length) this.box.append(make("p", "none", none));
      this.draw();
    }
    draw() {
      const { box, items } = this;
      const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - SPARE);
      const to = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + SPARE);
      const made = [];
      for (let place = from; place < to; place++) {
        const element = this.row(items[place]);
        element.id = `${this.prefix}-${items[place]}`;
        element.style.top = `${place * HEIGHT}px`;
        element.setAttribute("role", "row");
        element.setAttribute("aria-rowindex", place + 1);
        element.setAttribute("aria-selected", items[place] === this.chosen);
        for (const cell of element.children) cell.setAttribute("role", "gridcell");
        made.push(element);
      }
      this.body.replaceChildren(...made);
      const active = byId(`${this.prefix}-${this.chosen}`);
      if (active) box.setAttribute("aria-activedescendant", active.id);
      else box.removeAttribute("aria-activedescendant");
    }
    choose(item) {
      this.chosen = item;
      const place = this.items.indexOf(item), top = place * HEIGHT, { box } = this;
      if (place >= 0 && top < box.scrollTop) box.scrollTop = top;
      else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
      this.draw();
    }
    step(by) {
      const { items } = this, at = items.indexOf(this.chosen);
      if (items.length) this.pick(items[Math.max(0, Math.min(items.length - 1, at < 0 ? (by < 0 ? items.length - 1 : 0) : at + by))]);
    }
  }

  // --- the tree on its time line ---

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
    const label = make("span", "label", span[LABEL]);
    label.title = span[LABEL];
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
      const said = make("span", "said", error.message || error.type);
      if (end >= 60) said.classList.add("before");
      said.style.left = end < 60 ? `${end}%` : 0;
      said.style.right = end < 60 ? 0 : `${100 - start}%`;
      cell.append(said);
    }
    return cell;
  }

  function errorOf(index) {
    const event = own(index).find((event) => event[DATA].error && types[event[TYPE]] === "error");
    return event ? event[DATA].error : null;
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

  function drawAxis() {
    const axis = byId("axis"), count = Math.max(1, Math.min(5, Math.floor(axis.clientWidth / 72)));
    root.style.setProperty("--tick", `${100 / count}%`);
    const ticks = Array.from({ length: count }, (_, place) => {
      const tick = make("span", "", duration(range[0] + ((range[1] - range[0]) * place) / count).replace(/^0\.00 ms$/, "0"));
      tick.style.left = `${(100 * place) / count}%`;
      return tick;
    });
    axis.replaceChildren(...ticks);
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

  // --- the overview: spans that ran in parallel are in separate rows ---

  const rowOf = new Uint32Array(spans.length);
  const laneRows = (() => {
    const inner = new Uint32Array(spans.length), deep = [];
    spans.forEach((span, index) => {
      const parent = spans[span[PARENT]];
      const inside = parent && parent[LANE] === span[LANE] && span[TIME] <= parent[TIME] + parent[LENGTH];
      inner[index] = inside ? inner[span[PARENT]] + 1 : 0;
      deep[span[LANE]] = Math.max(deep[span[LANE]] || 0, inner[index] + 1);
    });
    let total = 0;
    const offsets = deep.map((rows) => (total += rows || 0) - (rows || 0));
    spans.forEach((span, index) => (rowOf[index] = offsets[span[LANE]] + inner[index]));
    return total;
  })();

  // Painted once per size and theme, as 50,000 spans take a while; only the frames on top of it change.
  const picture = document.createElement("canvas");
  function paintLanes() {
    const canvas = byId("lanes"), wide = canvas.clientWidth, ratio = devicePixelRatio || 1;
    const high = Math.round(Math.min(Math.max(laneRows * 7, 14), innerHeight * 0.18, 130)), step = high / Math.max(laneRows, 1);
    canvas.style.height = `${high}px`;
    canvas.width = picture.width = wide * ratio;
    canvas.height = picture.height = high * ratio;
    const pen = picture.getContext("2d"), style = getComputedStyle(root), scale = wide / Math.max(data.end, 1);
    const colours = statuses.map((status) => style.getPropertyValue(`--${status}`)), light = style.getPropertyValue("--around");
    pen.scale(ratio, ratio);
    spans.forEach((span, index) => {
      pen.fillStyle = span[STATUS] === 0 && parents[index] ? light : colours[span[STATUS]];
      pen.fillRect(span[TIME] * scale, rowOf[index] * step, Math.max(span[LENGTH] * scale, 1), Math.max(step - (step > 3 ? 1 : 0), 0.5));
    });
    drawLanes();
  }

  function drawLanes() {
    const canvas = byId("lanes"), pen = canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    const wide = canvas.width / ratio, high = canvas.height / ratio, scale = wide / Math.max(data.end, 1), step = high / Math.max(laneRows, 1);
    if (!canvas.width) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0);
    pen.scale(ratio, ratio);
    pen.strokeStyle = getComputedStyle(root).getPropertyValue("--text");
    if (range[0] > 0 || range[1] < data.end) pen.strokeRect(range[0] * scale, 0.5, (range[1] - range[0]) * scale, high - 1);
    if (spans[chosen]) pen.strokeRect(spans[chosen][TIME] * scale, rowOf[chosen] * step, Math.max(spans[chosen][LENGTH] * scale, 2), step);
  }

  byId("lanes").addEventListener("click", (event) => {
    const box = event.target.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * Math.max(data.end, 1);
    const row = Math.floor(((event.clientY - box.top) / box.height) * laneRows), near = (3 / box.width) * data.end;
    let found = -1;
    spans.forEach((span, index) => {
      if (span[TIME] - near <= at && at <= span[TIME] + span[LENGTH] + near && rowOf[index] <= row && (found < 0 || rowOf[index] >= rowOf[found])) found = index;
    });
    if (found >= 0) choose(found, true);
  });

  // --- events ---

  function eventRow(index) {
    const event = events[index], level = levels[event[LEVEL]], row = make("div", "row");
    row.append(
      make("div", "number dim", `+${duration(Math.max(event[AT], 0))}`),
      make("div", `level-${level}`, level),
      make("div", "", nameOf(event)),
      make("div", "dim", types[event[TYPE]]),
      make("div", "", said(event)),
    );
    row.addEventListener("click", () => list.pick(index));
    return row;
  }

  function nameOf(event) {
    const span = spans[event[SPAN]];
    return span && names[span[NODE]] === names[event[NAME]] ? span[LABEL] : names[event[NAME]];
  }

  function said(event) {
    const { error, input, output } = event[DATA];
    if (event[MESSAGE] !== null) return event[MESSAGE];
    if (error) return `${error.type}: ${error.message}`;
    const value = input !== undefined ? input : output !== undefined ? output : event[DATA];
    return typeof value === "string" ? value.slice(0, 400) : JSON.stringify(value).slice(0, 400);
  }

  const list = new List(byId("event-rows"), eventRow, (key) => key === "Enter" && (byId("details").focus(), true));
  list.pick = (index) => {
    list.choose(index);
    if (events[index][SPAN] >= 0) choose(events[index][SPAN]);
  };

  // --- filters ---

  const texts = new Array(events.length);
  const textOf = (place) => {
    if (texts[place] === undefined) {
      const event = events[place];
      texts[place] = `${names[event[NAME]]} ${event[MESSAGE] || ""} ${JSON.stringify(event[DATA])}`.toLowerCase();
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
      byId("shown").textContent = want ? `${number(found.length)} of ${one(events.length, "event")}` : one(events.length, "event");
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
    byId("shown").textContent = want ? `${number(fits)} of ${one(spans.length, "span")}` : one(spans.length, "span");
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

  // --- the selected span ---

  function choose(index, bring) {
    chosen = index;
    for (let parent = spans[index][PARENT]; parent >= 0; parent = spans[parent][PARENT]) if (closed.delete(parent)) bring = true;
    if (bring && shownView() !== "tree") turnTo("tree");
    if (bring) select();
    if (shownView() === "tree" && !tree.items.includes(index)) clearFilters();
    tree.choose(index);
    details(index);
    drawLanes();
    try {
      history.replaceState(null, "", `#span=${spans[index][ID]}`);
    } catch {
      // Some browsers refuse this for pages from disk; the details have the same link.
    }
  }

  function details(index) {
    const span = spans[index], box = byId("details"), told = own(index), path = [];
    for (let parent = span[PARENT]; parent >= 0; parent = spans[parent][PARENT]) path.unshift(spans[parent][LABEL]);
    const top = make("div", "top"), link = make("a", "", "link"), close = make("button", "", "×");
    link.href = `#span=${span[ID]}`;
    link.title = "a link to this span";
    close.type = "button";
    close.setAttribute("aria-label", "close the details");
    close.addEventListener("click", hideDetails);
    top.append(make("h2", "", span[LABEL]), link, close);
    box.replaceChildren(top, make("p", "path dim", path.join(" / ")), facts(span), ...values(told), ...lines(told));
    box.hidden = false;
    box.scrollTop = 0;
  }

  function hideDetails() {
    byId("details").hidden = true;
    byId(shownView() === "events" ? "event-rows" : "rows").focus();
  }

  function facts(span) {
    const table = make("dl"), status = statuses[span[STATUS]];
    const add = (name, text, style) => table.append(make("dt", "", name), make("dd", style, text));
    add("node", names[span[NODE]]);
    if (span[STEP] !== null) add("step", span[STEP]);
    add("status", status + (span[START_LOST] ? ", start lost" : ""), status);
    add("start", `+${duration(span[TIME])}, ${new Date(data.start + span[TIME] / 1000).toLocaleString()}`);
    add("duration", took(span) || "the log has no end");
    for (const [name, value] of Object.entries(span[METRICS])) add(name, typeof value === "number" ? number(value) : shownValue(value));
    add("span", span[ID]);
    return table;
  }

  function values(told) {
    const parts = [], rest = Object.create(null);
    const add = (name, value, style) => parts.push(make("h3", "", name), make("pre", style, shownValue(value)));
    for (const event of told) {
      if (!span_types.includes(types[event[TYPE]])) continue;
      for (const [name, value] of Object.entries(event[DATA])) {
        if (name === "error") add(name, [`${value.type}: ${value.message}`, value.traceback].filter(Boolean).join("\n\n"), "error");
        else if (name === "input" || name === "output") add(name, value);
        else rest[name] = value;
      }
    }
    if (Object.keys(rest).length) add("data", rest);
    return parts;
  }

  function lines(told) {
    const parts = [];
    for (const event of told) {
      if (!["log", "metric"].includes(types[event[TYPE]])) continue;
      const line = make("div", "said-line"), level = levels[event[LEVEL]], text = make("span");
      const figures = Object.keys(event[FIGURES]).length ? event[FIGURES] : null;
      text.append(event[MESSAGE] === null ? names[event[NAME]] : event[MESSAGE]);
      for (const more of [event[DATA], figures]) if (more && Object.keys(more).length) text.append(make("div", "dim", JSON.stringify(more)));
      line.append(make("span", "dim number", `+${duration(Math.max(event[AT], 0))}`), make("span", `level-${level}`, level), text);
      parts.push(line);
    }
    return parts.length ? [make("h3", "", "logged"), ...parts] : [];
  }

  // --- errors, views, keys ---

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

  const NODE_COLUMNS = [["node", "node"], ["count", "count"], ["errors", "errors"], ["total_ms", "total"], ["p50_ms", "p50"], ["p95_ms", "p95"], ["max_ms", "max"], ["tokens", "tokens"], ["cost_usd", "cost"]];
  let sorted = ["total_ms", -1];
  function drawNodes() {
    const [key, sign] = sorted, head = make("thead"), body = make("tbody"), line = make("tr");
    for (const [column, title] of NODE_COLUMNS) {
      const cell = make("th", column === "node" ? "" : "number"), button = make("button", "", title + (column === key ? (sign < 0 ? " ↓" : " ↑") : ""));
      cell.scope = "col";
      button.type = "button";
      if (column === key) cell.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      button.addEventListener("click", () => {
        sorted = [column, column === key ? -sign : column === "node" ? 1 : -1];
        drawNodes();
      });
      cell.append(button);
      line.append(cell);
    }
    head.append(line);
    const before = (a, b) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1);
    for (const figures of [...data.nodes].sort((a, b) => sign * before(a[key], b[key]))) body.append(nodeRow(figures));
    byId("totals").replaceChildren(head, body);
  }

  function nodeRow(figures) {
    const row = make("tr");
    for (const [column] of NODE_COLUMNS) {
      const value = figures[column], cell = make("td", column === "node" ? "" : "number");
      if (column === "node") {
        const button = make("button", "", value);
        button.type = "button";
        button.title = "show its spans";
        button.addEventListener("click", () => {
          clearFilters();
          byId("node").value = value;
          turnTo("tree");
        });
        cell.append(button);
      } else if (column.endsWith("_ms")) cell.textContent = value === null ? "" : duration(value * 1000);
      else if (column === "cost_usd") cell.textContent = value ? `$${value.toPrecision(2)}` : "";
      else cell.textContent = value ? number(value) : "";
      if (column === "errors" && value) cell.classList.add("error");
      row.append(cell);
    }
    return row;
  }

  const typing = (element) => ["INPUT", "SELECT"].includes(element.tagName);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (!typing(event.target) && !byId("details").hidden) return hideDetails();
      if (wanted()) clearFilters();
      return byId(shownView() === "events" ? "event-rows" : "rows").focus();
    }
    if (typing(event.target)) return;
    const rows = shownView() === "events" ? list : tree;
    if (event.target === document.body || event.target === rows.box) rows.press(event);
    const keys = {
      "/": () => byId("text").focus(), e: () => toError(1), E: () => toError(-1), z: zoom, "?": () => byId("help").click(),
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
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    paintLanes();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const field of fields) field.addEventListener("input", select);

  function fromLink() {
    const id = decodeURIComponent(location.hash.replace(/^#span=/, "")), index = spans.findIndex((span) => span[ID] === id);
    if (index >= 0 && index !== chosen) choose(index, true);
  }
  addEventListener("hashchange", fromLink);

  new ResizeObserver(drawAxis).observe(byId("axis"));
  new ResizeObserver(paintLanes).observe(byId("tree"));
  drawAxis();
  drawNodes();
  select();
  fromLink();
})();
