// The nodes of the chosen runs: their figures, and how their durations are distributed.
const BINS = 36, DRAWN = { width: 190, height: 22 };
const [NODE, COUNT, NODE_ERRORS, TOTAL, LONGEST, NODE_TOKENS, NODE_COST, ENDED, FIRST_DURATION] = Array(9).keys();

// Returns the figures of each node. A run has up to 50 durations of a node, each with the weight of the spans that it stands for.
function nodesOf(list) {
  const nodes = new Map();
  for (const run of list) {
    for (const figures of run[FIGURES]) {
      let node = nodes.get(figures[NODE]);
      if (!node) nodes.set(figures[NODE], (node = { node: data.nodes[figures[NODE]], count: 0, errors: 0, total_ms: 0, max_ms: null, tokens: 0, cost_usd: 0, points: [], ended: 0 }));
      node.count += figures[COUNT];
      node.errors += figures[NODE_ERRORS];
      node.total_ms += figures[TOTAL];
      node.tokens += figures[NODE_TOKENS];
      node.cost_usd += figures[NODE_COST];
      node.ended += figures[ENDED];
      if (figures[LONGEST] !== null) node.max_ms = Math.max(node.max_ms || 0, figures[LONGEST]);
      const weight = figures[ENDED] / (figures.length - FIRST_DURATION);
      for (let at = FIRST_DURATION; at < figures.length; at++) node.points.push([figures[at], weight]);
    }
  }
  for (const node of nodes.values()) {
    node.points.sort((a, b) => a[0] - b[0]);
    node.p50_ms = weighted(node, 0.5);
    node.p95_ms = weighted(node, 0.95);
  }
  return [...nodes.values()];
}

function weighted({ points, ended }, share) {
  const rank = Math.ceil(ended * share - 1e-6);
  let passed = 0;
  for (const [ms, weight] of points) if ((passed += weight) >= rank - 1e-6) return ms;
  return points.length ? points[points.length - 1][0] : null;
}

function drawNodeTable(list) {
  const nodes = nodesOf(list), ends = nodes.flatMap(({ points }) => (points.length ? [points[0][0], points[points.length - 1][0]] : [])).filter((ms) => ms > 0);
  const low = 10 ** Math.floor(Math.log10(ends.reduce((least, ms) => Math.min(least, ms), Infinity))), high = 10 ** Math.ceil(Math.log10(ends.reduce((most, ms) => Math.max(most, ms), low * 10)));
  const at = (ms) => Math.min(1, Math.max(0, Math.log10(Math.max(ms, low) / low) / Math.log10(high / low)));
  drawNodes(byId("totals"), nodes, runsOf, "show the runs in which it ran", { head: () => durationHead(low, high, at), cell: (node) => distribution(node, at) });
}

function durationHead(low, high, at) {
  const cell = make("th", "distribution"), picture = svg("svg", { width: DRAWN.width, height: 16, "aria-hidden": true }), decades = Math.round(Math.log10(high / low));
  for (let n = 0; n <= decades; n += Math.ceil(decades / 4)) {
    const ms = low * 10 ** n, x = at(ms) * (DRAWN.width - 2) + 1;
    picture.append(svg("text", { class: "tick", x, y: 12, "text-anchor": n === 0 ? "start" : n === decades ? "end" : "middle" }, ms < 1 ? `${rounded(ms * 1000, 1)} µs` : ms < 1000 ? `${ms} ms` : `${number(ms / 1000)} s`));
  }
  cell.scope = "col";
  if (Number.isFinite(low)) cell.append(picture);
  return cell;
}

function distribution(node, at) {
  const cell = make("td", "distribution"), { width, height } = DRAWN, bins = new Float64Array(BINS);
  for (const [ms, weight] of node.points) bins[Math.min(BINS - 1, Math.floor(at(ms) * BINS))] += weight;
  if (!node.points.length) return cell;
  const most = bins.reduce((top, count) => Math.max(top, count), 0), picture = svg("svg", { width, height, role: "img", "aria-label": `p50 ${duration(node.p50_ms * 1000)}, p95 ${duration(node.p95_ms * 1000)}` });
  picture.append(svg("line", { class: "grid", x1: 0, x2: width, y1: height - 1, y2: height - 1 }));
  bins.forEach((count, bin) => {
    const tall = count ? Math.max(1.5, (height - 3) * Math.sqrt(count / most)) : 0; // the root, so that rare durations are seen
    if (tall) picture.append(svg("rect", { class: "bar middle", x: (bin * width) / BINS, y: height - 1 - tall, width: width / BINS - 0.6, height: tall }));
  });
  for (const [ms, name] of [[node.p50_ms, "p50"], [node.p95_ms, "p95"]]) {
    const x = at(ms) * (width - 2) + 1;
    picture.append(svg("line", { class: name, x1: x, x2: x, y1: 0, y2: height }));
  }
  cell.append(picture);
  return cell;
}

function runsOf(node) {
  chosen.node = data.nodes.indexOf(node);
  turnTo("runs");
  draw();
}
