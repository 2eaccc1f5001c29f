/** A box for a class, with suggestions as one types: the combobox pattern of the ARIA Authoring Practices. */

import { RANKED, suggestions } from "./classes.js";

/** @typedef {{word: string, note: string}} Offer */

export class Combobox {
  /**
   * @param {HTMLElement} place
   * @param {string} id of the input, which a label names
   * @param {(word: string) => void} choose called when a word was chosen or typed to the end
   */
  constructor(place, id, choose) {
    this.choose = choose;
    this.said = "";
    this.active = -1;
    /** @type {import("./classes.js").Names} */
    this.names = { labels: [], synonyms: [] };
    /** @type {Offer[]} */
    this.offers = [];
    this.input = document.createElement("input");
    Object.assign(this.input, { id, type: "text", autocomplete: "off", spellcheck: false });
    this.list = document.createElement("ul");
    Object.assign(this.list, { id: `${id}-list`, hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Suggestions");
    const roles = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false" };
    for (const [name, value] of Object.entries(roles)) this.input.setAttribute(name, value);
    this.input.setAttribute("aria-controls", this.list.id);
    place.append(this.input, this.list);
    this.listen();
  }

  listen() {
    this.input.addEventListener("input", () => this.offer());
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.finish());
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // so that the focus stays
    this.list.addEventListener("click", (event) => {
      // Not before: a finger that is put down may want to scroll.
      const item = event.target instanceof Element ? event.target.closest("li") : null;
      if (item) this.take(Number(item.dataset.place));
    });
  }

  get value() {
    return this.said;
  }

  /** @param {string} word */
  set value(word) {
    this.said = word;
    if (document.activeElement !== this.input || this.list.hidden) this.input.value = word;
  }

  /** Show what the letters typed so far may become. */
  offer() {
    const typed = this.input.value.trim();
    const ranked = RANKED.filter((word) => word.startsWith(typed.toLowerCase())).map((word) => ({ word, note: "" }));
    const fits = typed ? suggestions(typed, this.names) : [];
    this.offers = [...ranked, ...fits.map(({ label, other }) => ({ word: label, note: other }))];
    this.active = -1;
    this.draw();
  }

  draw() {
    const open = this.offers.length > 0 && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    this.list.replaceChildren(...this.offers.map((offer, place) => this.item(offer, place)));
    const current = this.list.children[this.active];
    if (current) this.input.setAttribute("aria-activedescendant", current.id);
    else this.input.removeAttribute("aria-activedescendant");
    current?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {Offer} offer
   * @param {number} place
   */
  item({ word, note }, place) {
    const item = document.createElement("li");
    item.id = `${this.input.id}-${place}`;
    item.dataset.place = String(place);
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(place === this.active));
    item.textContent = note ? `${word} (${note})` : word;
    return item;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (this.list.hidden) this.offer();
      const places = this.offers.length + 1; // one for none
      this.active = ((this.active + 1 + step + places) % places) - 1;
      this.draw();
    } else if (event.key === "Enter") {
      if (this.active >= 0) this.take(this.active);
      else this.finish();
    } else if (event.key === "Escape" && !this.list.hidden) {
      this.input.value = this.said;
      this.close();
    }
  }

  /** @param {number} place */
  take(place) {
    this.input.value = this.offers[place].word;
    this.finish();
  }

  /** Hand on what stands in the box. */
  finish() {
    this.close();
    const word = this.input.value.trim();
    if (word === this.said) return;
    this.said = word;
    this.choose(word);
  }

  close() {
    this.offers = [];
    this.draw();
  }
}
