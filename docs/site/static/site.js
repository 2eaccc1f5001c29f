// Runs before the page is drawn: with JavaScript, what is measured stays hidden until a guess (site.css).
document.documentElement.classList.add("js");
