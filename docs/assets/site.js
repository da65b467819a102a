// What scrolls within a page can be reached and scrolled by the keyboard.
addEventListener("load", () => {
  for (const box of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    box.tabIndex = 0;
  }
});
