// A reader in another language: takes JSON texts or streams of lines over a pipe, in bulk.
//
// In:  one byte for the kind ("J" a JSON text, "L" lines), four bytes of length, the bytes.
// Out: one byte ("=" read, "x" not readable), four bytes of length, the bytes: for a JSON text the
//      value written out again, for lines a JSON array of them.
//
// An answer to a JSON text is given at once; lines go through Node's own readline.

import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readJson(bytes) {
  try {
    return ["=", JSON.stringify(JSON.parse(utf8.decode(bytes)))];
  } catch {
    return ["x", ""];
  }
}

async function readLines(bytes) {
  const input = new PassThrough();
  const lines = [];
  const reader = createInterface({ input, crlfDelay: Infinity, terminal: false });
  reader.on("line", (line) => lines.push(line));
  const ended = new Promise((resolve) => reader.on("close", resolve));
  input.end(bytes);
  await ended;
  return ["=", JSON.stringify(lines)];
}

const readers = { J: readJson, L: readLines };
let held = Buffer.alloc(0);

for await (const chunk of process.stdin) {
  held = held.length ? Buffer.concat([held, chunk]) : chunk;
  const answers = [];
  let start = 0;
  while (held.length - start >= 5) {
    const end = start + 5 + held.readUInt32BE(start + 1);
    if (held.length < end) break;
    const kind = String.fromCharCode(held[start]);
    const [mark, text] = await readers[kind](held.subarray(start + 5, end));
    const body = Buffer.from(text, "utf-8");
    const head = Buffer.alloc(5);
    head.write(mark, 0, "latin1");
    head.writeUInt32BE(body.length, 1);
    answers.push(head, body);
    start = end;
  }
  held = held.subarray(start);
  if (answers.length) process.stdout.write(Buffer.concat(answers));
}
