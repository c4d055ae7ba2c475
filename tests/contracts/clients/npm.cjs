// Asks a server by a package for Node: a request on standard input, what came of it on standard output.
"use strict";

async function ask({ client, url, key, query, texts, model }) {
  if (client === "voyageai") {
    const { VoyageAIClient } = require("voyageai");
    const made = new VoyageAIClient({ apiKey: key, environment: `${url}/voyage/v1` });
    return (await made.rerank({ query, documents: texts, model }, { maxRetries: 0 })).data;
  }
  const { CohereClient, CohereClientV2 } = require("cohere-ai");
  const made = new (client === "cohere v1" ? CohereClient : CohereClientV2)({ token: key, environment: url });
  return (await made.rerank({ query, documents: texts, model }, { maxRetries: 0 })).results;
}

ask(JSON.parse(require("node:fs").readFileSync(0, "utf-8"))).then(
  (results) => console.log(JSON.stringify({ results: results.map((each) => [each.index, each.relevanceScore]) })),
  (error) => console.log(JSON.stringify({ error: `${error.name} ${error.statusCode} ${JSON.stringify(error.body)}` })),
);
