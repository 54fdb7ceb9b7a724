// A server written with the TypeScript SDK 1.x, which speaks protocol versions with sessions only.
//
//     node older_server.mjs PACKAGES stdio
//     node older_server.mjs PACKAGES http        prints its port
//
// PACKAGES is the folder whose node_modules hold the SDK. Every call that comes through is written
// down in the file that SEEN_FILE names.

import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";

const [packages, transport] = process.argv.slice(2);
const need = createRequire(`${packages}/package.json`);
const { McpServer } = need("@modelcontextprotocol/sdk/server/mcp.js");
const { StdioServerTransport } = need("@modelcontextprotocol/sdk/server/stdio.js");
const { StreamableHTTPServerTransport } = need("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { isInitializeRequest } = need("@modelcontextprotocol/sdk/types.js");
const { z } = need("zod");

const seen = (line) => {
  if (process.env.SEEN_FILE) appendFileSync(process.env.SEEN_FILE, `${line}\n`);
};
const said = (text) => ({ content: [{ type: "text", text }] });

function older() {
  const server = new McpServer(
    { name: "older", version: "1.0.0" },
    { capabilities: { logging: {} }, instructions: "An older server." },
  );
  server.registerTool(
    "add",
    { description: "Add.", inputSchema: { a: z.number(), b: z.number() } },
    async ({ a, b }) => {
      seen("add");
      return said(String(a + b));
    },
  );
  server.registerTool("fails", { description: "Fail." }, async () => {
    seen("fails");
    throw new Error("not today");
  });
  server.registerTool("counts", { description: "Say how far it is." }, async (extra) => {
    seen("counts");
    const progressToken = extra._meta?.progressToken;
    for (const progress of [1, 2, 3]) {
      const params = { progressToken, progress, total: 3 };
      if (progressToken !== undefined) {
        await extra.sendNotification({ method: "notifications/progress", params });
      }
    }
    return said("counted");
  });
  server.registerTool("logs", { description: "Log." }, async (extra) => {
    seen("logs");
    for (const [level, data] of [["debug", "fine"], ["warning", "careful"]]) {
      await extra.sendNotification({ method: "notifications/message", params: { level, data } });
    }
    return said("logged");
  });
  server.registerTool("asks", { description: "Ask the user twice." }, async () => {
    seen("asks");
    const ask = async (message, field) => {
      const requestedSchema = { type: "object", properties: { [field]: { type: "string" } } };
      const answer = await server.server.elicitInput({ message, requestedSchema });
      return answer.action === "accept" ? answer.content[field] : answer.action;
    };
    const name = await ask("What is your name?", "name");
    const color = await ask("Which color?", "color");
    return said(`${name} likes ${color}`);
  });
  server.registerTool("waits", { description: "Never end by itself." }, async (extra) => {
    seen("waits");
    return await new Promise((done) => {
      extra.signal.addEventListener("abort", () => {
        seen("cancelled");
        done(said("cancelled"));
      });
    });
  });
  server.registerTool("grows", { description: "Offer one tool more." }, async () => {
    server.registerTool(`grown-${randomUUID()}`, { description: "New." }, async () => said("new"));
    return said("grown");
  });
  server.registerResource("static", "test://static", { description: "Text." }, async (uri) => ({
    contents: [{ uri: uri.href, text: "static" }],
  }));
  server.registerPrompt(
    "greet",
    { description: "Greet.", argsSchema: { name: z.string() } },
    ({ name }) => ({
      messages: [{ role: "user", content: { type: "text", text: `Greet ${name}.` } }],
    }),
  );
  return server;
}

if (transport === "stdio") {
  await older().connect(new StdioServerTransport());
} else {
  const sessions = new Map();
  const listener = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
    let session = sessions.get(request.headers["mcp-session-id"]);
    if (!session && isInitializeRequest(body)) {
      session = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => sessions.set(id, session),
      });
      session.onclose = () => sessions.delete(session.sessionId);
      await older().connect(session);
    }
    if (!session) {
      const error = { code: -32000, message: "Bad Request: no valid session" };
      const status = request.headers["mcp-session-id"] ? 404 : 400;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: null, error }));
      return;
    }
    await session.handleRequest(request, response, body);
  });
  listener.listen(0, "127.0.0.1", () => console.log(listener.address().port));
}
