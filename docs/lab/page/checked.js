/**
 * Maps by the graphics processor, where they are the same as those of the processor. That is checked once for each
 * graph with each handling, and again where layers are random.
 */

import { Engine } from "./engine.js";
import { largest } from "./colours.js";
import { compare } from "./ranks.js";

/**
 * @typedef {import("./engine.js").Run} Run
 * @typedef {import("./engine.js").Result} Result
 * @typedef {import("./types.js").Method} Method
 */

// How far a pixel may lie from where it should, in shares of the largest magnitude: as in exporting/references.py and
// tests/lab. Gates at a kink may be open here and closed there, and LRP divides by sums that may be near zero.
const EXACT = 1e-4;
const DIVIDED = 2e-3;
const AT_KINKS = 5e-2;
const GATED = ["gradient", "input-x-gradient", "fullgrad"];
const ALIKE = 0.999; // rank correlation, of maps of single pixels

/** @typedef {{within: number, alike?: number}} Bound  alike: the least rank correlation */

/**
 * Tell whether two maps are the same.
 * @param {Float32Array} a
 * @param {Float32Array} b the right one
 * @param {Bound} bound
 */
export function same(a, b, { within, alike }) {
  const most = within * largest([b]);
  if (a.length !== b.length || !a.every((value, i) => Math.abs(value - b[i]) <= most)) return false;
  return alike === undefined || compare(a, b).spearman >= alike;
}

/**
 * Return how far a graph's output may be from the right one.
 * @param {Method[]} methods
 * @param {Run} run
 * @param {string} output of the graph: a map, or "logits"
 * @returns {Bound}
 */
export function allowed(methods, run, output) {
  const method = methods.find((each) => each.output === output);
  if (!method || method.coarse) return { within: EXACT };
  const handling = method.handlings.find((each) => {
    return (each.graph ?? method.graph) === run.graph && each.positive === run.positive;
  });
  const positive = handling?.key === "positive" || handling?.key === "published";
  return { within: ofPixels(method.key, positive), alike: ALIKE };
}

/**
 * @param {string} method
 * @param {boolean} positive whether it keeps positive gradients alone
 */
function ofPixels(method, positive) {
  if (GATED.includes(method)) return AT_KINKS;
  if (method === "lrp") return positive ? DIVIDED : AT_KINKS;
  return method === "guided-backprop" && !positive ? AT_KINKS : EXACT;
}

/** @param {Run} run */
const keyOf = ({ graph, positive, depth }) => `${graph} ${positive} ${depth > 0}`;

export class CheckedEngine {
  /**
   * @param {Engine} slow whose maps are known to be right
   * @param {(words: string) => void} report told of each verdict
   */
  constructor(slow, report) {
    this.slow = slow;
    this.report = report;
    this.fast = new Engine(slow.base, "webgpu");
    /** @type {Map<string, boolean>} whether the fast engine computes such runs from now on */
    this.verdicts = new Map();
    this.ready = false;
  }

  /** @param {(done: number, total: number) => void} progress */
  async load(progress) {
    await this.fast.load(progress, this.slow);
    this.ready = true;
  }

  /** @param {Run} run */
  kept(run) {
    return this.slow.kept(run) ?? (this.verdicts.get(keyOf(run)) ? this.fast.kept(run) : undefined);
  }

  /** Let go of all maps. */
  forget() {
    this.slow.results.things.clear();
    this.fast.results.things.clear();
  }

  /** @param {Run} run */
  async run(run) {
    const known = this.kept(run);
    const verdict = this.verdicts.get(keyOf(run));
    if (known || !this.ready || verdict === false) return known ?? this.slow.run(run);
    return verdict ? this.trusted(run) : this.checked(run);
  }

  /**
   * Compute by the fast engine what it has shown to be able to; where it fails after all, by the slow one from then on.
   * @param {Run} run
   */
  async trusted(run) {
    try {
      return await this.fast.run(run);
    } catch {
      this.verdicts.set(keyOf(run), false);
      this.report(`${nameOf(run)}: the graphics processor has stopped, so it isn't used for these any more.`);
      return this.slow.run(run);
    }
  }

  /**
   * Compute by the slow engine, and see whether the fast one does the same.
   * @param {Run} run
   */
  async checked(run) {
    await this.slow.session(run.graph, run.depth); // making it isn't timed
    const [right, before] = await timed(() => this.slow.run(run));
    this.verdicts.set(keyOf(run), await this.check(run, right, before));
    return right;
  }

  /**
   * @param {Run} run
   * @param {Result} right
   * @param {number} before milliseconds that it took
   */
  async check(run, right, before) {
    const name = nameOf(run);
    try {
      const found = await this.fast.compute(run); // the first run prepares, too
      const [, now] = await timed(() => this.fast.compute(run));
      const { methods } = this.slow.manifest;
      const equal = Object.keys(right).every((each) => same(found[each], right[each], allowed(methods, run, each)));
      const times = `${Math.round(now)} ms instead of ${Math.round(before)}`;
      this.report(equal ? `${name}: the same maps, in ${times}.` : `${name}: other maps, so it isn't used for these.`);
      return equal && now < before;
    } catch {
      this.report(`${name}: it can't compute these.`);
      return false;
    }
  }
}

/** @param {Run} run */
const nameOf = ({ graph }) => graph.replace(/^graphs\/|\.onnx$/g, "");

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<[T, number]>}
 */
async function timed(work) {
  const start = performance.now();
  return [await work(), performance.now() - start];
}
