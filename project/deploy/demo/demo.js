// The demo page, made from what the server tells of its model. Read this file first.

import { describePrediction, makeAnswers } from "./answers.js";
import { drawMaps } from "./class_map.js";
import { at, make, removeChildren, showText } from "./dom.js";
import { describeOrigin, describeTask } from "./header.js";
import { NumberInput } from "./number_input.js";
import { PictureInput } from "./picture_input.js";
import { InputError, RequestError, fetchModel, predict } from "./server.js";
import { readToken, writeToken } from "./token.js";
import { formatTime, isPicture } from "./words.js";

const DELAY = 120; // milliseconds after a stroke, in which the next one may begin
const SECOND = 1000; // milliseconds

/** The form, the request that is under way, and the answer that is shown. */
class Demo {
  constructor(model) {
    this.model = model;
    this.token = readToken();
    this.request = null; // AbortController of the newest request: its answer is the only one that is shown
    this.timer = 0; // until a drawing is sent
    this.clock = 0; // of the seconds that an answer takes
    const names = Object.keys(model.inputs);
    const pictures = names.filter(name => isPicture(model.inputs[name]));
    this.isImmediate = names.length === 1 && pictures.length === 1; // a picture alone is sent without a button
    this.inputs = names.map(name => this.makeInput(name, pictures.indexOf(name)));
    this.pictures = this.inputs.filter(input => input instanceof PictureInput);
  }

  makeInput(name, number) {
    const onEdit = () => this.forget();
    const onReady = () => this.isImmediate && this.submitSoon();
    if (!isPicture(this.model.inputs[name])) return new NumberInput(name, this.model, { onEdit });
    return new PictureInput(name, this.model, { suffix: number ? `-${number + 1}` : "", onEdit, onReady });
  }

  show() {
    describeTask(this.model);
    describeOrigin(this.model);
    at("inputs").prepend(...this.inputs.map(input => input.element));
    at("predict").hidden = this.isImmediate;
    at("token-form").hidden = !this.model.needs_token;
    at("token").value = this.token;
    for (const id of ["given", "result", "about"]) at(id).hidden = false;
    this.forget();
    this.listen();
  }

  listen() {
    for (const id of ["inputs", "token-form"]) at(id).addEventListener("submit", event => event.preventDefault());
    at("inputs").addEventListener("submit", () => this.submit());
    at("retry").addEventListener("click", () => this.submit());
    at("token-form").addEventListener("submit", () => this.useToken());
    document.addEventListener("paste", event => this.takeFiles(event, event.clipboardData));
    document.addEventListener("dragover", event => event.preventDefault());
    document.addEventListener("drop", event => {
      event.preventDefault(); // the browser would show the file in place of the page
      this.takeFiles(event, event.dataTransfer);
    });
  }

  useToken() {
    this.token = at("token").value.trim();
    writeToken(this.token);
    this.forget();
    if (this.pictures.every(input => input.file)) this.submit();
    else at("status").textContent = "The token will be sent with the next request.";
  }

  /** Give what was dropped or pasted to the input at that place, or else to the first one without a picture. */
  takeFiles(event, transfer) {
    const files = [...transfer.files];
    if (!this.pictures.length) return;
    if (!files.length) {
      if (event.type === "drop") showError("Only files can be dropped here. Save the picture, and drop its file.");
      return;
    }
    event.preventDefault();
    const target = this.pictures.find(input => input.element.contains(event.target));
    const isEmpty = input => !input.file && !input.isReading;
    if (files.length > 1 && this.pictures.length > 1) {
      this.pictures.forEach((input, index) => input.take(files.slice(index, index + 1))); // a file for each input
    } else {
      (target ?? this.pictures.find(isEmpty) ?? this.pictures[0]).take(files);
    }
  }

  /** Remove the answer, because the input has changed; one that is under way will not be shown either. */
  forget() {
    this.request?.abort();
    this.request = null;
    clearTimeout(this.timer);
    // The next answer is mostly as high as this one: the page does not jump in between.
    at("result").style.setProperty("--held", `${at("result").offsetHeight}px`);
    removeChildren(at("answer"));
    at("answer").hidden = true;
    at("latency").hidden = true;
    showError("");
    this.setBusy(false);
  }

  setBusy(isBusy) {
    clearInterval(this.clock);
    at("result").setAttribute("aria-busy", isBusy);
    showText(at("empty"), isBusy ? "Predicting …" : this.invite());
    at("status").textContent = isBusy ? "Predicting …" : "";
    showText(at("brief"), at("status").textContent);
    if (!isBusy) return;
    const start = performance.now();
    this.clock = setInterval(() => {
      showText(at("empty"), `Predicting … ${Math.round((performance.now() - start) / SECOND)} s`);
    }, SECOND);
  }

  invite() {
    if (!this.isImmediate) return "Fill in the form, and press Predict.";
    const [picture] = this.pictures;
    if (picture.isReading) return "Reading the picture …";
    if (picture.isDrawn) return "The answer follows each stroke.";
    return `${picture.pad ? "Draw or choose" : "Choose"} a picture: the answer appears here.`;
  }

  submitSoon() {
    this.setBusy(true);
    this.timer = setTimeout(() => this.submit(), DELAY);
  }

  async submit() {
    this.forget();
    const request = new AbortController();
    this.request = request;
    this.setBusy(true);
    try {
      const values = Object.fromEntries(this.inputs.map(input => [input.name, input.read()]));
      const prediction = await predict(this.model, values, this.token, request.signal);
      if (this.request === request) this.showAnswer(prediction, values);
    } catch (error) {
      if (this.request === request) this.explain(error); // else it was aborted
    }
  }

  showAnswer(prediction, values) {
    this.setBusy(false);
    at("result").style.removeProperty("--held");
    showText(at("empty"), "");
    drawMaps(prediction, this.model);
    at("answer").replaceChildren(...makeAnswers(prediction, this.model, values));
    at("answer").hidden = false;
    at("status").textContent = describePrediction(prediction, this.model);
    showTimes(prediction);
    // The input fills a small screen: scroll to the answer, or tell it below the drawing, which may go on.
    if (this.pictures.some(input => input.isDrawn)) showText(at("brief"), at("status").textContent);
    else at("result").scrollIntoView({ block: "nearest" });
  }

  explain(error) {
    this.setBusy(false);
    at("result").style.removeProperty("--held");
    if (!(error instanceof InputError || error instanceof RequestError)) {
      showError(`This page does not work: ${error.message}`);
      throw error;
    }
    const isDenied = error.status === 401;
    if (isDenied) at("token-form").hidden = false;
    const field = isDenied ? at("token") : error.field;
    showError(error.message, error.mayRetry, field);
    field?.focus();
    at("error").scrollIntoView({ block: "nearest" });
  }
}

function showTimes({ milliseconds, roundTrip, sizes }) {
  const given = Object.values(sizes).map(([height, width]) => `net was given ${width} × ${height} pixels`);
  const parts = [`${formatTime(milliseconds)} in the server`, `${formatTime(roundTrip)} round trip`, ...given];
  at("latency").replaceChildren(...parts.map(text => make("span", { textContent: text })));
  at("latency").hidden = false;
}

/** Show an error next to the field that it is of, or in place of the answer; without a message, show none. */
function showError(message, mayRetry = false, field = null) {
  const error = at("error");
  if (field) field.closest("fieldset, form").append(error);
  else at("status").after(error);
  at("error-text").textContent = message;
  error.hidden = !message;
  at("retry").hidden = !mayRetry;
  if (message) showText(at("empty"), field ? "No answer yet." : "");
}

try {
  new Demo(await fetchModel()).show();
} catch (error) {
  const isKnown = error instanceof RequestError;
  showText(at("broken"), isKnown ? error.message : `This page does not work: ${error.message}`);
  if (!isKnown) throw error;
}
