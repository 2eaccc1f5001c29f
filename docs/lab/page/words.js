/** Numbers and sentences about maps, as posgrad_edu.viz.words and posgrad_edu.widgets.sentences say them. */

const NO_BREAK = "\u00a0";
export const CONSTANT =
  "One of the maps is constant: it ranks no pixel above another, so there is nothing to compare.";
export const OWN_UNIT = "Each map in its own unit: compare places, not strengths.";

/**
 * What a rank correlation above each threshold says of two things, a and b.
 * @type {[number, (a: string, b: string, things: string) => string][]}
 */
const DEGREES = [
  [0.9, (a, b, things) => `The same map for ${a} and for ${b}: it doesn't show what sets the two ${things} apart.`],
  [0.5, (a, b) => `Much alike: most of the map for ${a} is there for ${b}, too.`],
  [0.2, (a, b) => `Partly alike: some of the map for ${a} is there for ${b}, too.`],
  [-0.2, (_a, _b, things) => `Hardly related: the two ${things} have maps of their own.`],
  [-0.5, () => "Partly reversed: where one is red, the other tends to be blue."],
  [-Infinity, (a, b) => `Opposite maps: what speaks for ${a} speaks against ${b}.`],
];

/**
 * Return one plain sentence on how alike two maps are.
 * @param {number} correlation
 * @param {string} a
 * @param {string} b
 */
export function describe(correlation, a, b, things = "classes") {
  const found = DEGREES.find(([threshold]) => correlation > threshold);
  return found ? found[1](a, b, things) : CONSTANT;
}

/**
 * Write a number with its sign, a true minus, and never a negative zero: +0.25, −1.50, +0.00.
 * @param {number} value
 */
export function signedNumber(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return `${value < 0 && Number(text) !== 0 ? "−" : "+"}${text}`;
}

/**
 * Write a magnitude with two digits: 0.15, 24, 480.
 * @param {number} magnitude
 */
export function twoDigits(magnitude) {
  const rounded = Number(magnitude.toPrecision(2));
  const small = rounded !== 0 && Math.abs(rounded) < 1e-4;
  return small || rounded >= 1e6 ? shortExponent(rounded) : String(rounded);
}

/** @param {number} value @returns {string} such as 1.5e-06, as Python writes it */
export const shortExponent = (value) => value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");

/**
 * Write a share so that 0 % and 100 % only stand for none and all.
 * @param {number} share
 */
export function percent(share) {
  if (share > 0 && share < 0.001) return `<${NO_BREAK}0.1${NO_BREAK}%`;
  if (share > 0.99 && share < 1) return `>${NO_BREAK}99${NO_BREAK}%`;
  return `${(100 * share).toFixed(share > 0 && share < 0.095 ? 1 : 0)}${NO_BREAK}%`;
}

/**
 * Return a map's title such as "espresso 95 %", and its logit.
 * @param {string} label
 * @param {number} probability
 * @param {number} logit
 */
export const mapTitle = (label, probability, logit) =>
  `${label} ${percent(probability)}, logit ${signedNumber(logit, 1)}`;

/**
 * Say where a map's evidence lies, in ninths of the picture, and of which sign.
 * @param {Float32Array} map square
 * @param {number} limit the scale's
 */
export function describeMap(map, limit) {
  const side = Math.sqrt(map.length);
  const cells = { for: new Float64Array(9), against: new Float64Array(9) };
  let peak = 0;
  map.forEach((value, i) => {
    const cell = 3 * ninth(Math.floor(i / side), side) + ninth(i % side, side);
    cells[value > 0 ? "for" : "against"][cell] += Math.abs(value);
    peak = Math.max(peak, Math.abs(value));
  });
  const [positive, negative] = [sum(cells.for), sum(cells.against)];
  if (positive + negative === 0) return "No evidence anywhere: the map is zero.";
  const strongest = peak / limit > 1 + 1e-6 ? "lies beyond" : `is ${percent(Math.min(1, peak / limit))} of`;
  return `${where(cells, positive, negative)}; the strongest value ${strongest} the scale.`;
}

/**
 * @param {{for: Float64Array, against: Float64Array}} cells
 * @param {number} positive
 * @param {number} negative
 */
function where(cells, positive, negative) {
  if (negative === 0) return `Evidence for the class only, most of it ${place(cells.for)}`;
  if (positive === 0) return `Evidence against the class only, most of it ${place(cells.against)}`;
  const share = percent(positive / (positive + negative));
  return (
    `Most evidence for the class ${place(cells.for)}, most evidence against it ${place(cells.against)}; ` +
    `${share} of the magnitude is positive`
  );
}

/**
 * Which third of a side a pixel lies in; the first thirds are the longer ones.
 * @param {number} i
 * @param {number} side
 */
function ninth(i, side) {
  const [short, longer] = [Math.floor(side / 3), side % 3];
  const border = longer * (short + 1);
  return i < border ? Math.floor(i / (short + 1)) : longer + Math.floor((i - border) / short);
}

/** @param {Float64Array} numbers */
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/** @param {Float64Array} cells nine of them @returns {string} which holds the most */
function place(cells) {
  const most = cells.indexOf(Math.max(...cells));
  if (most === 4) return "in the centre";
  return `${["upper", "middle", "lower"][Math.floor(most / 3)]} ${["left", "centre", "right"][most % 3]}`;
}

/**
 * Return the key to the strength of colours.
 * @param {number} limit
 * @param {number} peak the largest magnitude shown
 */
export function fullColour(limit, peak, scale = "in both maps") {
  const times = peak / limit;
  const beyond = times > 1 ? ` The strongest value here is ${Number(times.toPrecision(3))} times that.` : "";
  return `Full colour at ±${twoDigits(limit)} ${scale}.${beyond}`;
}
