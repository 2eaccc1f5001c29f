/** The first thing on the page: two maps that look the same, a guess, and the switch. */

import { drawPuzzle, element } from "./stage.js";
import { percent } from "./words.js";
import { softmax } from "./answer.js";

/**
 * @typedef {import("./types.js").Answer} Answer
 * @typedef {import("./types.js").Manifest} Manifest
 */

export class Puzzle {
  /**
   * @param {boolean} open whether to begin with it
   */
  constructor(open) {
    this.open = open;
    this.guessed = false;
    this.hands = false; // whether to lead the keyboard to the switch
    this.onGuess = () => {};
    this.order = Math.random() < 0.5 ? [0, 1] : [1, 0];
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {Manifest | null} */
    this.manifest = null;
    element("guess").addEventListener("click", (event) => {
      const button = event.target instanceof HTMLElement ? event.target.closest("button") : null;
      if (button) this.take(Number(button.dataset.guess));
    });
    if (!open) this.close();
  }

  /** Leave the puzzle, without its story. */
  close() {
    this.open = false;
    this.guessed = false;
    element("guess").hidden = true;
    document.documentElement.classList.add("plain");
    element("heading").textContent = "Which map listens?";
    element("story").textContent =
      "Red is evidence for the class, blue is evidence against it. Ask about something that isn't there: " +
      "a map that listens says no.";
  }

  /**
   * @param {Answer} answer
   * @param {import("./types.js").Seen} seen
   * @param {Manifest} manifest
   */
  show(answer, seen, manifest) {
    this.answer = answer;
    this.manifest = manifest;
    drawPuzzle(answer, seen, this.order);
    element("guess").hidden = false;
  }

  /** @param {number} place the map that is taken for class A's, or -1 */
  take(place) {
    if (!this.answer || !this.manifest) return;
    const [a, b] = this.answer.classes.map((c) => this.manifest?.labels[c] ?? "");
    const right = this.order.indexOf(0);
    const verdict = place < 0 ? "Fair enough" : place === right ? "Right" : "No";
    const share = percent(softmax(this.answer.logits)[this.answer.classes[1]]);
    this.open = false;
    this.guessed = true;
    element("guess").hidden = true;
    element("heading").textContent = `${verdict}: map ${right + 1} was about ${a}.`;
    element("story").textContent =
      `There is no ${b} here, and the network knows it (${share}). Still its map is red in the same places: ` +
      "this method kept only the positive gradients. Keep both signs: flip the switch.";
    this.hands = true;
    this.onGuess();
  }

  /**
   * Say what the first flip has changed.
   * @param {Answer} answer
   * @param {Manifest} manifest
   */
  after(answer, manifest) {
    if (this.hands) /** @type {HTMLElement | null} */ (element("handlings").querySelector(":checked"))?.focus();
    this.hands = false;
    const same = answer.classes.every((c, i) => c === this.answer?.classes[i]);
    if (!this.guessed || !same || answer.state.handling !== "signed" || answer.spearman > -0.5) return;
    this.guessed = false;
    const [a, b] = answer.classes.map((c) => manifest.labels[c]);
    element("heading").textContent = "Now it answers.";
    element("story").textContent =
      `Where the map says yes to ${a}, it says no to ${b}. Same network, same photo, same method: ` +
      "one switch decides whether a map depends on what you ask. Does it always? Try to find where it doesn't.";
  }
}
