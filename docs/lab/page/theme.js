/** The theme: ?theme=light or dark, else the system's. A page that embeds this one may post {theme: "dark"}. */

/** @param {unknown} theme */
function wear(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}

const given = new URLSearchParams(location.search);
wear(given.get("theme"));
document.documentElement.classList.toggle("embedded", given.get("embed") === "1");
addEventListener("message", (event) => {
  if (event.origin === location.origin) wear(event.data?.theme);
});

export const EMBEDDED = given.get("embed") === "1";
