/** The page: controls that make a state, requests to the worker, and its answers on the stage. */

import { softmax } from "./answer.js";
import { takePhoto } from "./camera.js";
import { understood } from "./classes.js";
import { controls } from "./controls.js";
import { Puzzle } from "./puzzle.js";
import { captionPhoto, drawAnswer, drawPhoto, element } from "./stage.js";
import { OWN, START, format, parse } from "./state.js";
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
/** @type {import("./types.js").Seen | null} */
let seen = null;
/** @type {import("./types.js").Answer | null} */
let shown = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

const puzzle = new Puzzle(location.hash.length < 2);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
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
  state = { ...state, ...changes };
  remark = words;
  history.replaceState(null, "", location.pathname + location.search + format(state));
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
  ask({ kind: "photo", name: OWN, blob });
  change({ photo: OWN, a: "most likely", b: "least likely" });
}

function camera() {
  takePhoto(element("camera-dialog", HTMLDialogElement), choosePhoto, fail);
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
  panel.fill(manifest);
  element("network").textContent = manifest.network;
  panel.show(state);
  linkWhole();
  look();
}

/** @param {FromWorker & {kind: "seen"}} message */
function photoSeen(message) {
  seen = message.view;
  const sample = manifest.photos.find((each) => each.name === message.photo);
  drawPhoto(seen, sample ? `Photo: ${sample.shows}` : "Your photo");
  element("credit").textContent = sample ? `Photo: ${sample.credit} (${sample.licence}).` : "";
}

/** @param {FromWorker & {kind: "answer"}} message */
function answered({ answer }) {
  settled();
  const first = !shown;
  shown = answer;
  element("loading").hidden = true;
  element("stage").hidden = false;
  panel.ask("", []);
  const shares = softmax(answer.logits);
  const top = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]);
  if (seen && puzzle.open) puzzle.show(answer, seen, manifest);
  else if (seen) reveal();
  if (!puzzle.open) captionPhoto(top, shares, manifest);
  document.documentElement.dataset.took = String(Math.round(answer.took));
  document.documentElement.dataset.shown = String(id);
  if (first && EMBEDDED) parent.postMessage({ posgradLabReady: true }, location.origin);
}

/** Draw the answer with its names. */
function reveal() {
  if (!shown || !seen) return;
  drawAnswer(shown, manifest, seen);
  const words = shown.classes.map((c, i) => understood(state[i ? "b" : "a"], c, manifest));
  const before = [remark, ...words].filter(Boolean).join(" ");
  if (before) element("sentence").prepend(`${before} `);
  element("verdict").hidden = false;
  element("onward").hidden = !EMBEDDED;
  element("controls").hidden = EMBEDDED && element("more").getAttribute("aria-expanded") !== "true";
  puzzle.after(shown, manifest);
}

/**
 * Say in words what can't be shown; the last maps stay, pale.
 * @param {string} message
 */
function fail(message) {
  settled();
  element("stage").classList.add("old");
  element("loading").hidden = true;
  element("verdict").hidden = false;
  element("controls").hidden = false;
  element("sentence").textContent = message;
  element("note").textContent = shown ? "Above: the last answer." : "";
}

worker.addEventListener("message", (/** @type {MessageEvent<FromWorker>} */ event) => {
  const message = event.data;
  if (message.kind === "progress") return loading(message.done, message.total);
  if (message.kind === "graphics") return graphics(message);
  if (message.kind === "ready") return ready(message);
  if (message.kind === "broken") return broken(message.message);
  if (message.id !== id) return; // of an older request
  if (message.kind === "seen") photoSeen(message);
  else if (message.kind === "busy") busy(message.words);
  else if (message.kind === "answer") answered(message);
  else if (message.kind === "failed") fail(message.message);
  else if (message.kind === "question") {
    fail(message.question);
    panel.ask(message.question, message.options.map((c) => manifest.labels[c]), (b) => change({ [message.which]: b }));
  } else found(message);
});
worker.addEventListener("error", () => broken("The page's worker can't start. It needs a browser of 2023 or newer."));

/** @param {FromWorker & {kind: "impostor"}} message */
function found({ index, tried }) {
  const words = `Of ${tried} classes that the network rules out, this one's positive map is most like class A's.`;
  change({ b: manifest.labels[index], handling: "positive", depth: 0, relu: false }, words);
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
  const address = location.href.split("#")[0].replace(/[?&]embed=1/, "") + format(state);
  const own = state.photo === OWN ? " Your photo isn't in it: whoever opens it chooses one." : " It holds no photo.";
  try {
    await navigator.clipboard.writeText(address);
    element("share-words").textContent = `Copied.${own}`;
  } catch {
    element("share-words").textContent = `The address above is the link.${own}`;
  }
}

function linkWhole() {
  element("whole", HTMLAnchorElement).href = `index.html${format(state)}`;
}

element("more").addEventListener("click", () => {
  const open = element("more").getAttribute("aria-expanded") !== "true";
  element("more").setAttribute("aria-expanded", String(open));
  element("more").textContent = open ? "Fewer controls" : "More controls";
  element("controls").hidden = !open;
});

puzzle.onGuess = () => change({});

addEventListener("hashchange", () => {
  puzzle.close();
  if (manifest) change(parse(location.hash));
});

if (EMBEDDED) {
  const tell = () => parent.postMessage({ posgradLabHeight: element("page").scrollHeight }, location.origin);
  new ResizeObserver(tell).observe(element("page"));
}
