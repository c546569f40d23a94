// Node's fetch as it comes: node post.mjs URL FILE TIMES [KEY]. Prints the status of each answer.
import { readFileSync } from "node:fs";

const [url, file, times, key] = process.argv.slice(2);
const body = readFileSync(file);
const headers = { "Content-Type": "image/jpeg", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
for (let i = 0; i < Number(times); i++) {
  try {
    const answer = await fetch(url, { method: "POST", headers, body });
    await answer.text();
    console.log(answer.status);
  } catch (error) {
    console.log(`${error}: ${error.cause}`);
  }
}
