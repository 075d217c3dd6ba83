// The events as a table.
function eventRow(index) {
  const event = events[index], level = levels[event[LEVEL]], row = make("div", "row");
  row.append(
    make("div", "number dim", `+${duration(Math.max(event[AT], 0))}`),
    make("div", `level-${level}`, level),
    make("div", "", seen(nameOf(event))),
    make("div", "dim", seen(types[event[TYPE]])),
    make("div", "", seen(said(event).slice(0, 400))),
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
  if (error) return errorText(error);
  const value = input !== undefined ? input : output !== undefined ? output : event[DATA];
  return typeof value === "string" ? value.slice(0, 400) : JSON.stringify(value).slice(0, 400);
}

const list = new List(byId("event-rows"), eventRow, (key) => key === "Enter" && (byId("details").focus(), true));
list.pick = (index) => {
  list.choose(index);
  if (events[index][SPAN] >= 0) choose(events[index][SPAN]);
};
