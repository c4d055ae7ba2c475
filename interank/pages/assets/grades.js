// The grades' probabilities, given in thousandths, as a bar and as a table; and how many ranks a document moved.

function chanceBar(chances) {
  const bar = element("span", { class: "chances", "aria-hidden": "true" });
  if (!chances?.length) return bar;
  chances.forEach((chance, label) => {
    const part = element("i", { class: `c${label}` });
    part.style.flexGrow = chance;
    bar.append(part);
  });
  bar.title = chances.map((chance, label) => `grade ${label}: ${(chance / 1000).toFixed(3)}`).join(", ");
  return bar;
}

function movement(place, rank, other) {
  const before = other.indexOf(place);
  if (before < 0) return element("span", { class: "move new", textContent: "new" });
  const by = before - rank;
  const text = by > 0 ? `▲${by}` : by < 0 ? `▼${-by}` : "=";
  const said = by > 0 ? `, up ${by}` : by < 0 ? `, down ${-by}` : ", at the same rank";
  const kind = by > 0 ? "better" : by < 0 ? "worse" : "same";
  return element(
    "span",
    { class: `move ${kind}` },
    element("span", { textContent: text, "aria-hidden": "true" }),
    element("span", { class: "said", textContent: said }),
  );
}

function chanceTable(chances) {
  const rows = chances.map((chance, label) => {
    const bar = element("span", { class: `bar c${label}` });
    bar.style.width = `${chance / 10}%`;
    return element(
      "div",
      {},
      element("dt", { textContent: `grade ${label}` }),
      element("dd", {}, element("span", { class: "track" }, bar), (chance / 1000).toFixed(3)),
    );
  });
  return element("dl", { class: "grades" }, ...rows);
}
