// Which document of the lists is read; a page says in HINT what is there to be chosen.

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
