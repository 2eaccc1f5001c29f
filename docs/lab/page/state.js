/** What the page's address says after its #: the controls, never the photo. */

/** @typedef {import("./types.js").Manifest} Manifest */

/**
 * @typedef {"signed" | "positive" | "absolute" | "published"} Handling
 * @typedef {{
 *   photo: string, a: string, b: string, method: string, handling: Handling,
 *   contrast: "none" | "mean" | "other", layer: string, relu: boolean, depth: number, shift: number
 * }} State
 *   photo: the name of a sample, or "own". a, b: words for classes. layer: a CAM's, "" for the network's last one.
 *   depth: how many layers are random, counted from the output. shift: how much of the vector v is added.
 */

/** @type {Handling[]} */
export const HANDLINGS = ["signed", "positive", "absolute", "published"];
export const OWN = "own"; // instead of a sample's name: the photo itself never leaves the machine

/** @type {State} */
export const START = {
  photo: "coffee",
  a: "most likely",
  b: "least likely",
  method: "gradcam",
  handling: "positive",
  contrast: "none",
  layer: "",
  relu: false,
  depth: 0,
  shift: 0,
};

/**
 * Return what an address says, and the start values for what it leaves out or says wrongly.
 * @param {string} hash with or without #
 * @returns {State}
 */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const text = (/** @type {keyof State} */ key) => (given.get(key) ?? String(START[key])).slice(0, 100);
  return {
    photo: text("photo"),
    a: text("a"),
    b: text("b"),
    method: text("method").replaceAll(" ", "+"), // a link written by hand: a bare + stands for a space
    handling: HANDLINGS.find((each) => each === text("handling")) ?? START.handling,
    contrast: contrast(text("contrast")),
    layer: text("layer"),
    relu: text("relu") === "1",
    depth: Math.round(between(text("depth"), 0, 1000)),
    shift: between(text("shift"), -1, 1),
  };
}

/**
 * Return a state as it stands in an address, without what has its start value.
 * @param {State} state
 */
export function format(state) {
  const given = new URLSearchParams();
  for (const [key, start] of Object.entries(START)) {
    const value = state[/** @type {keyof State} */ (key)];
    if (value !== start || key === "photo") given.set(key, value === true ? "1" : String(value));
  }
  return `#${given}`;
}

/**
 * The handlings to take, best first, where a method lacks the wanted one.
 * @type {Record<Handling, Handling[]>}
 */
const NEAREST = {
  published: ["positive", "signed"],
  absolute: ["positive", "published"], // both lose the sign
  positive: ["absolute", "published"],
  signed: ["published", "positive"],
};

/**
 * Return the state that the page can show and that is nearest to this one: what a link, or a change of the method, asks
 * for need not exist. The page and its address then say what is computed, nothing else.
 * @param {State} state
 * @param {Pick<Manifest, "methods" | "randomized" | "shift">} manifest
 * @returns {State}
 */
export function normalised(state, { methods, randomized, shift }) {
  const method = methods.find((each) => each.key === state.method) ?? methods.find((each) => each.key === START.method);
  const { key, handlings, published, layers } = method ?? methods[0];
  const wanted = [state.handling, ...(state.handling === "published" ? [published] : []), ...NEAREST[state.handling]];
  const handling = wanted.find((each) => handlings.some((one) => one.key === each)) ?? handlings[0].key;
  const layer = layers?.slice(1).some((each) => each.name === state.layer) ? state.layer : ""; // "": the first
  const depth = nearest(depths(randomized), state.depth);
  return { ...state, method: key, handling, layer, depth, shift: depth ? 0 : nearest(shift.values, state.shift) };
}

/** @param {Manifest["randomized"]} randomized @returns {number[]} how many layers can be random */
export const depths = ({ steps }) => [0, ...steps.map((step) => step.depth)];

/** @param {number[]} values @param {number} wanted */
const nearest = (values, wanted) =>
  values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));

/**
 * Tell whether two states differ at most in how gradients are handled.
 * @param {State} a
 * @param {State} b
 */
export const sameQuestion = (a, b) => format({ ...a, handling: "signed" }) === format({ ...b, handling: "signed" });

/**
 * Return a link to the whole lab with this state.
 * @param {string} address of the page as it stands, perhaps embedded in another one
 * @param {State} state
 */
export function link(address, state) {
  const url = new URL(address);
  url.search = "";
  url.hash = format(state);
  return url.href;
}

/** @param {string} text @returns {State["contrast"]} */
const contrast = (text) => (text === "mean" || text === "other" ? text : "none");

/**
 * @param {string} text
 * @param {number} low
 * @param {number} high
 */
function between(text, low, high) {
  const number = Number(text);
  return Number.isFinite(number) ? Math.min(high, Math.max(low, number)) : 0;
}
