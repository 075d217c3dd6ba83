// The overview: spans that ran in parallel are in separate rows.
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
