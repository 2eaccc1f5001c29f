/** From a word to the class that it stands for, by the rules of posgrad_edu.models.labels. */

const [LABEL, SYNONYM, WHOLE_WORD, BEGINNING, PART] = [0, 1, 2, 3, 4]; // how well a word fits a class
export const RANKED = ["most likely", "runner-up", "least likely"];
const MEANINGS = 12; // of a word: so many classes are offered

/**
 * @typedef {{labels: string[], synonyms: string[][]}} Names
 * @typedef {{index: number} | {question: string, options: number[]}} Answer
 */

/**
 * Return a name as it's compared: lower case, single spaces, neither underscores nor hyphens.
 * @param {string} name
 */
export const plain = (name) => name.toLowerCase().replace(/[_-]/g, " ").split(/\s+/).filter(Boolean).join(" ");

/**
 * Return how well a word fits a class, null for not at all.
 * @param {string} word
 * @param {string[]} names plain; the first is the label
 */
function fit(word, names) {
  if (names.includes(word)) return word === names[0] ? LABEL : SYNONYM;
  const text = names.join(" | ");
  const literal = word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  const [before, after] = ["(?<![\\p{L}\\p{N}_])", "(?![\\p{L}\\p{N}_])"];
  if (!word) return null;
  if (new RegExp(before + literal + after, "u").test(text)) return WHOLE_WORD;
  if (new RegExp(before + literal, "u").test(text)) return BEGINNING;
  return text.includes(word) ? PART : null;
}

/** @type {WeakMap<Names, string[][]>} */
const plainNames = new WeakMap();

/** @param {Names} names */
function allPlain(names) {
  let found = plainNames.get(names);
  if (!found) {
    found = names.labels.map((label, i) => [label, ...(names.synonyms[i] ?? [])].map(plain));
    plainNames.set(names, found);
  }
  return found;
}

/**
 * Return the classes that a word fits, best first, each with how well.
 * @param {string} word
 * @param {Names} names
 */
export function matches(word, names) {
  const wanted = plain(word);
  return allPlain(names)
    .map((those, index) => ({ index, rank: fit(wanted, those) }))
    .filter((each) => each.rank !== null)
    .sort((a, b) => Number(a.rank) - Number(b.rank) || a.index - b.index);
}

/**
 * Return the class that a word, a number or a rank stands for, or a question where that isn't clear.
 * @param {string} word
 * @param {Names} names
 * @param {number[]} ranking the classes from the most to the least likely
 * @returns {Answer}
 */
export function resolve(word, names, ranking) {
  const place = RANKED.map(plain).indexOf(plain(word));
  if (place >= 0) return { index: ranking[place < 2 ? place : ranking.length - 1] };
  if (/^\s*-?\d+\s*$/.test(word)) return byNumber(Number(word), names);
  const found = matches(word, names);
  const best = found.filter((each) => each.rank === found[0]?.rank);
  if (best.length === 1 && Number(best[0].rank) <= SYNONYM) return { index: best[0].index };
  if (found.length === 1 && fit(plain(word), [plain(names.labels[found[0].index])]) === WHOLE_WORD) {
    return { index: found[0].index };
  }
  return ask(word, names, found.map((each) => each.index));
}

/**
 * @param {number} number
 * @param {Names} names
 * @returns {Answer}
 */
function byNumber(number, names) {
  if (number >= 0 && number < names.labels.length) return { index: number };
  return { question: `Class ${number} is out of range: classes are 0 to ${names.labels.length - 1}.`, options: [] };
}

/**
 * @param {string} word
 * @param {Names} names
 * @param {number[]} found
 * @returns {Answer}
 */
function ask(word, names, found) {
  if (!plain(word)) return { question: "Type a word for the class, such as espresso.", options: [] };
  const options = (found.length ? found : nearest(word, names)).slice(0, MEANINGS);
  if (found.length === 1) return { question: `“${word}” is only a part of a name. Do you mean this one?`, options };
  if (found.length) return { question: `“${word}” fits ${found.length} classes. Which one?`, options };
  const hint = options.length ? "Did you mean one of these?" : "Try another word, such as espresso.";
  return { question: `None of the 1,000 classes is called “${word}”. ${hint}`, options };
}

/**
 * Return up to six classes with a name that looks like the word.
 * @param {string} word
 * @param {Names} names
 */
function nearest(word, names) {
  const pairs = letterPairs(plain(word));
  return allPlain(names)
    .map((those, index) => ({ index, like: Math.max(...those.map((name) => alike(pairs, letterPairs(name)))) }))
    .filter((each) => each.like >= 0.4)
    .sort((a, b) => b.like - a.like)
    .slice(0, 6)
    .map((each) => each.index);
}

/** @param {string} text */
const letterPairs = (text) => new Set(Array.from(` ${text} `.slice(0, -1), (_, i) => ` ${text} `.slice(i, i + 2)));

/** @param {Set<string>} a @param {Set<string>} b */
const alike = (a, b) => (2 * [...a].filter((pair) => b.has(pair)).length) / (a.size + b.size);

/**
 * Say as which class a word was understood, where it isn't that class's label, a number or a rank.
 * @param {string} word
 * @param {number} index
 * @param {Names} names
 */
export function understood(word, index, names) {
  const said = plain(word);
  const clear = said === plain(names.labels[index]) || RANKED.map(plain).includes(said) || /^\s*\d+\s*$/.test(word);
  return clear ? "" : `“${word}” is understood as ${names.labels[index]}.`;
}

/**
 * Return what to offer while somebody types: labels, each with the name that the word fits if it's another.
 * @param {string} word
 * @param {Names} names
 */
export function suggestions(word, names, most = 8) {
  const wanted = plain(word);
  return matches(word, names)
    .slice(0, most)
    .map(({ index }) => {
      const label = names.labels[index];
      const other = plain(label).includes(wanted) ? "" : names.synonyms[index].find((n) => plain(n).includes(wanted));
      return { index, label, other: other ?? "" };
    });
}

