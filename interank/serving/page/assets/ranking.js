// The ranking of one side: the order, each document's result, and explanations as they grow.

const choice = { document: null, side: "right" };
let shown = null;

// The documents in the order given, as a side to compare a ranking with.
const asGiven = (count) => ({ given: true, name: "as given", order: Array.from({ length: count }, (_, place) => place), by: new Map() });

function nameOf({ model, mode, guard }) {
  return [model, mode, guard === "none" ? "" : guard].filter(Boolean).join(", ");
}

function takeRanking(side, reply) {
  side.order = reply.results.map(({ index }) => index);
  side.by = new Map(reply.results.map((result) => [result.index, { ...result, writing: "" }]));
  side.reply = reply;
}

function takeEvent(side, { name, data }) {
  if (name === "ranking") takeRanking(side, data);
  else if (name === "delta") side.by.get(data.index).writing += data.text;
  else if (name === "explanation") Object.assign(side.by.get(data.index), data, { writing: "" });
  else if (name === "done") side.done = data;
  else if (name === "error") throw new Error(data.message ?? data.detail ?? data.error ?? "The server failed");
}

const explained = (side) => [...side.by.values()].filter(({ explanation }) => explanation).length;

const isGraded = (result) => Array.isArray(result?.probabilities) && result.probabilities.length === 3;

const thousandths = (result) => (isGraded(result) ? result.probabilities.map((chance) => 1000 * chance) : null);

const hasMissing = (result) => (result?.quotes ?? []).some(({ found }) => !found);

// The number shown with a result: a score from 0 to 1, or none if only the order is known.
const numberOf = (result) => (result && result.score_kind !== "rank" ? result.relevance_score.toFixed(3) : "");

async function ask(side, request, signal) {
  const started = performance.now();
  const response = await fetch("v2/rerank", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ ...request, stream: true }),
    signal,
  });
  if (!response.ok) throw new Error(await refusal(response));
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    takeRanking(side, await response.json());
    side.seconds = (performance.now() - started) / 1000;
    return side.changed();
  }
  for await (const event of eventsOf(response)) {
    takeEvent(side, event);
    side.seconds = (performance.now() - started) / 1000;
    side.changed(event);
  }
  if (!side.done) throw new Error("The server closed the connection before it was done");
}
