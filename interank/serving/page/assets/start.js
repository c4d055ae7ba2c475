// Sets the page up: listens to the fields, and ranks on request.

let running = null;

function tell(error) {
  byId("problem").hidden = false;
  byId("problem").textContent = `${visible(error.message)}${/[.!?]$/.test(error.message) ? "" : "."}`;
}

const quiet = () => {
  byId("problem").hidden = true;
};

// Show each side's time and tokens, and the number of its explanations.
function showTold(state) {
  const sides = SIDES.map((side) => shown[side]).filter((side) => !side.given);
  const parts = sides.map((side) => {
    const meta = side.reply?.meta?.interank ?? {};
    const { seconds, queued_seconds: queued, tokens_read: read, tokens_written: written } = { ...meta, ...side.done };
    const tokens = read ?? side.reply?.usage?.total_tokens;
    const facts = [];
    if (side.seconds !== undefined) facts.push(`${side.seconds.toFixed(2)} s here`);
    if (seconds !== undefined) facts.push(`${seconds.toFixed(2)} s on the server${queued ? ` (${queued.toFixed(2)} s waiting)` : ""}`);
    if (tokens !== undefined) facts.push(`${counted(tokens, "token")} read${written ? `, ${written.toLocaleString("en")} written` : ""}`);
    if (explained(side)) facts.push(`${explained(side)} explained`);
    const name = sides.length > 1 ? `${visible(side.name)}: ` : "";
    return side.order.length ? `${name}${facts.join("; ")}.` : `${name}waiting.`;
  });
  byId("told").textContent = `${state} ${parts.join(" ")}`;
  const warnings = [...new Set(sides.flatMap((side) => side.reply?.meta?.warnings ?? []))];
  byId("warnings").hidden = !warnings.length;
  byId("warnings").replaceChildren(...warnings.map((each) => element("li", {}, plain(each))));
}

function begin(input, compare) {
  const made = (name) => {
    const settings = settingsOf(name);
    const side = { settings, name: nameOf(settings), order: [], by: new Map() };
    side.changed = (event) => changed(name, side, event);
    return side;
  };
  const given = asGiven(input.documents.length);
  shown = { documents: input.documents, left: compare ? made("left") : given, right: made("right") };
  // Until its ranking arrives, the right side shows the given order.
  if (!compare) shown.right.order = given.order;
  choice.document = null;
  byId("rankings").hidden = false;
  clearReading();
  showLists();
  showThreshold();
  showTold("Ranking …");
}

function changed(name, side, event) {
  if (shown?.[name] !== side) return;
  const index = event?.data?.index;
  if (!event || event.name === "ranking") {
    showLists();
    showThreshold();
    if (choice.document === null && name === "right" && side.order.length) readDocument(side.order[0]);
    else if (choice.document !== null) readAgain(name, true);
  } else if (index !== undefined) {
    // A row changes when its explanation begins and ends, not with every token.
    if (event.name === "explanation" || side.by.get(index).writing === event.data.text) showRow(name, index);
    if (choice.document === index) readAgain(name, event.name === "explanation");
  }
  if (event?.name !== "delta") showTold(running ? "Ranking …" : "Done.");
}

async function rank() {
  stop();
  quiet();
  const stopping = new AbortController();
  try {
    const input = readInput();
    const explain = Number(byId("explain").value);
    const compare = byId("compare").checked;
    running = stopping;
    byId("stop").disabled = false;
    begin(input, compare);
    const sides = compare ? SIDES : ["right"];
    await Promise.all(sides.map((side) => ask(shown[side], requestOf(input, shown[side].settings, explain), stopping.signal)));
    if (running === stopping) showTold("Done.");
  } catch (error) {
    stopping.abort();
    if (running !== stopping && error.name === "AbortError") return;
    if (error.name === "AbortError") showTold("Stopped.");
    else {
      tell(error);
      if (shown) showTold("Failed.");
    }
  } finally {
    if (running === stopping) {
      running = null;
      byId("stop").disabled = true;
    }
  }
}

function stop() {
  if (!running) return;
  running.abort();
}

function back() {
  if (running) return stop();
  const from = document.querySelector(`.doc[data-place="${choice.document}"][data-side="${choice.side}"]`);
  from?.focus();
}

function read(button) {
  choice.side = button.dataset.side;
  readDocument(Number(button.dataset.place));
  byId("reading").focus({ preventScroll: matchMedia("(min-width: 84rem)").matches });
}

function neighbour(step) {
  if (!shown) return;
  const { order } = shown.right;
  const at = order.indexOf(choice.document);
  const goal = order[at < 0 ? 0 : Math.max(0, Math.min(order.length - 1, at + step))];
  if (goal !== undefined) readDocument(goal);
}

function listenToInput() {
  byId("example").addEventListener("click", () => {
    quiet();
    fill(EXAMPLE.query, EXAMPLE.documents.map((text) => ({ text })));
    showCode();
  });
  byId("clear").addEventListener("click", () => {
    fill("", []);
    showCode();
    byId("query").focus();
  });
  byId("open").addEventListener("click", () => byId("file").click());
  const take = (file) => readFile(file).then(quiet, tell).then(showCode);
  byId("file").addEventListener("change", (event) => {
    if (event.target.files[0]) take(event.target.files[0]);
    event.target.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    byId("drop").addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      byId("drop").classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
  }
  byId("documents").addEventListener("input", countInput);
  byId("form").addEventListener("input", showCode);
  for (const side of SIDES) {
    byId(`${side}-model`).addEventListener("change", () => {
      offerModes(side);
      showCode();
    });
  }
  byId("compare").addEventListener("change", showOther);
}

const showOther = () => {
  byId("other").hidden = !byId("compare").checked;
};

function listen() {
  listenToInput();
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    rank();
  });
  byId("stop").addEventListener("click", stop);
  byId("threshold").addEventListener("input", showThreshold);
  byId("browser").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.id === "close") back();
    else if (button?.classList.contains("doc")) read(button);
  });
  byId("browser").addEventListener("keydown", onListKey);
  for (const button of document.querySelectorAll("[data-form]")) {
    button.addEventListener("click", () => {
      codeForm = button.dataset.form;
      showCode();
    });
  }
  byId("copy").addEventListener("click", () => copy(byId("code").textContent, "The request"));
  byId("link").addEventListener("click", () => linkOf().then((text) => copy(text, "The link"), tell));
  addEventListener("hashchange", () => openLink().then(showOther).then(showCode).catch(tell));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      rank();
    } else if (event.key === "Escape") back();
    else onLetter(event, { "/": () => byId("query").focus(), j: () => neighbour(1), k: () => neighbour(-1) });
  });
}

async function start() {
  listen();
  await fetchModels();
  offerModels();
  await openLink();
  showOther();
  countInput();
  showCode();
}

start()
  .catch(tell)
  .then(() => document.documentElement.classList.add("ready"));
