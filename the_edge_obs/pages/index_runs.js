// The runs of a folder as pages/site.py writes them, and which of them the filters choose.
const { runs, statuses } = data;
const [NAME, STATUS, START, STARTED, DURATION, ERRORS, ERROR_TEXT, NODES, TOKENS, COST, FLOW, PAGE, FIGURES] = Array(13).keys();
const ERROR = statuses.indexOf("error");

runs.sort((a, b) => a[START] - b[START]);
const searched = runs.map((run) => `${run[NAME]}\n${run[ERROR_TEXT]}\n${run[FLOW]}`.toLowerCase());
const minuteOf = (run) => run[STARTED].slice(0, 16); // without seconds and zone
const hasErrors = (run) => run[ERRORS] > 0 || run[STATUS] === ERROR;

// What is chosen beside the fields: the times from and to, and a node that ran.
const chosen = { times: null, node: -1 };

// Returns the runs that the filters choose, the earliest first.
function select() {
  const text = byId("text").value.trim().toLowerCase(), status = byId("status").value, names = byId("name");
  const name = names && names.value ? namesInOrder[names.value - 1] : null, number = statuses.indexOf(status);
  return runs.filter((run, index) => {
    if (text && !searched[index].includes(text)) return false;
    if (status && (status === "errors" ? !hasErrors(run) : run[STATUS] !== number)) return false;
    if (name !== null && run[NAME] !== name) return false;
    if (chosen.times && (run[START] < chosen.times[0] || run[START] > chosen.times[1])) return false;
    return chosen.node < 0 || run[FIGURES].some((figures) => figures[0] === chosen.node);
  });
}

// Names as they are in the log, in the order of their options, which show them with escapes.
const namesInOrder = data.names;

// Returns the value at a share of an ascending list, by nearest rank, as `tea-obs stats` does.
const rank = (ordered, share) => ordered[Math.max(0, Math.ceil(ordered.length * share) - 1)];
