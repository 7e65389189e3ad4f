// Goes through the operations of the JavaScript client against a box.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { CypherFace, CypherFaceError, OPERATIONS } from "./cypherface.mjs";

const [url, merchantId, apiKey, login] = process.argv.slice(2);
const picture = (name) => new Blob([readFileSync(name)], { type: "image/jpeg" });

// Every request is seen, so that none of the operations is left out.
const asked = new Set();
const fetching = (target, init) => {
  for (const [id, [method, path]] of Object.entries(OPERATIONS)) {
    const pattern = new RegExp("^/api" + path.replace(/\{\w+\}/g, "[^/]+") + "/$");
    if (method === init.method && pattern.test(new URL(target).pathname)) asked.add(id);
  }
  return fetch(target, init);
};
const client = (credential) => new CypherFace(url + "/", credential, { fetch: fetching });

const box = client("");
box.credential = (await box.accessToken(merchantId, apiKey)).token;
box.credential = (await box.refreshToken()).token;
await box.ready();
assert.equal((await box.version()).environment, "sandbox");

const { userId } = await box.register({ firstname: "Ada", lastname: "Lovelace", email: "ada@example.org" });
assert.equal((await box.changeUser(userId, { phone: "1815" })).user.phone, "1815");
await box.enrol(userId, "ada [1].jpg", picture("red.jpg"));
assert.equal((await box.match(userId, "door.jpg", picture("red.jpg"))).match, true);
assert.equal((await box.match(userId, "door.jpg", picture("blue.jpg"))).match, false);
assert.equal((await box.faceScan(userId, readFileSync("red.jpg").toString("base64"))).faceCount, 1);
assert.equal((await box.faceDetect(picture("red.jpg"))).faceCount, 1);
assert.equal((await box.identify(picture("red.jpg"))).userId, userId);
assert.equal((await box.identify()).userId, userId);

for (const check of [true, false]) {
  const { sessionId } = await box.startLivenessSession(userId);
  for (const name of ["f0.jpg", "f1.jpg", "f2.jpg"]) await box.uploadFrame(sessionId, picture(name));
  await box.capture({ purpose: "frame", sessionId });
  if (check) assert.equal((await box.checkLiveness(sessionId)).response.Status, "MATCHED");
  else assert.equal((await box.matchLivenessFace(userId, sessionId)).match, true);
  assert.equal((await box.showLivenessSession(sessionId)).status, "MATCHED");
}

assert.equal((await box.listVerifications({ userId, limit: 2 })).verifications.length, 2);
assert.equal((await box.listUsers({ search: "lovelace" })).users.length, 1);
assert.equal((await box.showUser(userId)).user.status, "enrolled");
assert.equal((await box.exportUser(userId)).user.userId, userId);
await assert.rejects(box.showImage(userId), { status: 404 }); // the fake keeps no crop
await assert.rejects(box.cameraSnapshot(), { status: 404 }); // … and has no camera to watch
await box.deleteImage(userId);
await box.deleteUser(userId);
await assert.rejects(box.showUser(userId), (e) => e instanceof CypherFaceError && e.code === "NOT_FOUND" && !!e.requestId);

const owner = client(login);
const key = await owner.createApiKey({ name: "kiosk", scopes: ["match"] });
await owner.revokeApiKey(key.keyId);
assert.equal((await owner.listApiKeys()).keys.find((k) => k.keyId === key.keyId).status, "revoked");

assert.deepEqual(Object.keys(OPERATIONS).filter((id) => !asked.has(id)), []);
console.log("all is well");
