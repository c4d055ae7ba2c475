// What is chosen: a query, the two systems side by side, how deep, and a document. The address keeps the first three.

const choice = { query: 0, left: 0, right: 0, depth: 10, document: null, side: "right" };

function readAddress(index) {
  const given = new URLSearchParams(location.hash.slice(1));
  const named = (name) => index.systems.findIndex((system) => system.name === given.get(name));
  const query = index.queries.findIndex(
    ([task, id]) => id === given.get("query") && (!given.has("task") || index.tasks[task] === given.get("task")),
  );
  if (named("left") >= 0) choice.left = named("left");
  if (named("right") >= 0) choice.right = named("right");
  if (query >= 0) choice.query = query;
  return query >= 0;
}

function writeAddress(index) {
  const [task, id] = index.queries[choice.query];
  const said = new URLSearchParams({
    task: index.tasks[task],
    query: id,
    left: index.systems[choice.left].name,
    right: index.systems[choice.right].name,
  });
  history.replaceState(null, "", `#${said}`);
}

// What the right side has over the left on a query.
const gain = ([, , , values]) => values[choice.right] - values[choice.left];
