// Runs before the page is drawn: with JavaScript, what is measured stays hidden until a guess (site.css).
document.documentElement.classList.add("js");

/** Whatever scrolls by itself can be scrolled with the keyboard. */
function reach() {
  for (const wide of document.querySelectorAll("article pre, article .table-wrapper, article div.math")) {
    if (wide.scrollWidth > wide.clientWidth) wide.setAttribute("tabindex", "0");
    else wide.removeAttribute("tabindex");
  }
}
window.addEventListener("load", () => new ResizeObserver(reach).observe(document.body));
