// Sets the page up: fills the fields and listens to the reader's input.

function offer(index) {
  const names = index.systems.map((system) => system.name);
  for (const side of ["left", "right"]) {
    byId(side).replaceChildren(...names.map((name, value) => element("option", { value, textContent: visible(name) })));
  }
  const tasks = index.tasks.map((name, value) => element("option", { value, textContent: visible(name) }));
  byId("task").replaceChildren(element("option", { value: "", textContent: "all" }), ...tasks);
  byId("task").closest("label").hidden = index.tasks.length < 2;
  const depths = [5, 10, 20, 50, 100].filter((depth) => depth < index.shown).concat(index.shown);
  byId("depth").replaceChildren(...depths.map((value) => element("option", { value, textContent: `first ${value}` })));
  if (!index.systems.some((system) => system.timed)) byId("sort").querySelector("[value=cost]").remove();
}

const visible = (text) => plain(text).textContent;

function choose(index) {
  choice.right = index.best;
  choice.depth = Math.min(10, index.shown);
  const given = readAddress(index);
  byId("left").value = choice.left;
  byId("right").value = choice.right;
  byId("depth").value = choice.depth;
  listQueries(index);
  if (!given) choice.query = listed[0];
  listQueries(index);
}

function actions(index) {
  const go = (place) => {
    if (place === undefined) return;
    choice.query = place;
    markQuery();
    writeAddress(index);
    return showQuery(index).catch(tell);
  };
  const again = () => {
    choice.left = Number(byId("left").value);
    choice.right = Number(byId("right").value);
    choice.depth = Number(byId("depth").value);
    listQueries(index);
    return go(choice.query);
  };
  const worst = () => {
    byId("search").value = "";
    byId("task").value = "";
    byId("sort").value = "loss";
    listQueries(index);
    go(listed[0])?.then(() => byId("queries").querySelector("button")?.focus());
  };
  const swap = () => {
    [byId("left").value, byId("right").value] = [byId("right").value, byId("left").value];
    again();
  };
  const close = () => {
    const from = document.querySelector(`.doc[data-place="${choice.document}"][data-side="${choice.side}"]`);
    choice.document = null;
    clearReading();
    (from ?? byId("queries").querySelector("[tabindex='0']"))?.focus();
  };
  return { go, again, worst, swap, close };
}

async function read(index, button) {
  choice.side = button.dataset.side;
  await readDocument(index, Number(button.dataset.place));
  byId("reading").focus({ preventScroll: matchMedia("(min-width: 70rem)").matches });
}

function listen(index) {
  const { go, again, worst, swap, close } = actions(index);
  byId("finder").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["search", "task", "sort"]) byId(id).addEventListener("input", () => listQueries(index));
  for (const id of ["left", "right", "depth"]) byId(id).addEventListener("change", again);
  byId("worst").addEventListener("click", worst);
  byId("swap").addEventListener("click", swap);
  byId("next").addEventListener("click", () => go(neighbour(1)));
  byId("previous").addEventListener("click", () => go(neighbour(-1)));
  byId("browser").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.id === "close") close();
    else if (button?.classList.contains("one")) go(Number(button.dataset.place));
    else if (button?.classList.contains("doc")) read(index, button).catch(tell);
  });
  byId("browser").addEventListener("keydown", onListKey);
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") byId("queries").querySelector("[tabindex='0']")?.focus();
  });
  const search = () => byId("search").focus();
  const letters = { "/": search, j: () => go(neighbour(1)), k: () => go(neighbour(-1)), l: worst, x: swap, Escape: close };
  document.addEventListener("keydown", (event) => onLetter(event, letters));
}

function tell(error) {
  byId("problem").hidden = false;
  byId("problem").textContent = `The rankings cannot be shown: ${error.message}. A current browser may help.`;
}

async function start() {
  const index = await block("index");
  offer(index);
  choose(index);
  listen(index);
  byId("browser").hidden = false;
  await showQuery(index);
  markQuery();
}

start()
  .then(() => document.documentElement.classList.add("ready"))
  .catch(tell);
