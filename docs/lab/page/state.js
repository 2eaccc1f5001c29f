/** What the page's address says after its #: the controls, never the photo. */

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
