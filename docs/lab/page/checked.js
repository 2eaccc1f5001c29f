/** Maps by the graphics processor, where they are the same as those of the processor. Each graph is checked once. */

import { Engine } from "./engine.js";
import { largest } from "./colours.js";
import { compare } from "./ranks.js";

/** @typedef {import("./engine.js").Run} Run */

const TYPICAL = 1e-3; // of the largest magnitude: how far the median pixel may lie
const ALIKE = 0.99; // rank correlation: a gate at a kink may be open here and closed there

/**
 * Tell whether two maps are the same up to rounding, and to single gates at kinks.
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
export function same(a, b) {
  const most = largest([b]) || 1;
  const apart = a.map((value, i) => Math.abs(value - b[i]) / most).sort();
  const correlation = compare(a, b).spearman;
  return apart[apart.length >> 1] <= TYPICAL && (correlation >= ALIKE || apart[apart.length - 1] <= TYPICAL);
}

export class CheckedEngine {
  /**
   * @param {Engine} slow whose maps are known to be right
   * @param {(words: string) => void} report told of each verdict
   */
  constructor(slow, report) {
    this.slow = slow;
    this.report = report;
    this.fast = new Engine(slow.base, "webgpu");
    /** @type {Map<string, boolean>} whether the fast engine computes a graph from now on */
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
    return this.slow.kept(run) ?? (this.verdicts.get(run.graph) ? this.fast.kept(run) : undefined);
  }

  /** Let go of all maps. */
  forget() {
    this.slow.results.things.clear();
    this.fast.results.things.clear();
  }

  /** @param {Run} run */
  async run(run) {
    const known = this.kept(run);
    if (known || !this.ready || this.verdicts.get(run.graph) === false) return known ?? this.slow.run(run);
    if (this.verdicts.has(run.graph)) return this.fast.run(run);
    const [right, before] = await timed(() => this.slow.compute(run));
    this.verdicts.set(run.graph, await this.check(run, right, before));
    return this.slow.run(run);
  }

  /**
   * @param {Run} run
   * @param {import("./engine.js").Result} right
   * @param {number} before milliseconds that it took
   */
  async check(run, right, before) {
    const name = run.graph.replace(/^graphs\/|\.onnx$/g, "");
    try {
      const found = await this.fast.compute(run); // the first run prepares, too
      const [, now] = await timed(() => this.fast.compute(run));
      const equal = Object.keys(right).every((output) => same(found[output], right[output]));
      const times = `${Math.round(now)} ms instead of ${Math.round(before)}`;
      this.report(equal ? `${name}: the same maps, in ${times}.` : `${name}: other maps, so it isn't used for these.`);
      return equal && now < before;
    } catch {
      this.report(`${name}: it can't compute these.`);
      return false;
    }
  }
}

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<[T, number]>}
 */
async function timed(work) {
  const start = performance.now();
  return [await work(), performance.now() - start];
}
