// Both lists, the given order and a ranking or two rankings, with lines between them and animated moves.

const documentName = (place) => {
  const { title, text } = shown.documents[place];
  return oneLine(title || text, 90) || `document ${place + 1}`;
};

function gradeMark(result) {
  if (result?.grade === null || result?.grade === undefined) return [];
  const kind = ["no", "part", "yes"][result.grade];
  const mark = element("i", { class: `gold ${kind}`, textContent: result.grade, "aria-hidden": "true" });
  return [element("span", {}, mark, element("span", { class: "said", textContent: `, grade ${result.grade}` }))];
}

function flags(result) {
  const made = (text, said, kind = "") =>
    element(
      "span",
      { title: said },
      element("i", { class: `flag ${kind}`, textContent: text, "aria-hidden": "true" }),
      element("span", { class: "said", textContent: `, ${said}` }),
    );
  const marks = [];
  if (result?.truncated) marks.push(made("✂", `cut by ${counted(result.truncated, "token")}`));
  if (result?.writing) marks.push(made("✎", "being explained", "writing"));
  if (hasMissing(result)) marks.push(made("❝!", "explained, with a quote that the document does not have", "bad"));
  else if (result?.explanation) marks.push(made("❝", "explained"));
  return marks;
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function documentRow(side, place, rank, other) {
  const result = shown[side].by.get(place);
  const chances = thousandths(result);
  const button = element(
    "button",
    { type: "button", class: "doc", tabIndex: rank === 0 ? 0 : -1 },
    element("span", { class: "rank", textContent: rank + 1 }),
    ...gradeMark(result),
    element("span", { class: "what" }, plain(documentName(place))),
    ...flags(result),
    ...(chances ? [chanceBar(chances)] : []),
    ...(result ? [element("span", { class: "number", textContent: numberOf(result) })] : []),
    ...(side === "right" && other.length ? [movement(place, rank, other)] : []),
  );
  button.dataset.place = place;
  button.dataset.side = side;
  return element("li", { class: isBelow(result) ? "below" : "" }, button);
}

const tops = (list) => new Map([...list.querySelectorAll(".doc")].map((row) => [row.dataset.place, row.getBoundingClientRect().top]));

function move(list, before) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of list.querySelectorAll(".doc")) {
    const from = before.get(row.dataset.place);
    const by = from === undefined ? 0 : from - row.getBoundingClientRect().top;
    if (by) row.parentElement.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
  }
}

function showSide(side, other) {
  const list = byId(`${side}-list`);
  const before = tops(list);
  const focused = document.activeElement?.dataset?.side === side ? document.activeElement.dataset.place : null;
  byId(`${side}-name`).replaceChildren(plain(shown[side].name));
  list.replaceChildren(...shown[side].order.map((place, rank) => documentRow(side, place, rank, other)));
  move(list, before);
  if (focused !== null) list.querySelector(`[data-place="${focused}"]`)?.focus({ preventScroll: true });
}

// Update one row while its explanation grows.
function showRow(side, place) {
  const before = byId(`${side}-list`).querySelector(`[data-place="${place}"]`);
  if (!before) return;
  const rank = shown[side].order.indexOf(place);
  const row = documentRow(side, place, rank, side === "right" ? shown.left.order : []);
  const fresh = row.querySelector(".doc");
  fresh.tabIndex = before.tabIndex;
  fresh.classList.toggle("chosen", place === choice.document);
  const focused = document.activeElement === before;
  before.replaceWith(fresh);
  if (focused) fresh.focus({ preventScroll: true });
}

function showLists() {
  showSide("left", []);
  showSide("right", shown.left.order);
  const best = Object.fromEntries([...shown.right.by].map(([place, { grade }]) => [place, grade ?? 0]));
  drawLines({ gold: best }, shown.left.order, shown.right.order, shown.documents.length);
  byId("browser").classList.toggle("solo", shown.left.given === true);
  byId("difference").textContent = shown.left.given ? "" : difference();
  markChosen();
}

// The documents that two rankings disagree on most, in words.
function difference() {
  const { left, right } = shown;
  if (!left.order.length || !right.order.length) return "";
  const moves = right.order.map((place, rank) => ({ place, by: left.order.indexOf(place) - rank }));
  const far = moves.filter(({ by }) => by).sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  if (!far.length) return "Both sides have the same order.";
  const named = far.slice(0, 3).map(({ place, by }) => `“${visible(oneLine(documentName(place), 40))}” ${by > 0 ? `up ${by}` : `down ${-by}`}`);
  return `${far.length} of ${counted(moves.length, "document")} stand elsewhere on the right: ${named.join("; ")}${far.length > 3 ? "; …" : "."}`;
}

// The threshold on probabilities, shown if a fit gives them.
const threshold = () => Number(byId("threshold").value);

const isCalibrated = (side) => [...side.by.values()].some(({ probability }) => typeof probability === "number");

const isBelow = (result) => typeof result?.probability === "number" && result.probability < threshold();

function showThreshold() {
  const sides = SIDES.map((side) => shown[side]).filter(isCalibrated);
  byId("calibrated").hidden = !sides.length;
  byId("threshold-value").textContent = threshold().toFixed(2);
  byId("above").textContent = sides
    .map((side) => {
      const all = [...side.by.values()];
      const over = all.filter((result) => typeof result.probability === "number" && !isBelow(result)).length;
      const abstains = side.reply?.abstain ? " The stored fit abstains on this query." : "";
      return `${sides.length > 1 ? `${visible(side.name)}: ` : ""}${over} of ${counted(all.length, "document")} at or above.${abstains}`;
    })
    .join(" ");
  for (const side of SIDES) {
    for (const row of byId(`${side}-list`).querySelectorAll(".doc")) {
      row.parentElement.classList.toggle("below", isBelow(shown[side].by.get(Number(row.dataset.place))));
    }
  }
}
