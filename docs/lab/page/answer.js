/** An answer of the worker in words: titles, the sentence and the note, as the package's widgets have them. */

import { largest } from "./colours.js";
import { isDegenerate } from "./ranks.js";
import { CONSTANT, OWN_UNIT, describe, fullColour, percent, shortExponent, signedNumber, twoDigits } from "./words.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Manifest} Manifest
 */

const ROUNDING = 1e-6; // a smaller change of a probability
const SAME = 0.9; // rank correlation of two maps that describe() calls the same
/** @type {Record<string, string>} */
const ABOUT = { none: "", mean: ", minus the mean of all", other: ", minus the other class" };

/** @param {Float32Array} logits @returns {Float64Array} */
export function softmax(logits) {
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/**
 * Return what the maps are, such as "gradcam, gradients positive".
 * @param {Answer} answer
 */
export function setting({ state }) {
  const shift = state.shift ? `, shift ${signedNumber(state.shift)}` : "";
  const relu = state.relu ? ", final ReLU" : "";
  return `${state.method}, gradients ${state.handling}${ABOUT[state.contrast]}${shift}${relu}`;
}

/**
 * Return a title and a second line for each of the two maps.
 * @param {Answer} answer
 * @param {Manifest} manifest
 * @returns {[string, string][]}
 */
export function titles({ state, classes, logits, limits }, manifest) {
  if (state.depth) {
    const random = state.depth === 1 ? "last layer random" : `last ${state.depth} layers random`;
    const label = manifest.labels[classes[0]];
    return ["trained network", random].map((name, i) => [
      `${label}: ${name}`,
      `full colour at ±${twoDigits(limits[i])}`,
    ]);
  }
  const shares = softmax(logits);
  return classes.map((c, i) => [
    `${"AB"[i]}: ${manifest.labels[c]} ${percent(shares[c])}`,
    `logit ${signedNumber(logits[c], 1)}`,
  ]);
}

/**
 * Return one plain sentence on how alike the two maps are, and the numbers that it stands on.
 * @param {Answer} answer
 * @param {Manifest} manifest
 */
export function sentence(answer, manifest) {
  const { state, classes, spearman, magnitudes } = answer;
  if (state.depth) return ofRandom(answer);
  const [a, b] = classes.map((c) => manifest.labels[c]);
  const nothing = nothingToCompare(answer, [a, b]);
  if (state.shift) return `${ofSoftmax(answer)} ${nothing || `${correlation(spearman)} ${describe(spearman, a, b)}`}`;
  const [values, sizes] = [spearman, magnitudes].map((number) => signedNumber(number));
  const numbers = `Rank correlation of the maps ${values}, of their magnitudes ${sizes}.`;
  return nothing || `${numbers} ${describe(spearman, a, b)}`;
}

/**
 * Say what the search for an impostor found, which isn't always one.
 * @param {import("./types.js").Impostor} found
 */
export function ofImpostor({ tried, most, spearman }) {
  const bound = [1e-4, 1e-3].find((each) => most < each);
  const share = bound ? `less than ${100 * bound}\u00a0%` : `at most ${percent(most)}`;
  const classes = `Of ${tried} classes to which the network gives ${share},`;
  if (spearman > SAME) return `${classes} this one's positive map is most like class A's.`;
  return `${classes} none has the same positive map as class A: this one's comes nearest.`;
}

/** @param {number} spearman */
const correlation = (spearman) => `Rank correlation ${signedNumber(spearman)}.`;

/** @param {Answer} answer */
function ofRandom({ state, spearman }) {
  const layers = state.depth === 1 ? "the last layer is" : `the last ${state.depth} layers are`;
  const comparison = describe(spearman, "the trained network", "the random one", "networks");
  if (Number.isNaN(spearman)) return `Now ${layers} random. ${comparison}`;
  return `Rank correlation ${signedNumber(spearman)}, while ${layers} random. ${comparison}`;
}

/** @param {Answer} answer */
function ofSoftmax({ softmaxChange }) {
  const rounded = shortExponent(Number(softmaxChange.toPrecision(2)));
  const change = softmaxChange < ROUNDING ? "less than 0.000001" : `up to ${rounded} (rounding)`;
  return `By the shift each class's softmax changes by ${change}.`;
}

/**
 * Say why the two maps can't be compared, where that is so.
 * @param {Answer} answer
 * @param {string[]} labels
 */
function nothingToCompare({ classes, maps }, labels) {
  if (classes[0] === classes[1]) return `Both maps are for ${labels[0]}. Choose another class B.`;
  const empty = labels.filter((_, i) => maps[i].every((value) => value === 0));
  if (empty.length) {
    return `The map for ${empty.join(" and for ")} is zero everywhere, so there is nothing to compare.`;
  }
  return maps.some(isDegenerate) ? CONSTANT : "";
}

/**
 * Return how strong the colours are.
 * @param {Answer} answer
 */
export const note = ({ state, limits, maps }) => (state.depth ? OWN_UNIT : fullColour(limits[0], largest(maps)));
