/** The page: controls that make a state, requests to the worker, and its answers on the stage. */

import { ofImpostor, softmax } from "./answer.js";
import { takePhoto } from "./camera.js";
import { understood } from "./classes.js";
import { controls } from "./controls.js";
import { Puzzle } from "./puzzle.js";
import { captionPhoto, drawAnswer, drawPhoto, element } from "./stage.js";
import { OWN, START, format, link, normalised, parse, sameQuestion } from "./state.js";
import { EMBEDDED } from "./theme.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./types.js").FromWorker} FromWorker
 * @typedef {import("./types.js").ToWorker} ToWorker
 */

const MB = 1e6;
const PATIENCE = 250; // milliseconds before a computation is mentioned

let state = parse(location.hash);
let id = 0; // of the latest request
let turn = 0; // of the search for an impostor
let remark = ""; // stands before the next sentence
/** @type {import("./types.js").Manifest} */
let manifest;
/** @type {import("./types.js").Answer | null} */
let shown = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
/** @type {Worker} */
let worker;
let heard = false; // whether the worker has said anything

const puzzle = new Puzzle(location.hash.length < 2);
const panel = controls({ change, impostor, photo: choosePhoto, camera, share, reset: () => change({ ...START }) });

/** @param {ToWorker} message */
const ask = (message) => worker.postMessage(message);

// --- Requests ---

/**
 * Take over what a control says, and ask for the answer.
 * @param {Partial<State>} changes
 * @param {string} [words] to say before the sentence
 */
function change(changes, words = "") {
  const before = state;
  state = { ...state, ...changes };
  if (manifest) state = normalised(state, manifest);
  if (!sameQuestion(before, state)) puzzle.close(); // its story is about other maps
  remark = words;
  history.replaceState(null, "", location.pathname + location.search + format(state));
  for (const each of ["photo-words", "share-words"]) element(each).textContent = "";
  element("share-link").hidden = true;
  panel.show(state);
  linkWhole();
  look();
}

const look = () => ask({ kind: "look", id: wait(), state, own: puzzle.open });

/** Begin to wait: old maps turn pale if it takes long. Return the new request's number. */
function wait() {
  clearTimeout(waiting);
  element("stage").classList.add("pending");
  waiting = setTimeout(() => busy("computing …"), PATIENCE);
  return ++id;
}

function settled() {
  clearTimeout(waiting);
  busy("");
  element("stage").classList.remove("pending", "old");
}

/** @param {string} words */
function busy(words) {
  element("busy").textContent = words;
}

function impostor() {
  remark = "";
  ask({ kind: "impostor", id: wait(), state, turn: turn++ });
}

// --- Photos ---

/** @param {Blob} blob */
function choosePhoto(blob) {
  puzzle.close();
  ask({ kind: "photo", name: OWN, blob });
  change({ photo: OWN, a: "most likely", b: "least likely" });
}

function camera() {
  const refused = (/** @type {string} */ words) => (element("photo-words").textContent = words);
  takePhoto(element("camera-dialog", HTMLDialogElement), choosePhoto, refused);
}

for (const kind of ["dragover", "dragleave", "drop", "dragend"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").hidden = kind !== "dragover";
    const file = event instanceof DragEvent && kind === "drop" ? event.dataTransfer?.files[0] : null;
    if (file && manifest) choosePhoto(file);
  });
}

addEventListener("paste", (event) => {
  const file = event instanceof ClipboardEvent ? event.clipboardData?.files[0] : null;
  if (file && manifest) choosePhoto(file);
});

// --- Answers ---

/** @param {FromWorker & {kind: "ready"}} message */
function ready(message) {
  manifest = message.manifest;
  state = normalised(state, manifest);
  if (location.hash.length > 1) history.replaceState(null, "", location.pathname + location.search + format(state));
  panel.fill(manifest);
  element("network").textContent = manifest.network;
  element("pixels").hidden = message.pixels === 0;
  element("pixels").textContent =
    message.pixels < 16
      ? "This browser changes pixels a little, as a protection, so numbers may differ."
      : "This browser hides a photo's pixels, as a protection: these maps aren't the photo's. Try another browser.";
  panel.show(state);
  linkWhole();
  look();
}

/**
 * Show the photo that an answer is about.
 * @param {import("./types.js").Seen} view
 * @param {string} name
 */
function showPhoto(view, name) {
  const sample = manifest.photos.find((each) => each.name === name);
  drawPhoto(view, sample ? `Photo: ${sample.shows}` : "Your photo");
  element("credit").textContent = sample ? `Photo: ${sample.credit} (${sample.licence}).` : "";
}

/** @param {FromWorker & {kind: "answer"}} message */
function answered({ answer, view }) {
  settled();
  const first = !shown;
  shown = answer;
  showPhoto(view, answer.state.photo);
  element("loading").hidden = true;
  element("stage").hidden = false;
  panel.ask("", []);
  const shares = softmax(answer.logits);
  const top = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]);
  if (puzzle.open) puzzle.show(answer, view, manifest);
  else reveal(answer, view);
  if (!puzzle.open) captionPhoto(top, shares, manifest);
  document.documentElement.dataset.took = String(Math.round(answer.took));
  document.documentElement.dataset.shown = String(id);
  if (first && EMBEDDED) parent.postMessage({ posgradLabReady: true }, location.origin);
}

/**
 * Draw the answer with its names.
 * @param {import("./types.js").Answer} answer
 * @param {import("./types.js").Seen} view
 */
function reveal(answer, view) {
  element("verdict").hidden = false; // first: a screen reader hears nothing of what changes while it is hidden
  drawAnswer(answer, manifest, view, puzzle.was(answer));
  const words = answer.classes.map((c, i) => understood(answer.state[i ? "b" : "a"], c, manifest));
  const before = [remark, ...words].filter(Boolean).join(" ");
  if (before) element("sentence").prepend(`${before} `);
  element("onward").hidden = !EMBEDDED;
  offerControls(!EMBEDDED || element("more").getAttribute("aria-expanded") === "true");
  puzzle.after(answer);
}

/** @param {boolean} open */
function offerControls(open) {
  element("controls").hidden = !open;
  element("page").classList.toggle("open", open);
  element("more").setAttribute("aria-expanded", String(open));
  element("more").textContent = open ? "Fewer controls" : "More controls";
}

/**
 * Say in words what can't be shown; the last maps stay, pale.
 * @param {string} message
 */
function fail(message) {
  settled();
  puzzle.close();
  element("stage").classList.add("old");
  element("loading").hidden = true;
  element("verdict").hidden = false;
  element("onward").hidden = !EMBEDDED;
  offerControls(true);
  element("sentence").textContent = message;
  element("note").textContent = shown ? "Above: the last answer." : "";
}

/** @param {MessageEvent<FromWorker>} event */
function hear(event) {
  heard = true;
  const message = event.data;
  if (message.kind === "progress") return loading(message.done, message.total);
  if (message.kind === "graphics") return graphics(message);
  if (message.kind === "ready") return ready(message);
  if (message.kind === "broken") return broken(message.message);
  if (message.id !== id) return; // of an older request
  if (message.kind === "busy") busy(message.words);
  else if (message.kind === "answer") answered(message);
  else if (message.kind === "failed") fail(message.message);
  else if (message.kind === "question") {
    fail(message.question);
    const { which, question, options } = message;
    panel.ask(question, options.map((c) => manifest.labels[c]), which, (label) => change({ [which]: label }));
  } else found(message);
}

/** @param {FromWorker & {kind: "impostor"}} message */
function found(message) {
  const b = manifest.labels[message.index];
  change({ b, handling: "positive", depth: 0, relu: false }, ofImpostor(message));
}

/**
 * Start the worker.
 * @param {boolean} held whether to the page's policy: a worker from a network address has its own, one from a blob
 *   inherits the page's, and then it can't send anything anywhere either
 * @returns {Worker}
 */
function start(held) {
  const address = new URL("worker.js", import.meta.url).href;
  const text = new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" });
  const made = new Worker(held ? URL.createObjectURL(text) : address, { type: "module" });
  made.addEventListener("message", hear);
  made.addEventListener("error", () => {
    if (held && !heard) worker = start(false); // a browser that starts none from a blob
    else broken("The page's worker can't start. It needs a browser of 2023 or newer.");
  });
  return made;
}

// --- Loading ---

/**
 * @param {number} done
 * @param {number} total
 */
function loading(done, total) {
  element("loading-bar", HTMLProgressElement).value = Math.min(1, done / total);
  const step = Math.round((10 * done) / total) / 10; // a screen reader needn't hear of each piece
  const words = `Loading the network: ${Math.round((step * total) / MB)} of ${Math.round(total / MB)} MB`;
  if (element("loading-words").textContent !== words) element("loading-words").textContent = words;
}

/** @param {FromWorker & {kind: "graphics"}} message */
function graphics({ done, total, message }) {
  const percent = Math.floor((10 * done) / total) * 10;
  const inUse = "In use where its maps are the same: each method is checked once.";
  const words = message || (done < total ? `Loading: ${percent} %` : inUse);
  if (element("graphics-words").textContent !== words) element("graphics-words").textContent = words;
}

navigator.gpu?.requestAdapter().then((adapter) => {
  element("graphics").hidden = !adapter;
});
element("graphics").addEventListener("click", () => {
  element("graphics", HTMLButtonElement).disabled = true;
  ask({ kind: "gpu" });
});

/** @param {string} message */
function broken(message) {
  element("loading-words").textContent = message;
  element("loading-bar").hidden = true;
}

// --- Around the maps ---

async function share() {
  const address = link(location.href, state);
  const field = element("share-link", HTMLInputElement);
  const own = state.photo === OWN ? " Your photo isn't in it: whoever opens it chooses one." : " It holds no photo.";
  try {
    await navigator.clipboard.writeText(address);
    field.hidden = true;
    element("share-words").textContent = `Copied.${own}`;
  } catch {
    field.value = address;
    field.hidden = false;
    field.select();
    element("share-words").textContent = `This is the link: copy it.${own}`;
  }
}

function linkWhole() {
  element("whole", HTMLAnchorElement).href = link(location.href, state);
}

element("more").addEventListener("click", () => {
  offerControls(element("more").getAttribute("aria-expanded") !== "true");
});

puzzle.onGuess = () => change({});

addEventListener("hashchange", () => {
  puzzle.close();
  state = parse(location.hash);
  if (manifest) change({}); // else ready() will see to it
});

if (EMBEDDED) {
  const tell = () => parent.postMessage({ posgradLabHeight: element("page").scrollHeight }, location.origin);
  new ResizeObserver(tell).observe(element("page"));
}

worker = start(true);
