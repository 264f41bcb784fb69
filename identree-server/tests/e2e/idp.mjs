// The certified OpenID provider of npm, on loopback, with people and one client as told.
//
//   node idp.mjs '{"port": 0, "client": {"id", "secret", "redirect_uri", "alg"}, "people": [{"sub", "name", "groups"}]}'
//
// Prints one line {"issuer": …} when it listens. Then takes one JSON command per line and answers each with one line:
//   {"rotate": true}       new signing keys, published at once
//   {"tamper": "issuer"}   each ID token from now on is signed anew with that one thing wrong ("old": a sign-in an
//                          hour ago); null ends it
// Ends with its standard input.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { decodeJwt, exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import { Provider } from "oidc-provider";

const { port, client, people } = JSON.parse(process.argv[2]);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function newKeys(generation) {
  const pairs = [["RS256"], ["ES256"], ["EdDSA", { crv: "Ed25519" }]];
  return Promise.all(pairs.map(async ([alg, options]) => {
    const { privateKey } = await generateKeyPair(alg, { ...options, extractable: true });
    return { ...(await exportJWK(privateKey)), alg, use: "sig", kid: `${alg}-${generation}` };
  }));
}

let keys = await newKeys(0);
let generation = 0;
let tamper = null;
let issuer;
let handle;

function start() {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [client.redirect_uri],
      id_token_signed_response_alg: client.alg ?? "RS256",
      token_endpoint_auth_method: "client_secret_basic",
      require_auth_time: true,
    }],
    jwks: { keys },
    cookies: { keys: ["only for tests"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
    claims: { openid: ["sub"], profile: ["preferred_username", "picture"], email: ["email"], groups: ["groups"], auth_time: null },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    ttl: { Interaction: 600, Session: 3600, Grant: 3600, AccessToken: 60, IdToken: 600 },
    findAccount: (_, sub) => {
      const person = people.find((person) => person.sub === sub);
      return person && {
        accountId: sub,
        claims: () => ({ sub, preferred_username: person.name, picture: person.picture, groups: person.groups }),
      };
    },
    // Whoever signs in agrees: consent is not what these tests are about.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ accountId: ctx.oidc.session.accountId, clientId: ctx.oidc.client.clientId });
      grant.addOIDCScope("openid profile email groups");
      await grant.save();
      return grant;
    },
  });
  const callback = provider.callback();
  handle = async (request, response) => {
    const uid = request.url.match(/^\/interaction\/([\w-]+)$/)?.[1];
    if (!uid) return callback(request, response);
    if (request.method === "POST") {
      let body = "";
      for await (const chunk of request) body += chunk;
      const person = people.find((person) => person.name === new URLSearchParams(body).get("login"));
      const result = person ? { login: { accountId: person.sub } } : { error: "access_denied" };
      return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    }
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>Test provider</title><h1>Test provider</h1><form method="post">
      <label>Name <input name="login" autofocus></label> <button>Continue</button></form>`);
  };
}

// One thing wrong, and a good signature over it: only a client that looks will notice.
async function spoil(token) {
  const claims = decodeJwt(token);
  const now = Math.floor(Date.now() / 1000);
  if (tamper === "issuer") claims.iss = `${claims.iss}/other`;
  if (tamper === "audience") claims.aud = "somebody-else";
  if (tamper === "old") claims.auth_time = now - 3600;
  if (tamper === "nonce") claims.nonce = "another";
  if (tamper === "expired") Object.assign(claims, { iat: now - 7200, exp: now - 3600 });
  const { alg } = JSON.parse(Buffer.from(token.split(".")[0], "base64url"));
  if (tamper === "none") {
    return `${Buffer.from('{"alg":"none"}').toString("base64url")}.${token.split(".")[1]}.`;
  }
  const known = keys.find((key) => key.alg === alg);
  const [key] = tamper === "key" ? (await newKeys("unknown")).filter((key) => key.alg === alg) : [known];
  return new SignJWT(claims).setProtectedHeader({ alg, kid: key.kid }).sign(await importJWK(key, alg));
}

const server = createServer(async (request, response) => {
  if (tamper && request.url === "/token") {
    const parts = [];
    const end = response.end.bind(response);
    response.write = (part) => parts.push(part);
    response.end = async (part) => {
      if (part) parts.push(part);
      const body = JSON.parse(Buffer.concat(parts.map((part) => Buffer.from(part))).toString());
      if (body.id_token) body.id_token = await spoil(body.id_token);
      const text = Buffer.from(JSON.stringify(body));
      response.setHeader("content-length", text.length);
      end(text);
    };
  }
  handle(request, response);
});

server.listen(port, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  start();
  print({ issuer });
});

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.rotate) {
    generation += 1;
    keys = await newKeys(generation);
    start();
  }
  if ("tamper" in command) tamper = command.tamper;
  print({ done: true });
}
process.exit(0);
