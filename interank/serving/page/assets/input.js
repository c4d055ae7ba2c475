// Reads the query and documents from the fields: paragraphs, JSON, or JSON Lines.

const TEXT_KEYS = ["text", "content", "contents", "page_content", "body"];
const LARGEST = 8_000_000;

function asDocument(value, where) {
  if (typeof value === "string") return { text: value };
  const key = value && TEXT_KEYS.find((name) => typeof value[name] === "string");
  if (!key) throw new Error(`${where} has no text; give a string, or an object with “text”`);
  return typeof value.title === "string" && value.title ? { text: value[key], title: value.title } : { text: value[key] };
}

function parsed(text, where) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${where} is no JSON: ${error.message}`);
  }
}

const asList = (values, name) => values.map((each, place) => asDocument(each, `${name} ${place + 1}`));

// The documents of a text, and the query if the text is a request with one.
function readDocuments(text) {
  const all = text.replaceAll("\r\n", "\n").trim();
  if (!all) return { documents: [] };
  const lines = all.split("\n").filter((line) => line.trim());
  if (all.startsWith("[")) {
    const list = parsed(all, "The list");
    return { documents: asList(list, "document") };
  }
  if (lines.every((line) => /^\s*[{"]/.test(line)) && !isWhole(all)) {
    return { documents: lines.map((line, place) => asDocument(parsed(line, `Line ${place + 1}`), `Line ${place + 1}`)) };
  }
  if (all.startsWith("{")) {
    const request = parsed(all, "The request");
    const list = request.documents ?? request.texts ?? request.passages;
    if (!Array.isArray(list)) return { documents: [asDocument(request, "The document")] };
    const query = typeof request.query === "string" ? request.query : request.query?.text;
    return { query, documents: asList(list, "document") };
  }
  return { documents: all.split(/\n\s*\n+/).map((part) => ({ text: part.trim() })) };
}

// True for one JSON object, possibly over several lines; false for JSON Lines.
function isWhole(text) {
  if (!text.startsWith("{")) return false;
  try {
    const request = JSON.parse(text);
    return Array.isArray(request.documents ?? request.texts ?? request.passages) || text.includes("\n");
  } catch {
    return false;
  }
}

// The documents as text for the field: paragraphs if nothing is lost by that, else JSON Lines.
function writeDocuments(documents) {
  const simple = documents.every(({ text, title }) => {
    const again = text.trim() === text && text && !/\n\s*\n|\r/.test(text) && !/^[[{"]/.test(text);
    return again && !title;
  });
  if (simple) return documents.map(({ text }) => text).join("\n\n");
  return documents.map((each) => JSON.stringify(each.title ? each : each.text)).join("\n");
}

function countInput() {
  try {
    const { documents } = readDocuments(byId("documents").value);
    const letters = documents.reduce((sum, { text }) => sum + text.length, 0);
    const one = documents.length === 1 ? "document" : "documents";
    byId("counted").textContent = `${documents.length} ${one}, ${letters.toLocaleString("en")} characters.`;
  } catch (error) {
    byId("counted").textContent = `${error.message}.`;
  }
}

function fill(query, documents) {
  if (query !== undefined) byId("query").value = query;
  byId("documents").value = writeDocuments(documents);
  countInput();
}

async function readFile(file) {
  if (file.size > LARGEST) throw new Error(`${file.name} has ${file.size.toLocaleString("en")} bytes; ${LARGEST.toLocaleString("en")} are the most that this page takes`);
  const text = await file.text();
  const { query, documents } = readDocuments(text);
  if (!documents.length) throw new Error(`found no documents in ${file.name}`);
  fill(query, documents);
}

// The query and documents to rank.
function readInput() {
  const query = byId("query").value.trim();
  if (!query) throw new Error("The query is empty; say what is asked");
  const { documents } = readDocuments(byId("documents").value);
  if (!documents.length) throw new Error("There are no documents; paste some, one a paragraph");
  return { query, documents };
}
