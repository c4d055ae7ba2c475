// One document: by system its rank, grade probabilities and explanation; then the text.

const HINT = "Choose a document to read it, with what each system said of it.";

function said(index, system, place) {
  const rank = shown.orders[system].indexOf(place);
  const judged = shown.judged[system];
  const score = judged?.scores[place];
  const where = rank < 0 ? "not among those shown" : `rank ${rank + 1}`;
  const made = element(
    "section",
    {},
    element("h4", {}, plain(index.systems[system].name)),
    element("p", { textContent: score === undefined ? where : `${where}, score ${score.toFixed(3)}` }),
  );
  if (judged?.chances[place]?.length) made.append(chanceTable(judged.chances[place]));
  const why = judged?.why[place];
  if (why !== undefined) made.append(element("blockquote", {}, why ? plain(why) : "(no explanation was written)"));
  return made;
}

function judgedAs(place) {
  const judged = shown.gold[place];
  if (judged === undefined) return "not judged in the qrels";
  return judged > 0 ? `relevant in the qrels, grade ${judged}` : "judged not relevant in the qrels";
}

async function readDocument(index, place) {
  const ranked = shown;
  choice.document = place;
  markChosen();
  const text = await textOf(index, ranked.texts[place]);
  if (shown !== ranked || choice.document !== place) return;
  const close = element("button", { type: "button", class: "close", id: "close", textContent: "Back to the list" });
  const body = element("div", { class: "text", tabIndex: 0, role: "region", "aria-label": "The document’s text" });
  body.append(text ? plain(text.text) : "This page does not hold its text.");
  if (text && text.length > text.text.length) {
    const rest = (text.length - text.text.length).toLocaleString("en");
    body.append(element("p", { class: "aside", textContent: `Cut here; ${rest} characters more in the collection.` }));
  }
  byId("reading").replaceChildren(
    element("h3", {}, plain(ranked.docs[place])),
    element("p", { class: ranked.gold[place] > 0 ? "verdict better" : "verdict", textContent: judgedAs(place) }),
    ...[...new Set([choice.left, choice.right])].map((system) => said(index, system, place)),
    element("h4", { textContent: "Text" }),
    body,
    close,
  );
}
