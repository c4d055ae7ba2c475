// The request as code for curl, for Python, and for Cohere's SDK.

const CODES = { curl: asCurl, python: asPython, cohere: asCohere };
let codeForm = "curl";

const place = () => new URL(".", location.href.replace(/[?#].*$/, "")).href;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A JSON value as a Python literal; strings are the same in both.
function literal(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const deeper = `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((each) => literal(each, deeper))
    : Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${literal(each, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${parts.map((part) => `${deeper}${part},\n`).join("")}${indent}${close}`;
}

function asCurl(request) {
  const body = JSON.stringify(request, null, 2);
  return (
    `curl ${quoted(`${place()}v2/rerank`)} \\\n  -H 'Content-Type: application/json' \\\n` +
    `  -H "Authorization: Bearer $INTERANK_KEY" \\\n  -d ${quoted(body)}\n`
  );
}

function asPython(request) {
  return (
    `import json\nimport os\nimport urllib.request\n\nasked = ${literal(request)}\n` +
    `request = urllib.request.Request(\n    ${JSON.stringify(`${place()}v2/rerank`)},\n    json.dumps(asked).encode(),\n` +
    `    {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('INTERANK_KEY', '')}"},\n)\n` +
    `with urllib.request.urlopen(request) as reply:\n    results = json.load(reply)["results"]\n` +
    `for found in results:\n    print(found["index"], found["relevance_score"], found.get("explanation"))\n`
  );
}

function asCohere({ model, query, documents, ...more }) {
  const texts = documents.map((each) => (typeof each === "string" ? each : `${each.title}\n${each.text}`));
  const extra = Object.keys(more).length
    ? `    request_options={"additional_body_parameters": ${literal(more, "    ")}},\n`
    : "";
  return (
    `import os\n\nimport cohere\n\n` +
    `client = cohere.ClientV2(api_key=os.environ.get("INTERANK_KEY", "none"), base_url=${JSON.stringify(place().replace(/\/$/, ""))})\n` +
    `reply = client.rerank(\n    model=${JSON.stringify(model)},\n    query=${JSON.stringify(query)},\n` +
    `    documents=${literal(texts, "    ")},\n    top_n=${texts.length},\n${extra})\n` +
    `for found in reply.results:\n    print(found.index, found.relevance_score, getattr(found, "explanation", None))\n`
  );
}

function showCode() {
  let code;
  try {
    code = CODES[codeForm](requestOf(readInput(), settingsOf("right"), Number(byId("explain").value)));
  } catch (error) {
    code = `${error.message}.`;
  }
  byId("code").textContent = code;
  for (const button of document.querySelectorAll("[data-form]")) {
    button.setAttribute("aria-pressed", String(button.dataset.form === codeForm));
  }
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = `${what} was copied.`;
  } catch {
    // Browsers allow copying only over https and from localhost.
    byId("code").textContent = text;
    getSelection().selectAllChildren(byId("code"));
    byId("copied").textContent = `This browser does not let the page copy; ${what} is selected above.`;
  }
}
