/** The controls: each shows a part of the state and changes it. */

import { Combobox } from "./combobox.js";
import { element } from "./stage.js";
import { OWN, depths } from "./state.js";
import { signedNumber } from "./words.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./types.js").Manifest} Manifest
 * @typedef {{
 *   change: (changes: Partial<State>, words?: string) => void, impostor: () => void, photo: (blob: Blob) => void,
 *   camera: () => void, share: () => void, reset: () => void
 * }} Actions
 */

/** @type {Record<string, string>} */
const MEANINGS = {
  signed: "keep evidence for and against",
  positive: "keep evidence for, drop evidence against",
  absolute: "keep the strength of evidence, drop its sign",
  published: "as the method's authors do",
};

/** @param {Actions} actions */
export function controls(actions) {
  const boxes = {
    a: new Combobox(element("combo-a"), "class-a", (a) => actions.change({ a })),
    b: new Combobox(element("combo-b"), "class-b", (b) => actions.change({ b })),
  };
  /** @type {Manifest} */
  let manifest;
  listen(actions, boxes, () => manifest);
  return {
    /** @param {Manifest} given */
    fill(given) {
      manifest = given;
      boxes.a.names = boxes.b.names = given;
      fill(given, actions);
    },
    /** @param {State} state */
    show(state) {
      boxes.a.value = state.a;
      boxes.b.value = state.b;
      if (manifest) show(state, manifest, actions);
    },
    ask,
  };
}

/**
 * @param {Actions} actions
 * @param {{a: Combobox, b: Combobox}} boxes
 * @param {() => Manifest} manifest
 */
function listen(actions, boxes, manifest) {
  const on = (/** @type {string} */ id, /** @type {string} */ kind, /** @type {() => void} */ then) =>
    element(id).addEventListener(kind, then);
  const chosen = (/** @type {string} */ id) => element(id, HTMLSelectElement).value;
  const slid = (/** @type {string} */ id) => Number(element(id, HTMLInputElement).value);
  on("method", "change", () => actions.change({ method: chosen("method"), layer: "" }));
  on("layer", "change", () => actions.change({ layer: chosen("layer") }));
  on("contrast", "change", () => actions.change({ contrast: /** @type {State["contrast"]} */ (chosen("contrast")) }));
  on("relu", "change", () => actions.change({ relu: element("relu", HTMLInputElement).checked }));
  on("depth", "change", () => actions.change({ depth: depths(manifest().randomized)[slid("depth")], shift: 0 }));
  on("shift", "change", () => actions.change({ shift: manifest().shift.values[slid("shift")], depth: 0 }));
  on("swap", "click", () => actions.change({ a: boxes.b.value, b: boxes.a.value }));
  on("impostor", "click", actions.impostor);
  on("share", "click", actions.share);
  on("reset", "click", actions.reset);
  on("camera", "click", actions.camera);
  on("file", "change", () => {
    const file = element("file", HTMLInputElement).files?.[0];
    if (file) actions.photo(file);
    element("file", HTMLInputElement).value = ""; // so that the same file can be chosen again
  });
  element("camera").hidden = !navigator.mediaDevices?.getUserMedia;
}

/**
 * Offer what the manifest holds.
 * @param {Manifest} manifest
 * @param {Actions} actions
 */
function fill(manifest, actions) {
  const methods = manifest.methods.map((each) => new Option(each.title, each.key));
  element("method", HTMLSelectElement).replaceChildren(...methods);
  element("depth", HTMLInputElement).max = String(manifest.randomized.steps.length);
  element("shift", HTMLInputElement).max = String(manifest.shift.values.length - 1);
  const samples = manifest.photos.map(({ name, file, shows }) => {
    const picture = Object.assign(new Image(), { src: file, alt: "", loading: "lazy", width: 64, height: 48 });
    const choose = () => actions.change({ photo: name, a: "most likely", b: "least likely" });
    return toggle("photo", name, name, shows, choose, picture);
  });
  element("samples").replaceChildren(...samples);
}

/**
 * Return one of several buttons of which one is down: a radio button, so that arrow keys move between them.
 * @param {string} group
 * @param {string} value
 * @param {string} words
 * @param {string} title
 * @param {() => void} choose
 * @param {HTMLElement[]} pictures
 */
function toggle(group, value, words, title, choose, ...pictures) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: group, value });
  const face = document.createElement("span");
  face.append(...pictures, words);
  label.title = title;
  input.addEventListener("change", choose);
  label.append(input, face);
  return label;
}

/**
 * Show a state.
 * @param {State} state
 * @param {Manifest} manifest
 * @param {Actions} actions
 */
function show(state, manifest, actions) {
  const method = manifest.methods.find((each) => each.key === state.method);
  if (!method) throw new Error(`There is no method ${state.method}.`); // normalised() leaves none such
  element("method", HTMLSelectElement).value = method.key;
  element("contrast", HTMLSelectElement).value = state.contrast;
  element("relu", HTMLInputElement).checked = state.relu;
  element("about").textContent = method.line;
  showLayers(method, state.layer);
  showHandlings(method, state, actions);
  for (const input of element("samples").querySelectorAll("input")) input.checked = input.value === state.photo;
  const own = state.photo === OWN;
  element("samples").classList.toggle("own", own);
  const all = manifest.randomized.layers;
  const values = manifest.shift.values;
  slide("depth", depths(manifest.randomized).indexOf(state.depth), state.depth ? `${state.depth} of ${all}` : "none");
  slide("shift", values.indexOf(state.shift), state.shift ? signedNumber(state.shift) : "0");
}

/**
 * @param {string} id
 * @param {number} place
 * @param {string} words
 */
function slide(id, place, words) {
  element(id, HTMLInputElement).value = String(place);
  element(id, HTMLInputElement).setAttribute("aria-valuetext", words);
  element(`${id}-words`).textContent = words;
}

/**
 * @param {import("./types.js").Method} method
 * @param {string} layer
 */
function showLayers(method, layer) {
  const names = method.layers?.map((each) => each.name) ?? [];
  element("layer-field").hidden = element("layer-help").hidden = names.length < 2;
  const list = element("layer", HTMLSelectElement);
  if (names.join() !== Array.from(list.options, (option) => option.value).join()) {
    list.replaceChildren(...names.map((name, i) => new Option(i ? name : `${name} (the last)`, name)));
  }
  list.value = layer || (names[0] ?? "");
}

/**
 * @param {import("./types.js").Method} method
 * @param {State} state
 * @param {Actions} actions
 */
function showHandlings(method, state, actions) {
  const place = element("handlings");
  const keys = method.handlings.map((each) => each.key);
  if (place.dataset.keys !== keys.join()) {
    place.dataset.keys = keys.join();
    const chosen = keys.map((key) => {
      const words = key === "published" ? "as published" : key;
      return toggle("handling", key, words, MEANINGS[key], () => actions.change({ handling: key }));
    });
    place.replaceChildren(...chosen);
  }
  for (const input of place.querySelectorAll("input")) input.checked = input.value === state.handling;
  const published = method.published === state.handling ? ", as the method's authors do" : "";
  const words = `${MEANINGS[state.handling]}${published}.`;
  element("meaning").textContent = words[0].toUpperCase() + words.slice(1);
}

/**
 * Offer what a word may mean; nothing hides the question.
 * @param {string} question
 * @param {string[]} labels
 * @param {"a" | "b"} [which] class
 * @param {(label: string) => void} [choose]
 */
function ask(question, labels, which = "a", choose = () => {}) {
  element("which").hidden = !labels.length;
  element("which-question").textContent = question;
  const buttons = labels.map((label) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    button.addEventListener("click", () => {
      choose(label);
      // The buttons will go. Back to the box, but not where that would open a keyboard over the maps.
      if (!matchMedia("(pointer: coarse)").matches) element(`class-${which}`).focus();
    });
    return button;
  });
  element("which-options").replaceChildren(...buttons);
}
