// One query: its text, what each side reaches on it, and both rankings side by side.

let shown = null;

const grade = (found, place) => found.gold[place];

function goldMark(found, place) {
  const judged = grade(found, place);
  if (judged === undefined) return element("span", { class: "gold" });
  const kind = judged > 0 ? "yes" : "no";
  const said = element("span", { class: "said", textContent: `, judged ${judged}` });
  return element("span", {}, element("i", { class: `gold ${kind}`, textContent: judged, "aria-hidden": "true" }), said);
}

function documentRow(found, side, place, rank, other) {
  const system = choice[side];
  const button = element(
    "button",
    { type: "button", class: "doc", tabIndex: rank === 0 ? 0 : -1 },
    element("span", { class: "rank", textContent: rank + 1 }),
    goldMark(found, place),
    element("span", { class: "what" }, plain(found.docs[place])),
    ...(found.judged[system] ? [chanceBar(found.judged[system].chances[place])] : []),
    ...(side === "right" ? [movement(place, rank, other)] : []),
  );
  button.dataset.place = place;
  button.dataset.side = side;
  return element("li", {}, button);
}

// Where texts are at hand, their beginnings say more than ids do.
async function fillSnippets(index, found) {
  for (const button of document.querySelectorAll(".doc")) {
    const place = Number(button.dataset.place);
    const text = await textOf(index, found.texts[place]);
    if (shown !== found) return;
    if (text?.text.trim()) button.querySelector(".what").replaceChildren(plain(oneLine(text.text, 90)));
    button.title = found.docs[place];
  }
}

function difference(found, left, right) {
  const relevant = (order) => order.slice(0, choice.depth).filter((place) => found.gold[place] > 0).length;
  const same = left.slice(0, choice.depth).filter((place) => right.slice(0, choice.depth).includes(place)).length;
  const missing = found.missing ? `; ${found.missing} relevant ones are in neither ranking` : "";
  return (
    `In the first ${choice.depth}: ${same} documents on both sides, relevant ones ${relevant(left)} on the left and ` +
    `${relevant(right)} on the right${missing}.`
  );
}

function heading(index, side, values) {
  const name = byId(`${side}-name`);
  const value = element("span", { class: "value", textContent: values[choice[side]].toFixed(4) });
  name.replaceChildren(plain(index.systems[choice[side]].name), " ", value);
}

async function showQuery(index) {
  const query = index.queries[choice.query];
  const [task, id, text, values, best] = query;
  const found = await rankingsOf(index, choice.query);
  if (index.queries[choice.query] !== query) return;
  shown = found;
  const left = found.orders[choice.left];
  const right = found.orders[choice.right];
  byId("query-name").replaceChildren(plain(`${index.tasks[task]} / ${id}`));
  byId("query-text").replaceChildren(plain(text));
  const moved = element("b", { class: direction(gain(query)), textContent: signed(gain(query)) });
  byId("figures-of-query").replaceChildren(
    `${index.measure}: `, moved, ` from left to right; the perfect order has ${best.toFixed(4)}. `,
    difference(found, left, right),
  );
  for (const [side, order, other] of [["left", left, right], ["right", right, left]]) {
    heading(index, side, values);
    const rows = order.slice(0, choice.depth).map((place, rank) => documentRow(found, side, place, rank, other));
    byId(`${side}-list`).replaceChildren(...rows);
  }
  drawLines(found, left, right, choice.depth);
  byId("browser").classList.toggle("judged", found.judged[choice.left] || found.judged[choice.right] ? true : false);
  choice.document = null;
  clearReading();
  await fillSnippets(index, found);
}
