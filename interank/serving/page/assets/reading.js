// One document: each side's result with its quotes checked, and the text with the quotes marked.

const HINT = "Choose a document to read it, with what was said of it.";

// The text with its spans wrapped in elements; spans count code points, end exclusive. Where two overlap, the first is
// kept whole.
function marked(text, spans) {
  const letters = Array.from(text);
  const made = element("bdi");
  made.dir = "auto";
  let from = 0;
  for (const { start, end, wrap } of [...spans].sort((a, b) => a.start - b.start)) {
    const begin = Math.max(start, from);
    if (begin >= end) continue;
    made.append(...plain(letters.slice(from, begin).join("")).childNodes);
    const inside = element(wrap.tag, { class: wrap.class, title: wrap.title ?? "" });
    inside.append(...plain(letters.slice(begin, end).join("")).childNodes);
    made.append(inside);
    if (wrap.said) made.append(element("span", { class: "said", textContent: wrap.said }));
    from = end;
  }
  made.append(...plain(letters.slice(from).join("")).childNodes);
  return made;
}

const FOUND = { tag: "mark", class: "found", title: "a quote that the document has" };
const MISSING = { tag: "mark", class: "missing", title: "not in the document", said: " (not in the document)" };

function explanation(result) {
  if (result.writing) return element("blockquote", { class: "caret" }, plain(result.writing));
  if (typeof result.explanation !== "string") return null;
  if (!result.explanation) return element("blockquote", { textContent: "(no explanation was written)" });
  const spans = (result.quotes ?? []).map(({ start, end, found }) => ({ start, end, wrap: found ? FOUND : MISSING }));
  return element("blockquote", {}, marked(result.explanation, spans));
}

function facts(side, place) {
  const result = side.by.get(place);
  const rank = side.order.indexOf(place);
  const parts = [rank < 0 ? "not ranked yet" : `rank ${rank + 1}`];
  if (result && result.score_kind !== "rank") parts.push(`score ${result.relevance_score.toFixed(4)}`);
  if (typeof result?.raw_score === "number") parts.push(`s ${result.raw_score.toFixed(3)}`);
  if (typeof result?.probability === "number") parts.push(`probability ${result.probability.toFixed(3)}`);
  return element("p", { textContent: parts.join(", ") });
}

function labelMass({ label_mass: mass }) {
  if (typeof mass !== "number") return [];
  const low = mass < 0.5;
  const said = low ? "; the model was hardly about to grade at all" : "";
  return [element("p", { class: low ? "mass low" : "mass", textContent: `label mass ${mass.toFixed(3)}${said}` })];
}

function said(name, place) {
  const side = shown[name];
  const made = element("section", {}, element("h4", {}, plain(side.name)), facts(side, place));
  made.dataset.side = name;
  const result = side.by.get(place);
  if (!result) return made;
  const chances = thousandths(result);
  if (chances) made.append(chanceTable(chances));
  made.append(...labelMass(result));
  const why = explanation(result);
  if (why) made.append(why);
  return made;
}

// The spans of the text that are quoted on any side.
function textSpans(place) {
  const results = SIDES.map((side) => shown[side].by.get(place)).filter(Boolean);
  const quoted = results.flatMap(({ quotes }) => (quotes ?? []).flatMap(({ spans }) => spans ?? []));
  return quoted.map(({ start, end }) => ({ start, end, wrap: FOUND }));
}

function cutMark(place) {
  const most = Math.max(0, ...SIDES.map((side) => shown[side].by.get(place)?.truncated ?? 0));
  if (!most) return [];
  return [element("span", { class: "cut", textContent: `✂ The model did not read the last ${counted(most, "token")} of this text.` })];
}

function readDocument(place) {
  choice.document = place;
  markChosen();
  const { title, text } = shown.documents[place];
  const body = element("div", { class: "text", tabIndex: 0, role: "region", "aria-label": "The document’s text" });
  body.append(marked(text, textSpans(place)), ...cutMark(place));
  const sides = SIDES.filter((side) => !shown[side].given);
  byId("reading").replaceChildren(
    element("h3", {}, title ? plain(title) : `Document ${place + 1}`),
    ...sides.map((side) => said(side, place)),
    element("h4", { textContent: "Text" }),
    body,
    element("button", { type: "button", class: "close", id: "close", textContent: "Back to the list" }),
  );
}

// Update one side's section of the chosen document; once the quotes are known, the text too.
function readAgain(side, finished) {
  if (choice.document === null) return;
  const section = byId("reading").querySelector(`section[data-side="${side}"]`);
  section?.replaceWith(said(side, choice.document));
  const text = byId("reading").querySelector(".text");
  if (finished && text) text.replaceChildren(marked(shown.documents[choice.document].text, textSpans(choice.document)), ...cutMark(choice.document));
}
