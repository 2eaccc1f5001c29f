/** All computing, beside the page, so that the page answers while it goes on. A newer request ends an older one. */

import { softmax } from "./answer.js";
import { CheckedEngine } from "./checked.js";
import { finalReLU } from "./cells.js";
import { resolve } from "./classes.js";
import { largest, pairLimit, symmetricLimit } from "./colours.js";
import { Engine } from "./engine.js";
import { InputError, changedPixels, read } from "./photo.js";
import { compare } from "./ranks.js";
import { normalized, view } from "./resize.js";

/**
 * @typedef {import("./types.js").ToWorker} ToWorker
 * @typedef {import("./types.js").FromWorker} FromWorker
 * @typedef {import("./state.js").State} State
 * @typedef {import("./engine.js").Run} Run
 */

const CANDIDATES = 12; // classes that are tried as impostors
const UNLIKELY = 1e-4; // an impostor's probability is below this, where there are so many classes

/** A newer request came. */
class Superseded extends Error {}

const engine = new Engine(new URL("../", import.meta.url));
const checked = new CheckedEngine(engine, (message) => say({ kind: "graphics", done: 1, total: 1, message }));
/** @type {Map<string, {view: import("./types.js").Seen, logits: Float32Array, ranking: number[]}>} */
const photos = new Map();
/** @type {Map<string, Blob>} */
const blobs = new Map();
/** @type {Map<string, ReturnType<typeof compare>>} */
const comparisons = new Map();
let latest = 0;

/** @param {FromWorker} message */
const say = (message) => postMessage(message);

/** Let messages in that came meanwhile; stop if one of them is a newer request. @param {number} id */
async function breathe(id) {
  await new Promise((done) => setTimeout(done));
  if (id !== latest) throw new Superseded();
}

// --- Photos ---

/**
 * Read a photo, if that isn't done, and let the network see it.
 * @param {State} state
 */
async function look(state) {
  const known = photos.get(state.photo);
  if (known) return known;
  const { preprocess, photos: samples } = engine.manifest;
  const sample = samples.find((each) => each.name === state.photo);
  const blob = blobs.get(state.photo) ?? (sample && (await (await engine.fetched(sample.file)).blob()));
  if (!blob) throw new InputError("This link's photo isn't part of it: photos never leave a machine. Choose one.");
  const seen = view(await read(blob), preprocess);
  engine.inputs.set(state.photo, normalized(seen, preprocess));
  // Any class will do for the logits; the most likely one is what will be asked about next.
  const { logits } = await engine.run({ ...asRun(state, sample?.asks.index ?? 0, 0), depth: 0, shift: 0 });
  const ranking = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
  const found = { view: /** @type {import("./types.js").Seen} */ (seen), logits, ranking };
  photos.set(state.photo, found);
  return found;
}

/**
 * Take over a photo; forget the one that had its name.
 * @param {string} name
 * @param {Blob} blob
 */
function take(name, blob) {
  blobs.set(name, blob);
  photos.delete(name);
  checked.forget();
  comparisons.clear();
}

// --- Maps ---

/** @param {State} state */
const methodOf = (state) => engine.manifest.methods.find((m) => m.key === state.method) ?? unknown(state.method);

/** @param {string} name @returns {never} */
function unknown(name) {
  throw new InputError(`There is no method “${name}”. Choose one from the list.`);
}

/**
 * @param {State} state
 * @param {number} target a class
 * @param {number} other the class that it may be held against
 * @returns {Run}
 */
function asRun(state, target, other) {
  const method = methodOf(state);
  const layer = method.layers?.find((each, i) => (state.layer ? each.name === state.layer : i === 0));
  const handling = method.handlings.find((each) => each.key === state.handling);
  // The page asks for what there is; another map under this name would be worse than none.
  if (!handling || (method.layers && !layer)) throw new InputError(`${method.title} has no such switch or layer.`);
  const minus = state.contrast === "other" ? other : state.contrast === "mean" ? "mean" : null;
  return {
    photo: state.photo,
    graph: layer?.graph ?? handling.graph ?? method.graph ?? "",
    depth: state.depth,
    shift: state.shift,
    positive: handling.positive,
    score: [target, minus],
  };
}

/**
 * Return the two runs that a state asks for: of two classes, or of one class by the trained and the random network.
 * @param {State} state
 * @param {[number, number]} classes
 */
function runsOf(state, [a, b]) {
  const first = asRun(state, a, b);
  return state.depth ? [{ ...first, depth: 0 }, first] : [first, asRun(state, b, a)];
}

/**
 * @param {number} id
 * @param {Run[]} runs
 */
async function both(id, runs) {
  const found = [];
  for (const run of runs) {
    if (!checked.kept(run)) await breathe(id);
    found.push(await checked.run(run));
  }
  return found;
}

/**
 * Return the finished map: without evidence against, where that is asked for.
 * @param {State} state
 * @param {import("./engine.js").Result} result
 */
function finished(state, result) {
  const map = result[methodOf(state).output];
  if (!state.relu) return map;
  return methodOf(state).coarse ? finalReLU(map) : map.map((value) => Math.max(0, value));
}

/**
 * @param {number} id
 * @param {State} state
 * @param {boolean} own whether each map gets its own scale
 */
async function answer(id, state, own) {
  const start = performance.now();
  const seen = await look(state);
  const classes = /** @type {[number, number]} */ ([-1, -1]);
  for (const [i, which] of /** @type {const} */ (["a", "b"]).entries()) {
    const found = resolve(state[which], engine.manifest, seen.ranking);
    if ("question" in found) return say({ kind: "question", id, which, ...found });
    classes[i] = found.index;
  }
  const runs = runsOf(state, classes);
  const ready = runs.every((run) => checked.kept(run));
  const results = await both(id, runs);
  const maps = /** @type {[Float32Array, Float32Array]} */ (results.map((r) => finished(state, r)));
  const limits = own ? peaks(maps) : await scale(id, state, runs, maps);
  const took = ready ? 0 : performance.now() - start;
  const { logits } = results[state.depth ? 0 : 1];
  const shares = softmax(logits);
  const softmaxChange = softmax(seen.logits).reduce((most, p, i) => Math.max(most, Math.abs(p - shares[i])), 0);
  const alike = compared(JSON.stringify([state.method, runs, state.relu]), maps);
  const found = { state, classes, maps, logits, softmaxChange, limits, ...alike, took };
  say({ kind: "answer", id, answer: found, view: seen.view });
  await ahead(id, state, classes).catch((error) => {
    if (error instanceof Superseded) throw error; // else the flip itself will say what is wrong; this answer stands
  });
}

/**
 * @param {string} key
 * @param {Float32Array[]} maps
 */
function compared(key, [a, b]) {
  const found = comparisons.get(key) ?? compare(a, b);
  comparisons.set(key, found);
  return found;
}

/** @param {Float32Array[]} maps @returns {[number, number]} */
const peaks = ([a, b]) => [largest([a]) || 1, largest([b]) || 1];

/**
 * Return the magnitude of full colour of each map, as the Explorer and the RandomizationSlider choose it.
 * @param {number} id
 * @param {State} state
 * @param {Run[]} runs
 * @param {Float32Array[]} maps
 * @returns {Promise<[number, number]>}
 */
async function scale(id, state, runs, maps) {
  if (state.depth) return [symmetricLimit([maps[0]]), symmetricLimit([maps[1]])];
  if (!methodOf(state).coarse) {
    const limit = symmetricLimit(maps);
    return [limit, limit];
  }
  // Signed maps set the scale of a CAM, whatever the switch says: flipping it changes the colours.
  const signed = await both(id, runs.map((run) => ({ ...run, positive: 0 })));
  const limit = pairLimit(signed.map((result) => result[methodOf(state).output]));
  return [limit, limit];
}

/**
 * Compute what the switch would show next, so that flipping it takes no time.
 * @param {number} id
 * @param {State} state
 * @param {[number, number]} classes
 */
async function ahead(id, state, classes) {
  const flipped = /** @type {State} */ ({ ...state, handling: state.handling === "signed" ? "positive" : "signed" });
  const runs = runsOf(flipped, classes);
  const maps = (await both(id, runs)).map((result) => finished(flipped, result));
  compared(JSON.stringify([state.method, runs, flipped.relu]), maps);
}

// --- An impostor: a class that isn't in the photo, with the same map ---

/**
 * Try some of the classes that the network finds unlikely, and say whose positive map is most like that of class A.
 * @param {number} id
 * @param {State} state
 * @param {number} turn each time other classes are tried
 */
async function impostor(id, state, turn) {
  const { ranking, logits } = await look(state);
  const wanted = resolve(state.a, engine.manifest, ranking);
  if ("question" in wanted) return say({ kind: "question", id, which: "a", ...wanted });
  const setting = /** @type {State} */ ({ ...state, handling: "positive", depth: 0, relu: false });
  const shares = softmax(logits);
  const chosen = candidates(ranking, shares, wanted.index, turn);
  let best = { index: -1, spearman: -Infinity };
  for (const [n, index] of chosen.entries()) {
    say({ kind: "busy", id, words: `trying ${n + 1} of ${chosen.length} classes that the network finds unlikely` });
    const [one, two] = await both(id, runsOf(setting, [wanted.index, index]));
    const { spearman } = compare(finished(setting, one), finished(setting, two));
    if (spearman > best.spearman) best = { index, spearman };
  }
  if (best.index < 0) throw new Error("None of the maps can be compared: they are constant. Try another method.");
  const most = Math.max(...chosen.map((c) => shares[c]));
  say({ kind: "impostor", id, tried: chosen.length, most, ...best });
}

/**
 * Return some of the least likely classes, spread over all of them.
 * @param {number[]} ranking
 * @param {Float64Array} shares
 * @param {number} target
 * @param {number} turn
 */
function candidates(ranking, shares, target, turn) {
  const out = ranking.filter((c) => shares[c] < UNLIKELY && c !== target);
  const pool = out.length >= CANDIDATES ? out : ranking.slice(-2 * CANDIDATES).filter((c) => c !== target);
  const step = pool.length / CANDIDATES;
  const places = Array.from({ length: CANDIDATES }, (_, i) => Math.floor(i * step + turn * 7) % pool.length);
  return [...new Set(places)].map((place) => pool[place]);
}

// --- Messages ---

/**
 * @param {number} id
 * @param {() => Promise<void>} work
 */
async function attempt(id, work) {
  try {
    await loaded;
    await breathe(id);
    await work();
  } catch (error) {
    if (error instanceof Superseded || id !== latest) return;
    const words = error instanceof Error ? error.message : String(error);
    say({ kind: "failed", id, message: error instanceof InputError ? words : `This can't be computed. ${words}` });
  }
}

const loaded = engine.load((done, total) => say({ kind: "progress", done, total })).then(
  () => say({ kind: "ready", manifest: engine.manifest, pixels: changedPixels() }),
  (error) => {
    say({ kind: "broken", message: error instanceof Error ? error.message : String(error) });
    return new Promise(() => {}); // nothing can be computed
  },
);

/** Load what the graphics processor needs; from then on each graph is checked when it is first used. */
async function useGraphics() {
  try {
    await checked.load((done, total) => say({ kind: "graphics", done, total, message: "" }));
    say({ kind: "graphics", done: 1, total: 1, message: "" });
  } catch (error) {
    say({ kind: "graphics", done: 0, total: 1, message: error instanceof Error ? error.message : String(error) });
  }
}

let queue = Promise.resolve();

addEventListener("message", (/** @type {MessageEvent<ToWorker>} */ event) => {
  const message = event.data;
  if (message.kind === "gpu") return useGraphics();
  if (message.kind === "photo") {
    const { name, blob } = message;
    queue = queue.then(() => take(name, blob)); // in its turn: the one before may be on its way through the network
    return;
  }
  latest = message.id;
  const { id, state } = message;
  const work = () => (message.kind === "look" ? answer(id, state, message.own) : impostor(id, state, message.turn));
  queue = queue.then(() => attempt(id, work)); // one at a time: sessions don't run side by side
});
