// On paper nothing can be unfolded: results are shown, hints stay closed.
const opened = [];
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details.hide:not([open])")) {
    fold.open = true;
    opened.push(fold);
  }
});
addEventListener("afterprint", () => {
  for (const fold of opened.splice(0)) fold.open = false;
});
