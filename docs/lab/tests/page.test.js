/** The page's own functions against numbers of the package (fixtures.json, by make_fixtures.py). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { finalReLU } from "../page/cells.js";
import { resolve, suggestions, understood } from "../page/classes.js";
import { coloured, faded, pairLimit, symmetricLimit } from "../page/colours.js";
import { compare, correlation, isDegenerate, ranks } from "../page/ranks.js";
import { normalized, roundHalfEven, view } from "../page/resize.js";
import { START, format, parse } from "../page/state.js";
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
