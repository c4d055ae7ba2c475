// The list of queries, with search, sorting and stepping.

let listed = [];

const ORDERS = {
  loss: (a, b) => gain(a) - gain(b),
  gain: (a, b) => gain(b) - gain(a),
  cost: (a, b) => (b[5][choice.right] ?? 0) - (a[5][choice.right] ?? 0),
  low: (a, b) => a[3][choice.right] - b[3][choice.right],
  given: () => 0,
};

function matching(index) {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const task = byId("task").value;
  const places = [];
  index.queries.forEach((query, place) => {
    if (task !== "" && query[0] !== Number(task)) return;
    const text = `${query[1]} ${query[2]}`.toLowerCase();
    if (words.every((word) => text.includes(word))) places.push(place);
  });
  const order = ORDERS[byId("sort").value];
  return places.sort((a, b) => order(index.queries[a], index.queries[b]) || a - b);
}

function queryButton(index, place) {
  const query = index.queries[place];
  const [task, id, text] = query;
  const moved = gain(query);
  const name = index.tasks.length > 1 ? `${index.tasks[task]} / ${id}` : id;
  const seconds = query[5][choice.right];
  const cost = byId("sort").value === "cost" && seconds !== null ? ` ${seconds.toFixed(2)} s` : "";
  const button = element(
    "button",
    { type: "button", class: "one", tabIndex: place === choice.query ? 0 : -1 },
    element("span", { class: "name" }, plain(name)),
    element("span", { class: `moved ${direction(moved)}`, textContent: signed(moved) + cost }),
    element("span", { class: "snippet" }, plain(oneLine(text, 110))),
  );
  if (place === choice.query) button.setAttribute("aria-current", "true");
  button.dataset.place = place;
  return element("li", {}, button);
}

function listQueries(index) {
  listed = matching(index);
  byId("queries").replaceChildren(...listed.map((place) => queryButton(index, place)));
  const all = index.queries.length.toLocaleString("en");
  byId("count").textContent = `${listed.length.toLocaleString("en")} of ${all} queries`;
  const [first] = byId("queries").querySelectorAll("button");
  if (first && !listed.includes(choice.query)) first.tabIndex = 0;
}

function markQuery() {
  for (const button of byId("queries").querySelectorAll("[aria-current]")) {
    button.removeAttribute("aria-current");
    button.tabIndex = -1;
  }
  const chosen = byId("queries").querySelector(`[data-place="${choice.query}"]`);
  if (!chosen) return null;
  chosen.setAttribute("aria-current", "true");
  chosen.tabIndex = 0;
  const list = byId("queries");
  const above = chosen.offsetTop - list.offsetTop;
  if (above < list.scrollTop || above + chosen.offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = above - list.clientHeight / 3;
  }
  return chosen;
}

// The query `step` places further in the list, within its ends.
function neighbour(step) {
  const place = listed.indexOf(choice.query);
  return place < 0 ? listed[0] : listed[Math.max(0, Math.min(listed.length - 1, place + step))];
}
