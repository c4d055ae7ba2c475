// One query: its text, each system's value, and both rankings side by side.

let shown = null;

const grade = (ranked, place) => ranked.gold[place];

function goldMark(ranked, place) {
  const judged = grade(ranked, place);
  if (judged === undefined) return element("span", { class: "gold" });
  const kind = judged > 0 ? "yes" : "no";
  const said = element("span", { class: "said", textContent: `, judged ${judged}` });
  return element("span", {}, element("i", { class: `gold ${kind}`, textContent: judged, "aria-hidden": "true" }), said);
}

function documentRow(ranked, side, place, rank, other) {
  const system = choice[side];
  const button = element(
    "button",
    { type: "button", class: "doc", tabIndex: rank === 0 ? 0 : -1 },
    element("span", { class: "rank", textContent: rank + 1 }),
    goldMark(ranked, place),
    element("span", { class: "what" }, plain(ranked.docs[place])),
    ...(ranked.judged[system] ? [chanceBar(ranked.judged[system].chances[place])] : []),
    ...(side === "right" ? [movement(place, rank, other)] : []),
  );
  button.dataset.place = place;
  button.dataset.side = side;
  return element("li", {}, button);
}

// Replace document ids by the beginnings of their texts, where the page has them.
async function fillSnippets(index, ranked) {
  for (const button of document.querySelectorAll(".doc")) {
    const place = Number(button.dataset.place);
    const text = await textOf(index, ranked.texts[place]);
    if (shown !== ranked) return;
    if (text?.text.trim()) button.querySelector(".what").replaceChildren(plain(oneLine(text.text, 90)));
    button.title = ranked.docs[place];
  }
}

function difference(ranked, left, right) {
  const relevant = (order) => order.slice(0, choice.depth).filter((place) => ranked.gold[place] > 0).length;
  const same = left.slice(0, choice.depth).filter((place) => right.slice(0, choice.depth).includes(place)).length;
  const missing = ranked.missing ? `; ${ranked.missing} relevant ones are in neither ranking` : "";
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
  const ranked = await rankingsOf(index, choice.query);
  if (index.queries[choice.query] !== query) return;
  shown = ranked;
  const left = ranked.orders[choice.left];
  const right = ranked.orders[choice.right];
  byId("query-name").replaceChildren(plain(`${index.tasks[task]} / ${id}`));
  byId("query-text").replaceChildren(plain(text));
  const moved = element("b", { class: direction(gain(query)), textContent: signed(gain(query)) });
  byId("figures-of-query").replaceChildren(
    `${index.measure}: `, moved, ` from left to right; the perfect order has ${best.toFixed(4)}. `,
    difference(ranked, left, right),
  );
  for (const [side, order, other] of [["left", left, right], ["right", right, left]]) {
    heading(index, side, values);
    const rows = order.slice(0, choice.depth).map((place, rank) => documentRow(ranked, side, place, rank, other));
    byId(`${side}-list`).replaceChildren(...rows);
  }
  drawLines(ranked, left, right, choice.depth);
  byId("browser").classList.toggle("judged", ranked.judged[choice.left] || ranked.judged[choice.right] ? true : false);
  choice.document = null;
  clearReading();
  await fillSnippets(index, ranked);
}
