// Questions: a guess opens what was measured, and is held against it there. Guesses stay in this browser tab only.
"use strict";

/** @param {string} key @returns {string} */
const stored = (key) => `posgrad:${location.pathname}#${key}`;

/** @param {string} key @returns {string | null} */
function remembered(key) {
  try {
    return sessionStorage.getItem(stored(key));
  } catch {
    return null; // a browser that keeps nothing
  }
}

/** @param {string} key @param {string | null} value */
function remember(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(stored(key));
    else sessionStorage.setItem(stored(key), value);
  } catch {
    // it is forgotten with the page
  }
}

/** Show or hide all that a question gives away; n: the guess, -1 for none. @param {HTMLElement} question @param {number} n */
function show(question, n) {
  const key = question.id;
  const buttons = [...question.querySelectorAll("button[value]")];
  buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === n)));
  for (const gate of document.querySelectorAll(`details.gate[data-question="${key}"]`)) {
    /** @type {HTMLDetailsElement} */ (gate).open = n >= 0;
  }
  const words = buttons.map((button) => button.textContent ?? "");
  const answer = Number(question.dataset.answer);
  const reply = n < 0 ? "" : `Noted: ${words[n]}. Read on to see.`;
  const says = n < 0 ? "" : n === answer ? "As you predicted." : `You predicted: ${words[n]}. What did you expect to happen?`;
  /** @type {HTMLElement} */ (question.querySelector(".reply")).textContent = reply;
  for (const verdict of document.querySelectorAll(`.verdict[data-question="${key}"]`)) verdict.textContent = says;
  contents();
}

/** Leave headings that are still hidden out of the list of contents: some of them give an answer away. */
function contents() {
  for (const link of document.querySelectorAll(".toc-tree a[href^='#']")) {
    const target = document.getElementById(decodeURIComponent(/** @type {HTMLAnchorElement} */ (link).hash.slice(1)));
    const closed = Boolean(target?.closest("details.gate:not([open])"));
    /** @type {HTMLElement} */ (link.closest("li") ?? link).hidden = closed;
  }
}

/** @param {HTMLElement} question */
function prepare(question) {
  const before = remembered(question.id);
  question.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("button[value]");
    if (!(button instanceof HTMLButtonElement)) return;
    remember(question.id, button.value);
    show(question, Number(button.value));
  });
  show(question, before === null ? -1 : Number(before));
}

/** A browser opens what an address or a search on the page points into. Before a guess, that leads to the question. @param {Element} gate */
function guard(gate) {
  gate.addEventListener("toggle", () => {
    if (!(gate instanceof HTMLDetailsElement) || !gate.open) return;
    const question = document.getElementById(gate.dataset.question ?? "");
    if (!question || question.querySelector("[aria-pressed='true']")) return;
    gate.open = false;
    question.scrollIntoView({ block: "center" });
    question.querySelector("button")?.focus({ preventScroll: true });
  });
}

const asked = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".question")]);
document.querySelectorAll("details.gate").forEach(guard);
asked.forEach(prepare);
