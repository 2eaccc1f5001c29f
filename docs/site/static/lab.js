// The browser lab on the site's pages: in lessons on demand; on the first page as soon as it's ready, in the puzzle's place.
"use strict";

const SLOW = 20000; // milliseconds after which a lab that says nothing is shown all the same

/** @returns {"light" | "dark"} */
function theme() {
  const chosen = document.body.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** @param {string} address @param {string} state @returns {HTMLIFrameElement} */
function frame(address, state) {
  const made = document.createElement("iframe");
  made.src = `${address}?embed=1&theme=${theme()}${state ? `#${state}` : ""}`;
  made.title = "The browser lab: maps of a photo, computed on this device";
  made.className = "lab-frame";
  made.allow = "camera";
  return made;
}

/** @returns {HTMLIFrameElement[]} */
const frames = () => [...document.querySelectorAll("iframe.lab-frame")].filter((f) => f instanceof HTMLIFrameElement);

/** Whether a page of 30 MB would be too much to load unasked. @returns {boolean} */
function sparing() {
  const line = /** @type {any} */ (navigator).connection;
  return Boolean(line && (line.saveData || /2g|3g/.test(line.effectiveType ?? "")));
}

/** The first page's: loads behind the puzzle, and takes its place when it's ready. @param {HTMLElement} place */
function live(place) {
  const puzzle = document.getElementById("puzzle");
  const button = document.createElement("button");
  const address = place.dataset.lab ?? "";
  button.type = "button";
  const start = () => {
    button.remove();
    const lab = frame(address, "");
    lab.classList.add("waiting");
    place.append(lab);
    const swap = () => {
      if (!lab.classList.contains("waiting")) return;
      if (puzzle?.dataset.used) {
        button.textContent = "The live puzzle is ready: any photo, any two classes";
        button.onclick = () => reveal();
        place.prepend(button);
      } else reveal();
    };
    const reveal = () => {
      button.remove();
      lab.classList.remove("waiting");
      if (puzzle) puzzle.hidden = true;
    };
    window.addEventListener("message", (event) => {
      if (event.source === lab.contentWindow && event.origin === location.origin && event.data?.posgradLabReady) swap();
    });
    lab.addEventListener("load", () => setTimeout(swap, SLOW));
  };
  puzzle?.addEventListener("change", () => (puzzle.dataset.used = "1"));
  if (sparing()) {
    button.textContent = "Compute it here, with any photo (about 30 MB)";
    button.onclick = start;
    place.append(button);
  } else start();
}

/** A lesson's: made when it's opened. @param {Element} details */
function onDemand(details) {
  details.addEventListener("toggle", () => {
    if (!(details instanceof HTMLDetailsElement) || !details.open || details.querySelector("iframe")) return;
    details.append(frame(details.dataset.lab ?? "", details.dataset.state ?? ""));
  });
}

window.addEventListener("message", (event) => {
  const height = Number(event.data?.posgradLabHeight);
  const sender = frames().find((f) => f.contentWindow === event.source);
  if (sender && event.origin === location.origin && height > 0) sender.style.height = `${Math.ceil(height)}px`;
});
new MutationObserver(() => frames().forEach((f) => f.contentWindow?.postMessage({ theme: theme() }, location.origin))).observe(
  document.body,
  { attributes: true, attributeFilter: ["data-theme"] },
);
document.querySelectorAll("details.lab").forEach(onDemand);
document.querySelectorAll(".lab-live").forEach((place) => place instanceof HTMLElement && live(place));
