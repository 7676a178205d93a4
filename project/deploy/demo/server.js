// Requests to the server, and its errors in words. Addresses are relative: the page works at any path.

import { asSentence, formatBytes, isPicture } from "./words.js";

/** An input that cannot be sent; `field` is the element to mend. */
export class InputError extends Error {
  constructor(message, field = null) {
    super(message);
    this.field = field;
  }
}

/** A request without an answer; `status` is 0 if the server was not reached. */
export class RequestError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
    this.mayRetry = status === 0 || status === 429 || status >= 500;
  }
}

/** Return what the server tells of its model. */
export async function fetchModel() {
  const response = await send("model", {}, "");
  return readJson(response);
}

/**
 * Return the prediction of one sample: what the server answered of it, `milliseconds` of the server, and `roundTrip`.
 *
 * `values` has a Blob for each picture and numbers for the others, by name.
 */
export async function predict(model, values, token, signal) {
  if (/[^\x20-\x7e]/.test(token)) throw new InputError("The token has a character that no token can have.");
  const body = makeBody(model, values);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body.type) headers["Content-Type"] = body.type;
  const start = performance.now();
  const response = await send("predict", { method: "POST", body: body.content, headers, signal }, token);
  const answer = await readJson(response);
  if (answer.sha256 !== model.sha256) {
    throw new RequestError("The server has another model since this page was opened. Reload the page.", response.status);
  }
  return { ...answer.predictions[0], milliseconds: answer.milliseconds, roundTrip: performance.now() - start };
}

/** One picture goes as it is, numbers as JSON, and pictures with other inputs as a form. */
function makeBody(model, values) {
  const pictures = Object.values(values).filter(value => value instanceof Blob);
  const size = pictures.reduce((sum, picture) => sum + picture.size, 0);
  if (size > model.limits.body_bytes) {
    const limit = formatBytes(model.limits.body_bytes);
    throw new InputError(`This is ${formatBytes(size)}; the server takes at most ${limit}. Choose a smaller file.`);
  }
  if (!pictures.length) return { content: JSON.stringify(values), type: "application/json" };
  const inputs = Object.entries(model.inputs);
  if (inputs.length === 1) {
    const [picture] = pictures;
    return { content: picture, type: picture.type.startsWith("image/") ? picture.type : "application/octet-stream" };
  }
  const form = new FormData();
  for (const [name, input] of inputs) form.append(name, isPicture(input) ? values[name] : JSON.stringify(values[name]));
  return { content: form };
}

async function send(address, options, token) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The server cannot be reached. Check the connection, and try again.");
  }
  if (!response.ok) throw new RequestError(await explain(response, token), response.status);
  return response;
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The answer of the server did not arrive whole. Try again.");
  }
}

/** Return what went wrong, from the problem details of a response; proxies may answer something else. */
async function explain(response, token) {
  if (response.status === 401) {
    return token ? "The server does not accept this token." : "The server asks for a token: enter it, and press Use.";
  }
  const problem = await response.json().catch(() => ({}));
  const title = `The server answered ${response.status} ${response.statusText}`;
  const detail = asSentence(typeof problem.detail === "string" && problem.detail ? problem.detail : title);
  const seconds = Number(response.headers.get("Retry-After"));
  if (seconds > 0) return `${detail} Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`;
  return detail;
}
