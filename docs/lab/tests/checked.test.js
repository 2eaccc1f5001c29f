/** When the graphics processor may compute a map: only where it gave the same one. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CheckedEngine, allowed, same } from "../page/checked.js";

const EXACT = { within: 1e-4 };
const GATES = { within: 5e-2, alike: 0.999 };
const map = Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * i));
/** @param {(value: number, place: number) => number} change */
const changed = (change) => map.map((value, place) => change(value, place));

test("maps are the same up to rounding, and only then", () => {
  assert.ok(same(map, map, EXACT));
  assert.ok(same(changed((v) => v + 5e-5), map, EXACT));
  assert.ok(!same(changed((v, i) => (i === 7 ? v + 2e-4 : v)), map, EXACT), "one pixel");
  assert.ok(!same(changed((v) => 1.001 * v), map, EXACT), "the scale");
  assert.ok(!same(changed((v) => Math.max(0, v)), map, EXACT), "the other handling");
  assert.ok(!same(changed((v, i) => (i === 7 ? NaN : v)), map, EXACT));
  assert.ok(!same(map.subarray(1), map, EXACT));
  const zeros = new Float32Array(400);
  assert.ok(same(zeros, zeros, EXACT));
  assert.ok(!same(changed((v) => v / 1e6), zeros, EXACT));
});

test("a gate at a kink may flip, but not more", () => {
  assert.ok(same(changed((v, i) => (i === 7 ? v + 0.04 : v)), map, GATES));
  assert.ok(!same(changed((v, i) => (i === 7 ? v + 0.06 : v)), map, GATES));
  const peaks = map.map((v) => v ** 15); // most values are small
  assert.ok(!same(peaks.map((v, i) => v + 0.04 * Math.cos(3 * i)), peaks, GATES), "small values in another order");
});

const METHODS = /** @type {import("../page/types.js").Method[]} */ (
  /** @type {unknown} */ ([
    { key: "gradcam", output: "gradcam", coarse: true, handlings: [{ key: "signed", positive: 0 }] },
    ...["gradient", "guided-backprop", "deconvnet"].map((key) => ({
      key,
      output: key,
      graph: key,
      coarse: false,
      handlings: [
        { key: "signed", positive: 0 },
        { key: "positive", positive: 1 },
      ],
    })),
    {
      key: "lrp",
      output: "lrp",
      coarse: false,
      handlings: [{ key: "published", positive: 0, graph: "lrp-published" }],
    },
  ])
);
/** @param {string} graph @param {number} positive @param {number} depth @returns {import("../page/engine.js").Run} */
const run = (graph, positive, depth = 0) => ({ photo: "coffee", graph, depth, positive, shift: 0, score: [1, null] });

test("how far maps may be apart depends on the method and its handling", () => {
  assert.deepEqual(allowed(METHODS, run("cam", 0), "gradcam"), EXACT);
  assert.deepEqual(allowed(METHODS, run("cam", 0), "logits"), EXACT);
  assert.deepEqual(allowed(METHODS, run("gradient", 1), "gradient"), GATES);
  assert.deepEqual(allowed(METHODS, run("guided-backprop", 0), "guided-backprop"), GATES);
  assert.equal(allowed(METHODS, run("guided-backprop", 1), "guided-backprop").within, 1e-4);
  assert.equal(allowed(METHODS, run("deconvnet", 0), "deconvnet").within, 1e-4);
  assert.equal(allowed(METHODS, run("lrp-published", 0), "lrp").within, 2e-3);
});

/**
 * Return an engine that checks another one, the runs that the other was asked for, and what was said.
 * @param {(run: import("../page/engine.js").Run) => Float32Array} fast
 */
function engines(fast) {
  /** @type {string[]} */
  const said = [];
  /** @type {string[]} */
  const asked = [];
  const wait = () => new Promise((done) => setTimeout(done, 20));
  const slow = {
    base: new URL("file:///"),
    manifest: { methods: METHODS },
    kept: () => undefined,
    session: async () => {},
    run: () => wait().then(() => ({ gradcam: map })),
  };
  const quick = async (/** @type {import("../page/engine.js").Run} */ run) => {
    asked.push(`${run.positive} ${run.depth}`);
    return { gradcam: fast(run) };
  };
  const checked = new CheckedEngine(/** @type {any} */ (slow), (words) => said.push(words));
  Object.assign(checked, { ready: true, fast: { kept: () => undefined, run: quick, compute: quick } });
  return { checked, asked, said };
}

test("each handling is checked, and random layers once more", async () => {
  const wrong = changed((v) => v + 0.1);
  const { checked, asked, said } = engines(({ positive, depth }) => (positive || depth ? wrong : map));
  for (const each of [run("cam", 0), run("cam", 1), run("cam", 0, 2)]) {
    assert.deepEqual((await checked.run(each)).gradcam, map);
  }
  assert.deepEqual([...checked.verdicts.values()], [true, false, false]);
  assert.deepEqual(said.map((words) => words.includes("the same maps")), [true, false, false]);
  const before = asked.length;
  await checked.run(run("cam", 0));
  await checked.run(run("cam", 1));
  await checked.run(run("cam", 0, 5));
  assert.deepEqual(asked.slice(before), ["0 0"]); // where it was right, and nowhere else
});

test("where the graphics processor is lost, the other computes", async () => {
  let lost = false;
  const { checked, asked, said } = engines(() => {
    if (lost) throw new Error("the device is lost");
    return map;
  });
  await checked.run(run("cam", 0));
  lost = true;
  assert.deepEqual((await checked.run(run("cam", 0))).gradcam, map);
  assert.ok(said.at(-1)?.includes("has stopped"));
  const before = asked.length;
  assert.deepEqual((await checked.run(run("cam", 0))).gradcam, map);
  assert.equal(asked.length, before);
});
