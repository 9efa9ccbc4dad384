// aimock, and what Ollama is asked besides a chat, which aimock does not answer: node aimock.mjs LIBRARY FIXTURES
import { pathToFileURL } from "node:url";

const [library, fixtures] = process.argv.slice(2);
const { LLMock } = await import(pathToFileURL(library).href);
const mock = new LLMock({ port: 0, strict: true, journalMaxEntries: 0, logLevel: "silent" });
mock.loadFixtureFile(fixtures);

const answers = {
  "/api/show": { details: { family: "m" }, model_info: { "general.architecture": "m", "m.context_length": 32768 } },
  "/api/ps": { models: [] },
  "/api/generate": { response: "", done: true, done_reason: "load" },
};
for (const [path, answer] of Object.entries(answers)) {
  const handleRequest = async (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
    return true;
  };
  mock.mount(path, { handleRequest });
}
console.log(`listening on ${await mock.start()}`);
process.on("SIGTERM", () => process.exit(0));
