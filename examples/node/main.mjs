// Appends every inspection result to a file, one JSON object a line, exactly once; then acknowledges it.
// The file is its own cursor: each line names its epoch and seq, and a line that a crash tore is cut off at the start.
//
//   node main.mjs --file results.jsonl [--endpoint tcp://…:5573] [--replay tcp://…:5574] [--consumer NAME] [--keys FILE]

import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs"
import { parseArgs } from "node:util"
import { Follower } from "./follower.mjs"

const { values } = parseArgs({
  options: {
    file: { type: "string", default: "results.jsonl" },
    endpoint: { type: "string", default: "tcp://127.0.0.1:5573" },
    replay: { type: "string", default: "tcp://127.0.0.1:5574" },
    consumer: { type: "string", default: "node" },
    keys: { type: "string" },
  },
})

/** Opens the file behind its last whole line; gives it and that line's place. */
function openFile(path) {
  const content = readFileSync(path, { flag: "a+" })
  const end = content.lastIndexOf("\n") + 1
  const file = openSync(path, "a+")
  ftruncateSync(file, end)
  const lastLine = content.subarray(0, Math.max(end - 1, 0)).toString().split("\n").pop()
  const { epoch, seq } = lastLine ? JSON.parse(lastLine) : {}
  return { file, cursor: lastLine ? { epoch, seq } : undefined }
}

/** Reads a key file as `appliance keys add` writes it. */
function readKeys(path) {
  const text = readFileSync(path, "utf8")
  const find = (name) => text.match(new RegExp(`^\\s+${name}\\s*=\\s*"(.{40})"`, "m"))?.[1]
  return {
    curvePublicKey: find("public-key"),
    curveSecretKey: find("secret-key"),
    curveServerKey: find("server-key"),
  }
}

const { file, cursor } = openFile(values.file)
const { endpoint, replay, consumer } = values
const follower = new Follower({ endpoint, replay, consumer, cursor, keys: values.keys ? readKeys(values.keys) : {} })
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => follower.close())

if (cursor) await follower.ack(cursor) // the last acknowledgement may have died with us
for await (const item of follower.items()) {
  // A result's body carries its own epoch and seq; it is stored as it came, digit by digit.
  const { kind, body, ...place } = item
  writeSync(file, (kind === "result" ? body : JSON.stringify({ ...place, kind })) + "\n")
  fsyncSync(file)
  await follower.ack(item)
}
closeSync(file)
