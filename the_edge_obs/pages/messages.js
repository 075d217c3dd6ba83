// Chat messages in the forms in which they are logged: those of OpenAI (chat completions, responses), Anthropic, LangChain, Google,
// OpenTelemetry's gen_ai, and of llm.call. Nothing is drawn here: a message becomes {role, name, path, parts}, and a part is one of
//
//   {kind: "text" | "thinking" | "refusal", text}      {kind: "call", id, name, value}      {kind: "result", id, name, value, failed}
//   {kind: "media", text}                              {kind: "other", value}
//
// each with the path at which it is in the span's data. What is not known is a part of the kind "other", never lost.
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isText = (value) => typeof value === "string";
const firstOf = (object, ...keys) => keys.find((key) => object[key] !== undefined && object[key] !== null);
const parsed = (value) => {
  if (!isText(value) || value.length > 500_000 || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
};

const ROLES = { __proto__: null, human: "user", HumanMessage: "user", ai: "assistant", AIMessage: "assistant", AIMessageChunk: "assistant", SystemMessage: "system", ToolMessage: "tool", model: "assistant" };
const LANGCHAIN = ["human", "ai", "system", "tool", "function", "chat", "developer"];
const MEDIA = /^(image|image_url|input_image|output_image|audio|input_audio|output_audio|video|video_url|input_file|file|document|blob|uri|media|container_upload)$/;
const CALL = /^(tool_use|server_tool_use|mcp_tool_use|tool_call|function_call|custom_tool_call|mcp_call)$/;
const RESULT = /^(tool_result|tool_call_response|function_call_output|custom_tool_call_output|tool_call_output|\w+_tool_result)$/;

// --- parts ---

function textOfPart(part) {
  const key = firstOf(part, "text", "content", "refusal", "thinking", "reasoning");
  return key && isText(part[key]) ? [part[key], key] : null;
}

function mediaText(part) {
  const facts = [part.type || "media"], waiting = [[part, 0]];
  while (waiting.length && facts.length < 6) {
    const [value, depth] = waiting.shift();
    for (const [key, item] of Object.entries(value)) {
      if (isObject(item) && depth < 3) waiting.push([item, depth + 1]);
      else if (!isText(item) || key === "type") continue;
      else if (item.startsWith("data:")) facts.push(`${item.slice(5, 60).split(/[;,]/)[0]}, ${counted(item.length, "character")}`);
      else if (item.length > 200) facts.push(`${key}: ${counted(item.length, "character")}`);
      else facts.push(item);
    }
  }
  return facts.join(", ");
}

function partOf(part, path) {
  if (isText(part)) return { kind: "text", text: part, path };
  if (!isObject(part)) return { kind: "other", value: part, path };
  const type = isText(part.type) ? part.type : "";
  const call = part.functionCall || part.function_call, answer = part.functionResponse || part.function_response;
  if (isObject(call)) return { kind: "call", id: call.id, name: call.name, value: call.args, path };
  if (isObject(answer)) return { kind: "result", id: answer.id, name: answer.name, value: answer.response, path };
  if (CALL.test(type)) return { kind: "call", id: part.call_id || part.id, name: part.name, value: part[firstOf(part, "input", "arguments", "args")], path };
  if (RESULT.test(type)) return { kind: "result", id: part.tool_use_id || part.call_id || part.id, name: part.name, value: part[firstOf(part, "content", "output", "response", "result")], failed: part.is_error === true, path };
  if (/_call$/.test(type)) return { kind: "call", id: part.call_id || part.id, name: type.replace(/_call$/, ""), value: part.action || part.queries || part.input || part.code, path };
  if (MEDIA.test(type) || part.inlineData || part.inline_data || part.fileData || part.file_data) return { kind: "media", text: mediaText(part), path };
  if (type === "reasoning" && Array.isArray(part.summary)) return { kind: "thinking", text: part.summary.map((one) => (isObject(one) && isText(one.text) ? one.text : "")).join("\n"), path };
  const said = textOfPart(part);
  if (!said) return { kind: "other", value: part, path };
  const kind = type === "refusal" ? "refusal" : part.thought === true || /^(thinking|reasoning)/.test(type) ? "thinking" : /^(text|input_text|output_text|summary_text|)$/.test(type) ? "text" : "other";
  return kind === "other" ? { kind, value: part, path } : { kind, text: said[0], path: inside(path, said[1]) };
}

const partsOf = (content, path) => {
  if (content === null || content === undefined || content === "") return [];
  return Array.isArray(content) ? content.map((part, at) => partOf(part, inside(path, at))) : [partOf(content, path)];
};

function callsOf(message, path) {
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls.map((call, at) => [call, inside(inside(path, "tool_calls"), at)]) : [];
  if (isObject(message.function_call)) calls.push([{ function: message.function_call }, inside(path, "function_call")]);
  return calls.map(([call, at]) => {
    if (!isObject(call)) return { kind: "other", value: call, path: at };
    const made = isObject(call.function) ? call.function : isObject(call.custom) ? call.custom : call;
    const key = firstOf(made, "arguments", "input", "args");
    return { kind: "call", id: call.id, name: made.name || call.type, value: key && made[key], path: at, deep: isObject(call.function) ? inside(inside(at, "function"), key || "") : at };
  });
}

// --- messages ---

// Returns the fields of a message that a library has wrapped.
function unwrapped(item) {
  if (item.type === "constructor" && isObject(item.kwargs)) return { role: Array.isArray(item.id) ? item.id[item.id.length - 1] : "", ...item.kwargs };
  if (LANGCHAIN.includes(item.type) && isObject(item.data)) return { role: item.type, ...item.data };
  if (LANGCHAIN.includes(item.type) && item.role === undefined && item.content !== undefined) return { ...item, role: item.type };
  return item;
}

const isPair = (item) => Array.isArray(item) && item.length === 2 && isText(item[0]) && isText(item[1]) && /^(user|human|assistant|ai|system|developer)$/.test(item[0]);

// Returns a message, or null for anything else. LangChain takes a pair of role and text as one, too.
function messageOf(given, path) {
  if (isPair(given)) return { role: ROLES[given[0]] || given[0], path, parts: partsOf(given[1], inside(path, 1)) };
  if (!isObject(given)) return null;
  const item = unwrapped(given), type = isText(item.type) ? item.type : "";
  if (!isText(item.role)) {
    if (!(CALL.test(type) || RESULT.test(type) || /_call$/.test(type) || (type === "reasoning" && "summary" in item))) return null;
    return { role: RESULT.test(type) ? "tool" : "assistant", path, parts: [partOf(item, path)] };
  }
  const key = firstOf(item, "content", "parts");
  if (!key && !callsOf(item, path).length && !("content" in item)) return null;
  const role = ROLES[item.role] || item.role, said = partsOf(item[key], inside(path, key || "content"));
  const thinking = firstOf(item, "reasoning", "reasoning_content");
  const parts = [
    ...(thinking && isText(item[thinking]) ? [{ kind: "thinking", text: item[thinking], path: inside(path, thinking) }] : []),
    ...(role === "tool" || role === "function" ? results(item, key, said, path) : said),
    ...(isText(item.refusal) && item.refusal ? [{ kind: "refusal", text: item.refusal, path: inside(path, "refusal") }] : []),
    ...callsOf(item, path),
  ];
  return { role, name: isText(item.name) ? item.name : undefined, path, parts };
}

// The answer of a tool is one result, unless its parts are results themselves.
function results(item, key, said, path) {
  if (said.some((part) => part.kind === "result")) return said;
  return [{ kind: "result", id: item.tool_call_id || item.id, name: item.name, value: item[key], failed: item.status === "error", path: inside(path, key || "content") }];
}

// Returns the messages of a list, or null if it does not look like one. A text in it says how many items were cut.
function messagesOf(list, path) {
  if (!Array.isArray(list) || !list.length) return null;
  if (list.length === 1 && Array.isArray(list[0]) && !isPair(list[0])) return messagesOf(list[0], inside(path, 0)); // a batch of one
  let known = 0;
  const messages = list.map((item, at) => {
    const message = messageOf(item, inside(path, at));
    if (message) known++;
    return message || { role: "", path: inside(path, at), parts: [partOf(item, inside(path, at))] };
  });
  return known && known * 2 >= list.filter((item) => !isText(item)).length ? messages : null;
}

// --- a span's input and output ---

const LISTS = ["messages", "input", "contents", "prompt", "chat_history"];
const SYSTEM = ["system", "instructions", "system_instruction", "system_prompt"];
const SAID = ["content", "parts", "tool_calls", "function_call", "reasoning", "reasoning_content", "refusal"]; // of a message
const without = (object, ...keys) => Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));

// Returns what a model was asked as {messages, rest, sure}, or null.
function asked(input, path) {
  const list = messagesOf(input, path);
  if (list) return { messages: list, rest: {}, sure: true };
  if (isText(input) && input) return { messages: [{ role: "user", path, parts: partsOf(input, path) }], rest: {}, sure: false };
  if (!isObject(input)) return null;
  const system = firstOf(input, ...SYSTEM);
  const before = system ? [{ role: "system", path: inside(path, system), parts: partsOf(input[system], inside(path, system)) }] : [];
  for (const key of LISTS) {
    const messages = messagesOf(input[key], inside(path, key));
    if (messages) return { messages: [...before, ...messages], rest: without(input, key, system), sure: true };
  }
  const prompt = ["prompt", "input", "question", "query"].find((key) => isText(input[key]) && input[key]);
  if (prompt) return { messages: [...before, { role: "user", path: inside(path, prompt), parts: partsOf(input[prompt], inside(path, prompt)) }], rest: without(input, prompt, system), sure: false };
  const keys = Object.keys(input);
  return keys.length === 1 && isObject(input[keys[0]]) ? asked(input[keys[0]], inside(path, keys[0])) : null;
}

// Returns what a model answered, in the same form.
function answered(output, path) {
  const list = messagesOf(output, path);
  if (list) return { messages: list, rest: {}, sure: true, listed: true };
  if (isText(output) && output) return { messages: [{ role: "assistant", path, parts: partsOf(output, path) }], rest: {}, sure: false };
  if (!isObject(output)) return null;
  for (const key of ["messages", "output"]) {
    const messages = messagesOf(output[key], inside(path, key));
    if (messages) return { messages, rest: without(output, key), sure: true, listed: true };
  }
  for (const [key, inner] of [["choices", "message"], ["candidates", "content"]]) {
    const items = Array.isArray(output[key]) ? output[key] : [];
    const messages = items.map((item, at) => isObject(item) && isObject(item[inner]) && messageOf({ role: "assistant", ...item[inner] }, inside(inside(inside(path, key), at), inner)));
    if (messages.length && messages.every(Boolean)) return { messages, rest: { ...without(output, key), finish_reason: items.map((item) => item.finish_reason || item.finishReason).filter(Boolean).join(", ") || undefined }, sure: true };
  }
  if (isObject(output.message) && messageOf(output.message, path)) return { messages: [messageOf(output.message, inside(path, "message"))], rest: without(output, "message"), sure: true };
  const whole = isText(output.role) ? messageOf(output, path) : null;
  if (whole) return { messages: [whole], rest: without(output, "role", "type", ...SAID), sure: true };
  const key = firstOf(output, "content", "text", "output_text", "answer") || "content";
  const isAnswer = ["finish_reason", "stop_reason", "usage", "tool_calls", "model"].some((name) => output[name] !== undefined);
  if (!isText(output[key]) && !Array.isArray(output[key]) && !Array.isArray(output.tool_calls)) return null;
  const message = messageOf({ ...output, role: "assistant", content: output[key] }, path);
  for (const part of message.parts) if (key !== "content") part.path = part.path.replace(inside(path, "content"), inside(path, key));
  return { messages: [message], rest: without(output, key, "role", "type", ...SAID), sure: isAnswer };
}

// Returns {given, answer} with what is a conversation in a span's input and output, or null. One side that is surely one is enough, or
// a node of a model: a text alone may be anything.
function conversation(node, input, output) {
  const given = asked(input, "input"), answer = answered(output, "output");
  const isModel = /^(llm|chat|model|completion)\b/.test(node);
  const isGiven = given && (given.sure || isModel || (answer && answer.sure && !answer.listed));
  const isAnswer = answer && (answer.sure || isModel || (given && given.sure));
  if (!isGiven && !isAnswer) return null;
  if (isGiven && isAnswer && answer.listed) answer.messages = withoutRepeats(given.messages, answer.messages);
  return { given: isGiven ? given : null, answer: isAnswer ? answer : null };
}

// An agent's answer often begins with the messages that it was given.
function withoutRepeats(given, answer) {
  const key = (message) => JSON.stringify(message, (name, value) => (["path", "deep", "id"].includes(name) ? undefined : value));
  return given.length < answer.length && given.every((message, at) => key(message) === key(answer[at])) ? answer.slice(given.length) : answer;
}
