// The browser lab on the site's pages: in lessons on demand; on the first page in the puzzle's place, once it's ready.
"use strict";

const SLOW = 20000; // milliseconds after which the page says that the lab isn't ready yet; the puzzle stays

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

/**
 * Whether the lab may load unasked: on a computer that doesn't save data. Phones don't say how they are connected, and
 * a room full of them shares one line: there somebody asks for it. @returns {boolean}
 */
function unasked() {
  const line = /** @type {any} */ (navigator).connection;
  const saving = line?.saveData || /2g|3g/.test(line?.effectiveType ?? "") || matchMedia("(prefers-reduced-data: reduce)").matches;
  return !saving && matchMedia("(min-width: 60rem) and (pointer: fine)").matches;
}

/** The first page's: loads behind the puzzle, and takes its place when it's ready. @param {HTMLElement} place */
function live(place) {
  const puzzle = document.getElementById("puzzle");
  const address = place.dataset.lab ?? "";
  const status = document.createElement("p");
  const button = document.createElement("button");
  status.setAttribute("role", "status");
  button.type = "button";
  puzzle?.addEventListener("change", () => (puzzle.dataset.used = "1"));
  const start = () => {
    const lab = frame(address, "");
    lab.classList.add("waiting");
    lab.inert = true;
    button.remove();
    place.append(lab);
    const late = setTimeout(() => {
      const link = Object.assign(document.createElement("a"), { href: address, textContent: "See how far it is." });
      status.replaceChildren("The live puzzle is still loading. The one above works without it. ", link);
    }, SLOW);
    const reveal = () => {
      button.remove();
      lab.classList.remove("waiting");
      lab.inert = false;
      if (puzzle) puzzle.hidden = true;
    };
    const ready = () => {
      clearTimeout(late);
      status.textContent = "";
      if (!puzzle?.dataset.used) return reveal();
      button.textContent = "The live puzzle is ready: any photo, any two classes";
      button.onclick = () => {
        reveal();
        lab.focus();
      };
      status.after(button);
    };
    window.addEventListener("message", (event) => {
      const ours = event.source === lab.contentWindow && event.origin === location.origin;
      if (ours && event.data?.posgradLabReady && lab.classList.contains("waiting")) ready();
    });
  };
  place.append(status);
  if (unasked()) return start();
  button.textContent = `Compute it here, with any photo (loads ${place.dataset.megabytes} MB)`;
  button.onclick = () => {
    if (puzzle) delete puzzle.dataset.used; // who asks for it now wants it in the puzzle's place
    status.textContent = "Loading. The puzzle works meanwhile.";
    start();
  };
  place.append(button);
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
