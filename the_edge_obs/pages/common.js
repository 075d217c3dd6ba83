// What all pages use. Data from a log is only inserted as text, never as markup.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const makeButton = (name, text, act) => {
  const element = make("button", name, text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
};

// --- text ---

const number = (value) => value.toLocaleString("en");
const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const dollars = (cost) => (cost >= 1 ? `$${cost.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}` : cost >= 0.0001 ? `$${cost.toFixed(4)}` : `$${Number(cost.toPrecision(1))}`);
const duration = (micros) => {
  const ms = micros / 1000, seconds = ms / 1000;
  if (ms < 999.95) return `${ms.toFixed(ms < 9.995 ? 2 : 1)} ms`;
  if (seconds < 59.995) return `${seconds.toFixed(2)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds) % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};
const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const oneLine = (text) => text.replace(/\s+/g, " ").trim();

// Characters that are invisible, or that change the direction of the text around them: controls, direction marks, zero widths,
// tags, lone surrogates, fillers, variation selectors. They are shown as escapes, as on a terminal.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0e\uffa0\u{e0100}-\u{e01ef}]/gu;
const seen = (text) => text.replace(UNSEEN, (char) => {
  const code = char.codePointAt(0);
  if (char === "\n" || char === "\t") return char;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
});

// --- round steps of an axis ---

const roundStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least * 0.999999);
};
const CLOCK_STEPS = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map((seconds) => seconds * 1e6);
const durationStep = (least) => {
  if (least <= 5e6) return roundStep(least);
  return CLOCK_STEPS.find((step) => step >= least) || roundStep(least / 86400e6) * 86400e6;
};
const rounded = (value, step) => String(Number(value.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)))));
const tickText = (micros, step) => {
  if (!micros) return "0";
  if (micros < 1e6 && step < 1e6) return micros < 1000 ? `${rounded(micros, step)} µs` : `${rounded(micros / 1000, step / 1000)} ms`;
  if (micros < 60e6) return `${rounded(micros / 1e6, step / 1e6)} s`;
  const parts = [], minutes = Math.floor(micros / 60e6 + 1e-9), rest = Math.max(0, micros - minutes * 60e6);
  if (minutes >= 60) parts.push(`${Math.floor(minutes / 60)} h`);
  if (minutes % 60) parts.push(`${minutes % 60} min`);
  if (rounded(rest / 1e6, step / 1e6) !== "0") parts.push(`${rounded(rest / 1e6, step / 1e6)} s`);
  return parts.join(" ");
};
