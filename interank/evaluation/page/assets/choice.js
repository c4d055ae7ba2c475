// The reader's choice: query, left and right system, depth, document. The address keeps query and systems.

const choice = { query: 0, left: 0, right: 0, depth: 10, document: null, side: "right" };

function readAddress(index) {
  const address = new URLSearchParams(location.hash.slice(1));
  const named = (name) => index.systems.findIndex((system) => system.name === address.get(name));
  const query = index.queries.findIndex(
    ([task, id]) => id === address.get("query") && (!address.has("task") || index.tasks[task] === address.get("task")),
  );
  if (named("left") >= 0) choice.left = named("left");
  if (named("right") >= 0) choice.right = named("right");
  if (query >= 0) choice.query = query;
  return query >= 0;
}

function writeAddress(index) {
  const [task, id] = index.queries[choice.query];
  const address = new URLSearchParams({
    task: index.tasks[task],
    query: id,
    left: index.systems[choice.left].name,
    right: index.systems[choice.right].name,
  });
  history.replaceState(null, "", `#${address}`);
}

// The right system's value minus the left one's on a query.
const gain = ([, , , values]) => values[choice.right] - values[choice.left];
