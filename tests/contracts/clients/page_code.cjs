// Makes the code that the server's page shows: the page's scripts, address and input on standard input, the code by form on standard output.
"use strict";

const { scripts, address, query, documents, settings, explain } = JSON.parse(require("node:fs").readFileSync(0, "utf-8"));
const made = new Function("location", "documents", `${scripts}; return [readDocuments(documents).documents, requestOf, CODES];`);
const [read, requestOf, codes] = made({ href: address }, documents);
const request = requestOf({ query, documents: read }, settings, explain);
console.log(JSON.stringify(Object.fromEntries(Object.entries(codes).map(([form, code]) => [form, code(request)]))));
