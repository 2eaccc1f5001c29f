/** The page's own functions against numbers of the package (fixtures.json, by make_fixtures.py). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { ofImpostor, sentence } from "../page/answer.js";
import { finalReLU } from "../page/cells.js";
import { resolve, suggestions, understood } from "../page/classes.js";
import { coloured, faded, pairLimit, symmetricLimit } from "../page/colours.js";
import { Kept } from "../page/engine.js";
import { compare, correlation, isDegenerate, ranks } from "../page/ranks.js";
import { normalized, roundHalfEven, view } from "../page/resize.js";
import { START, format, link, normalised, parse, sameQuestion } from "../page/state.js";
import { CONSTANT, describe, describeMap, fullColour, percent, signedNumber, twoDigits } from "../page/words.js";

const fixtures = JSON.parse(readFileSync(new URL("fixtures.json", import.meta.url), "utf8"));

/** @param {string} text */
const bytes = (text) => new Uint8ClampedArray(Buffer.from(text, "base64"));
/** @param {string} text */
const floats = (text) => new Float32Array(bytes(text).buffer);
/** @param {number} a @param {number} b */
const near = (a, b, within = 1e-6) => assert.ok(Math.abs(a - b) <= within * Math.max(1, Math.abs(b)), `${a}, not ${b}`);

test("ranks are SciPy's, ties and zeros of both signs included", () => {
  for (const each of fixtures.ranks) {
    assert.deepEqual(ranks(floats(each.a)), new Float64Array(bytes(each.ranks).buffer));
    if (each.spearman !== null) near(correlation(ranks(floats(each.a)), ranks(floats(each.b))), each.spearman, 1e-12);
  }
});

test("a constant map can't be compared, also where it is so up to rounding", () => {
  assert.ok(isDegenerate(Float32Array.of(1, 1 + 2 ** -22, 1)));
  assert.ok(isDegenerate(Float32Array.of(0, 0)));
  assert.ok(isDegenerate(Float32Array.of(0, NaN)));
  assert.ok(!isDegenerate(Float32Array.of(1, 1.00001)));
  assert.ok(Number.isNaN(compare(Float32Array.of(0, 0), Float32Array.of(1, 2)).spearman));
  const folded = compare(Float32Array.of(-3, 1, 2), Float32Array.of(3, -1, -2));
  near(folded.spearman, -1);
  near(folded.magnitudes, 1);
});

test("what the network sees is Pillow's, byte for byte, and the input PyTorch's", () => {
  for (const each of fixtures.views) {
    const seen = view({ width: each.width, height: each.height, data: bytes(each.photo) }, each.recipe);
    assert.deepEqual(seen.data, bytes(each.view));
    const expected = floats(each.input);
    normalized(seen, each.recipe).forEach((value, i) => near(value, expected[i], 1e-7));
  }
  assert.deepEqual([0.5, 1.5, 2.5, 2.4, 2.6].map(roundHalfEven), [0, 2, 2, 2, 3]);
});

test("a CAM's final ReLU clamps its cells, not its pixels", () => {
  const expected = floats(fixtures.relu.clamped);
  finalReLU(floats(fixtures.relu.map)).forEach((value, i) => near(value, expected[i], 2e-6));
  const fine = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i));
  assert.deepEqual(finalReLU(fine), fine.map((value) => Math.max(0, value)));
});

test("colours and their scale are the package's", () => {
  const { photo, maps, symmetric, pair, overlay, heatmap } = fixtures.colours;
  const both = maps.map(floats);
  near(symmetricLimit(both), symmetric);
  near(pairLimit(both), pair);
  const within = (/** @type {Uint8ClampedArray} */ a, /** @type {Uint8ClampedArray} */ b) =>
    a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) <= 1));
  within(coloured(both[0], symmetric, faded(bytes(photo))), bytes(overlay));
  within(coloured(both[0], symmetric), bytes(heatmap));
  assert.equal(symmetricLimit([new Float32Array(4)]), 1);
  assert.equal(pairLimit([new Float32Array(4), new Float32Array(4)]), 1);
});

test("sentences and numbers are the widgets'", () => {
  const { words } = fixtures;
  for (const [value, sentence] of words.describe) assert.equal(describe(value, "espresso", "cup"), sentence);
  assert.equal(describe(NaN, "a", "b"), CONSTANT);
  assert.equal(describe(0.95, "the trained network", "the random one", "networks"), words.networks);
  for (const [value, text] of words.signed) assert.equal(signedNumber(value), text);
  for (const [value, text] of words.digits) assert.equal(twoDigits(value), text);
  for (const [value, text] of words.percent) assert.equal(percent(value), text);
  for (const [map, text] of words.maps) assert.equal(describeMap(floats(map), 2), text);
  assert.deepEqual([words.peak, 0].map((peak) => fullColour(0.3, peak)), words.full);
});

test("a word stands for the class that the package takes it for, or is asked about", () => {
  const { labels, synonyms, words } = fixtures.classes;
  const ranking = labels.map((/** @type {string} */ _, /** @type {number} */ i) => labels.length - 1 - i);
  for (const [word, expected] of Object.entries(words)) {
    const answer = resolve(word, { labels, synonyms }, ranking);
    if (typeof expected === "number") assert.deepEqual(answer, { index: expected }, word);
    else {
      assert.ok("question" in answer, word);
      if (word && expected.length) assert.deepEqual(answer.options, expected, word);
    }
  }
  const ask = (/** @type {string} */ word) => resolve(word, { labels, synonyms }, ranking);
  assert.deepEqual(ask("Most likely"), { index: 9 });
  assert.deepEqual(ask("runner_up"), { index: 8 });
  assert.deepEqual(ask("least likely"), { index: 0 });
  assert.deepEqual(ask(" 4 "), { index: 4 });
  assert.match(/** @type {{question: string}} */ (ask("10")).question, /out of range: classes are 0 to 9/);
  assert.deepEqual(/** @type {{options: number[]}} */ (ask("expresso")).options, [3]);
  assert.equal(understood("bird", 5, { labels, synonyms }), "“bird” is understood as crane.");
  assert.equal(understood("Espresso", 3, { labels, synonyms }), "");
  assert.deepEqual(suggestions("jers", { labels, synonyms }), [{ index: 8, label: "T-shirt", other: "jersey" }]);
});

test("an address holds the state and nothing else, and a wrong one does no harm", () => {
  const state = { ...START, photo: "cat", b: "African hunting dog", relu: true, depth: 3, shift: -0.25 };
  assert.deepEqual(parse(format(state)), state);
  assert.equal(format(state), "#photo=cat&b=African+hunting+dog&relu=1&depth=3&shift=-0.25");
  assert.equal(format(START), "#photo=coffee");
  assert.deepEqual(parse(""), START);
  const wild = parse("#handling=sideways&contrast=%00&shift=1e9&depth=-4&photo=%3Cscript%3E&unknown=1");
  assert.deepEqual(wild, { ...START, shift: 1, photo: "<script>" });
  assert.deepEqual(parse("#shift=NaN&depth=x"), START);
  assert.equal(parse("#method=gradcam++").method, "gradcam++");
  assert.equal(parse(format({ ...START, method: "gradcam++" })).method, "gradcam++");
});

/** @param {...import("../page/state.js").Handling} keys */
const handlings = (...keys) => keys.map((key, positive) => ({ key, positive }));
const three = handlings("signed", "positive", "absolute");
const layers = ["last", "middle"].map((name) => ({ name, graph: `${name}.onnx` }));
const words = { title: "", line: "", coarse: false, output: "" };
/** @type {Parameters<typeof normalised>[1]} */
const manifest = {
  methods: [
    { ...words, key: "fullgrad", published: "absolute", handlings: three },
    { ...words, key: "gradcam", published: "signed", handlings: three, layers },
    { ...words, key: "gradcam++", published: "positive", handlings: three, layers },
    { ...words, key: "lrp", published: null, handlings: handlings("published", "signed", "positive") },
  ],
  randomized: { seed: 0, layers: 50, steps: [1, 2, 5].map((depth) => ({ depth, layers: [], file: "", replaced: [] })) },
  shift: { values: [-1, -0.25, 0, 0.25, 1] },
};
/** @param {Partial<import("../page/state.js").State>} given */
const settled = (given) => normalised({ ...START, ...given }, manifest);

test("a state that doesn't exist becomes the nearest that does", () => {
  assert.deepEqual(settled({}), START);
  const handling = (/** @type {string} */ method, /** @type {import("../page/state.js").Handling} */ key) =>
    settled({ method, handling: key }).handling;
  assert.equal(handling("gradcam++", "published"), "positive");
  assert.equal(handling("gradcam", "published"), "signed");
  assert.equal(handling("fullgrad", "published"), "absolute");
  assert.equal(handling("lrp", "published"), "published");
  assert.equal(handling("lrp", "absolute"), "positive");
  assert.equal(handling("lrp", "signed"), "signed");
  assert.equal(settled({ method: "magic" }).method, "gradcam");
  assert.equal(settled({ layer: "middle" }).layer, "middle");
  assert.equal(settled({ layer: "last" }).layer, "");
  assert.equal(settled({ layer: "nowhere" }).layer, "");
  assert.equal(settled({ method: "lrp", layer: "middle" }).layer, "");
  assert.deepEqual([0, 1, 3, 4, 1000].map((depth) => settled({ depth }).depth), [0, 1, 2, 5, 5]);
  assert.deepEqual([0.3, -0.9, 0.1].map((shift) => settled({ shift }).shift), [0.25, -1, 0]);
  const both = settled({ depth: 2, shift: 0.25 });
  assert.deepEqual([both.depth, both.shift], [2, 0]);
  for (const state of [settled({ method: "lrp", handling: "absolute", shift: 0.3 }), both]) {
    assert.deepEqual(normalised(state, manifest), state);
    assert.deepEqual(parse(format(state)), state);
  }
});

test("the puzzle's story lasts as long as only the switch changes", () => {
  assert.ok(sameQuestion(START, { ...START, handling: "signed" }));
  for (const change of [{ photo: "cat" }, { a: "cup" }, { b: "cup" }, { method: "lrp" }, { contrast: "mean" }]) {
    assert.ok(!sameQuestion(START, /** @type {typeof START} */ ({ ...START, ...change })));
  }
});

test("a link leads to the whole lab, wherever it was copied", () => {
  const state = { ...START, photo: "cat" };
  for (const rest of ["?embed=1&theme=dark#", "?embed=1", "?theme=dark&embed=1#photo=own", "#photo=coffee", ""]) {
    assert.equal(link(`https://a.example/lab/index.html${rest}`, state), "https://a.example/lab/index.html#photo=cat");
  }
});

test("an impostor is called one only where its map is the same", () => {
  /** @param {number} most @param {number} spearman */
  const found = (most, spearman) => ofImpostor({ tried: 12, most, spearman });
  assert.match(found(9e-5, 0.95), /^Of 12 classes to which the network gives less than 0\.01\u00a0%, this one's/);
  assert.match(found(2e-4, 0.95), /gives less than 0\.1\u00a0%/);
  assert.match(found(0.02, 0.95), /gives at most 2\.0\u00a0%/);
  assert.match(found(9e-5, 0.8), /none has the same positive map/);
});

test("what the shift changes by rounding is called so", () => {
  const maps = /** @type {[Float32Array, Float32Array]} */ ([Float32Array.of(1, 2, 3, 4), Float32Array.of(1, 2, 4, 3)]);
  const answer = {
    ...{ state: { ...START, shift: 0.25 }, classes: /** @type {[number, number]} */ ([0, 1]), maps },
    ...{ logits: Float32Array.of(1, 0), softmaxChange: 1e-5, spearman: 0.8, magnitudes: 0.8, took: 0 },
    limits: /** @type {[number, number]} */ ([1, 1]),
  };
  /** @type {any} */
  const names = { labels: ["cup", "cat"] };
  assert.match(sentence(answer, names), /changes by up to 1e-05 \(rounding\)\. Rank correlation \+0\.80\./);
});

test("the maps that are kept have a bound in bytes, and the latest used stay", () => {
  /** @type {number[]} */
  const dropped = [];
  /** @type {Kept<number>} */
  const kept = new Kept(10, (bytes) => bytes, (bytes) => dropped.push(bytes));
  for (const bytes of [4, 5]) kept.set(`${bytes}`, bytes);
  kept.get("4");
  kept.set("3", 3);
  assert.deepEqual([[...kept.things.keys()], dropped], [["4", "3"], [5]]);
  kept.set("100", 100);
  assert.deepEqual([...kept.things.keys()], ["100"]);
  kept.things.clear();
  kept.set("10", 10);
  assert.deepEqual([...kept.things.keys()], ["10"]);
});
