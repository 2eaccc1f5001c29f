/** The first thing on the page: two maps that look the same, a guess, and the switch. */

import { drawPuzzle, element } from "./stage.js";
import { percent } from "./words.js";
import { softmax } from "./answer.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Manifest} Manifest
 */

const OPPOSITE = -0.5; // rank correlation of maps that describe() calls opposite

export class Puzzle {
  /**
   * @param {boolean} open whether to begin with it
   */
  constructor(open) {
    this.open = open;
    this.closed = false;
    this.hands = false; // whether to lead the keyboard to the switch
    this.onGuess = () => {};
    this.order = Math.random() < 0.5 ? [0, 1] : [1, 0];
    /** @type {Answer | null} */
    this.answer = null;
    this.verdict = "";
    this.a = "";
    this.b = "";
    element("guess").addEventListener("click", (event) => {
      const button = event.target instanceof HTMLElement ? event.target.closest("button") : null;
      if (button) this.take(Number(button.dataset.guess));
    });
    if (!open) this.close();
  }

  /** Leave the puzzle and its story: what comes next is about other maps. */
  close() {
    if (this.closed) return;
    this.closed = true;
    this.open = false;
    this.hands = false;
    element("guess").hidden = true;
    document.documentElement.classList.add("plain");
    tell(
      "Which map listens?",
      "Red is evidence for the class, blue is evidence against it. Ask about something that isn't there: a map that " +
        "listens changes. For the least likely class it may turn round; for most others it is merely another map.",
    );
  }

  /**
   * @param {Answer} answer
   * @param {import("./types.js").Seen} seen
   * @param {Manifest} manifest
   */
  show(answer, seen, manifest) {
    this.answer = answer;
    [this.a, this.b] = answer.classes.map((c) => manifest.labels[c]);
    drawPuzzle(answer, seen, this.order);
    element("guess-name").textContent = element("story-a").textContent = this.a;
    element("story-b").textContent = this.b;
    element("guess").hidden = false;
  }

  /** @param {number} place the map that is taken for class A's, or -1 */
  take(place) {
    if (!this.answer) return;
    const right = this.order.indexOf(0);
    const verdict = place < 0 ? "Fair enough" : place === right ? "Right" : "No";
    this.verdict = `${verdict}: map ${right + 1} was about ${this.a}.`;
    this.open = false;
    element("guess").hidden = true;
    this.hands = true;
    this.onGuess();
  }

  /**
   * Return what each map was called in the puzzle, as long as it is told which was which: from now on A comes first.
   * @param {Answer} answer
   */
  was(answer) {
    if (this.closed || answer.state.handling !== "positive") return [];
    return [0, 1].map((c) => `(was map ${this.order.indexOf(c) + 1})`);
  }

  /**
   * Say what the guess was worth, and what the flip has changed.
   * @param {Answer} answer
   */
  after(answer) {
    const chosen = /** @type {HTMLElement | null} */ (element("handlings").querySelector(":checked"));
    if (this.hands) chosen?.focus();
    this.hands = false;
    if (this.closed) return;
    const { a, b } = this;
    if (answer.state.handling === "signed" && answer.spearman <= OPPOSITE) {
      return tell(
        "Now it answers.",
        `Where the map says yes to ${a}, it says no to ${b}, of all classes the least likely here; for most others ` +
          "it is merely another map. Same network, same photo, same method: one switch decides whether a map depends " +
          "on what you ask. Does it always? Try to find where it doesn't.",
      );
    }
    const absolute = answer.state.handling === "absolute";
    const did = absolute ? "dropped the gradients' signs" : "kept only the positive gradients";
    const share = percent(softmax(answer.logits)[answer.classes[1]]);
    tell(
      this.verdict,
      `There is no ${b} here, and the network knows it (${share}). Still its map is red in the same places: this ` +
        `method ${did}. Now ${a} comes first, and both maps share one scale. Keep ` +
        "both signs: flip the switch.",
    );
  }
}

/**
 * Write heading and story, if they are others: they are read out when they change.
 * @param {string} heading
 * @param {string} story
 */
function tell(heading, story) {
  for (const [id, words] of Object.entries({ heading, story })) {
    if (element(id).textContent !== words) element(id).textContent = words;
  }
}
