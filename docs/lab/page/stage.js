/** The photo and the two maps, drawn, titled and put into words. */

import { note, sentence, setting, titles } from "./answer.js";
import { coloured, faded, largest } from "./colours.js";
import { describeMap, percent, twoDigits } from "./words.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Manifest} Manifest
 * @typedef {import("./types.js").Seen} Seen
 */

/**
 * Return the element of that id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function element(id, kind = /** @type {new () => T} */ (HTMLElement)) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} ${id}.`);
  return found;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8ClampedArray<ArrayBuffer>} rgba
 * @param {Seen} size
 */
function put(canvas, rgba, { width, height }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
}

const canvases = () => ["map-a", "map-b"].map((id) => element(id, HTMLCanvasElement));

/**
 * Draw the photo as the network sees it.
 * @param {Seen} seen
 * @param {string} name
 */
export function drawPhoto(seen, name) {
  const canvas = element("photo-canvas", HTMLCanvasElement);
  put(canvas, seen.data, seen);
  canvas.setAttribute("aria-label", `${name}, as the network sees it`);
}

/**
 * Write below the photo what the network takes it for.
 * @param {number[]} top classes
 * @param {Float64Array} shares
 * @param {Manifest} manifest
 */
export function captionPhoto(top, shares, manifest) {
  const three = top.slice(0, 3).map((c) => `${manifest.labels[c]} ${percent(shares[c])}`);
  element("photo-caption").textContent = `The network says: ${three.join(", ")}.`;
}

/**
 * Draw the maps, with their titles, their alt text and the sentence below them.
 * @param {Answer} answer
 * @param {Manifest} manifest
 * @param {Seen} seen
 * @param {string[]} was what each map was called before, if anything
 */
export function drawAnswer(answer, manifest, seen, was) {
  const method = manifest.methods.find((each) => each.key === answer.state.method);
  const greys = method?.coarse ? faded(seen.data) : undefined;
  const words = titles(answer, manifest);
  canvases().forEach((canvas, i) => {
    put(canvas, coloured(answer.maps[i], answer.limits[i], greys), seen);
    const about = describeMap(answer.maps[i], answer.limits[i]);
    canvas.setAttribute("aria-label", `${setting(answer)}, for ${words[i][0]}: ${about}`);
    caption("ab"[i], [words[i][0], was[i]].filter(Boolean).join(" "), words[i][1]);
  });
  const unit = answer.state.depth ? "1 unit" : twoDigits(answer.limits[0]);
  element("bar-top").textContent = `+${unit}`;
  element("bar-bottom").textContent = `−${unit}`;
  element("sentence").textContent = sentence(answer, manifest);
  element("note").textContent = note(answer);
}

/**
 * Draw the two maps of the puzzle in this order, each full red at its own peak, without their names.
 * @param {Answer} answer
 * @param {Seen} seen
 * @param {number[]} order
 */
export function drawPuzzle(answer, seen, order) {
  canvases().forEach((canvas, place) => {
    const map = answer.maps[order[place]];
    const limit = largest([map]) || 1;
    put(canvas, coloured(map, limit, faded(seen.data)), seen);
    canvas.setAttribute("aria-label", `Map ${place + 1}: ${describeMap(map, limit)}`);
    caption("ab"[place], `Map ${place + 1}`, "full red at its own peak");
  });
  element("bar-top").textContent = "peak:";
  element("bar-bottom").textContent = "";
}

/**
 * @param {string} which
 * @param {string} title
 * @param {string} line
 */
function caption(which, title, line) {
  const strong = document.createElement("b");
  strong.textContent = title;
  const second = document.createElement("span");
  second.textContent = line;
  element(`caption-${which}`).replaceChildren(strong, second);
}
