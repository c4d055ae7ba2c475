// The document that is open for reading; a page's HINT invites the reader to choose one.

function clearReading() {
  byId("reading").replaceChildren(element("p", { class: "hint", textContent: HINT }));
  markChosen();
}

function markChosen() {
  for (const button of document.querySelectorAll(".doc")) {
    button.classList.toggle("chosen", Number(button.dataset.place) === choice.document);
  }
  markLine();
}
