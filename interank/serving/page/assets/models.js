// The choices for each side: a model, its modes and guards; and the request made from them.

const SIDES = ["left", "right"];
// Modes that order documents and take no number of explanations.
const UNEXPLAINED = new Set(["listwise", "adaptive"]);
let models = [];

async function fetchModels() {
  const response = await fetch("v1/models", { cache: "no-store" });
  if (!response.ok) throw new Error(await refusal(response));
  models = (await response.json()).data;
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const said = body.message ?? body.detail ?? body.error?.message ?? body.error ?? response.statusText;
  const wait = response.headers.get("Retry-After");
  return `The server refused (${response.status}): ${said}${wait ? `; try again in ${wait} s` : ""}`;
}

const options = (names, chosen) =>
  names.map((value) => element("option", { value, textContent: visible(value), selected: value === chosen }));

const visible = (text) => plain(text).textContent;

function offerModels() {
  const first = models.find((model) => model.default) ?? models[0];
  byId("served").replaceChildren(first ? plain(first.id) : "");
  for (const side of SIDES) {
    byId(`${side}-model`).replaceChildren(...options(models.map(({ id }) => id), first?.id));
    offerModes(side);
  }
  // Comparing two sides needs at least two combinations of model, mode and guard.
  const ways = models.reduce((sum, { modes = [], guards = [] }) => sum + Math.max(1, modes.length) * Math.max(1, guards.length), 0);
  byId("compare").closest("label").hidden = ways < 2;
  byId("explain").closest("label").hidden = models.every(({ explains }) => explains === false);
}

function offerModes(side) {
  const model = models.find(({ id }) => id === byId(`${side}-model`).value);
  for (const [name, given, usual] of [
    ["mode", model?.modes ?? [], model?.default_mode],
    ["guard", model?.guards ?? [], "none"],
  ]) {
    const field = byId(`${side}-${name}`);
    const before = field.value;
    field.replaceChildren(...options(given, given.includes(before) ? before : usual));
    field.closest("label").hidden = given.length < 2;
  }
}

const settingsOf = (side) =>
  Object.fromEntries(["model", "mode", "guard"].map((name) => [name, byId(`${side}-${name}`).value]));

function restore(side, settings = {}) {
  const set = (name) => {
    const field = byId(`${side}-${name}`);
    if ([...field.options].some(({ value }) => value === settings[name])) field.value = settings[name];
  };
  set("model");
  offerModes(side);
  set("mode");
  set("guard");
}

function requestOf({ query, documents }, { model, mode, guard }, explain) {
  const request = { model, query, documents: documents.map((each) => (each.title ? each : each.text)) };
  if (mode) request.mode = mode;
  if (guard && guard !== "none") request.guard = guard;
  if (explain > 0 && !UNEXPLAINED.has(mode) && models.find(({ id }) => id === model)?.explains !== false) request.explain = explain;
  return request;
}
