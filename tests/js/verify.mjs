// A webhook as its receiver checks it, by code its sender's authors didn't write: GitHub's own
// verifier and Svix's. Config: `secrets`, `headers` (lower case), `body`; `hub` is the secret
// that X-Hub-Signature-256 is made with.
import { readFileSync } from "node:fs";
import { verify } from "@octokit/webhooks-methods";
import { Webhook } from "svix";

const config = JSON.parse(process.argv[2] ?? readFileSync(0, "utf8"));
const { hub, secrets, headers, body } = config;

function standard(secret, text) {
  try {
    new Webhook(secret).verify(text, headers);
    return true;
  } catch {
    return false;
  }
}

const tampered = body.replace("1.0", "1.1");
console.log(
  JSON.stringify({
    octokit: await verify(hub, body, headers["x-hub-signature-256"]),
    octokitTampered: await verify(hub, tampered, headers["x-hub-signature-256"]),
    svix: secrets.map((secret) => standard(secret, body)),
    svixTampered: secrets.map((secret) => standard(secret, tampered)),
  }),
);
