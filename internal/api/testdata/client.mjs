// Goes through the operations of the JavaScript client against a box.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { CypherFace, CypherFaceError, OPERATIONS } from "./cypherface.mjs";

const [url, merchantId, apiKey, login, email, password] = process.argv.slice(2);
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

// Accounts: somebody is invited, signs in, and changes what is his.
const { token } = await owner.inviteMember({ email: "grace@example.org", role: "operator", show: true });
const asked1 = await owner.inviteMember({ email: "bea@example.org", role: "auditor" });
assert.equal((await owner.listInvitations()).invitations.length, 2);
await owner.revokeInvitation(asked1.invitation.invitationId);
await box.acceptInvitation({ token, firstname: "Grace", lastname: "Hopper", password });
const grace = client("");
const signedIn = await grace.login("grace@example.org", password);
grace.credential = signedIn.token;
assert.equal((await grace.changeMe({ phone: "70" })).user.phone, "70");
assert.equal((await grace.showMe()).user.role, "operator");
grace.credential = (await client("").refreshToken(signedIn.refreshToken)).token;
await grace.changePassword(password, password + " 2");
assert.equal((await grace.listFactors()).totp, false);
assert.equal((await grace.setupTotp(password + " 2")).secret.length, 32);
await assert.rejects(grace.confirmTotp("x"), { status: 422 });
await assert.rejects(grace.passkeyOptions(password), { status: 422 }); // the box has no URL
await assert.rejects(grace.addPasskey("x", "stick", {}), { status: 422 });
await assert.rejects(grace.newRecoveryCodes(password + " 2"), { status: 409 });
await assert.rejects(grace.removeFactor(password + " 2", "x"), { status: 409 });
assert.equal((await grace.changeEmail("hopper@example.org", password + " 2")).emailVerification.expiresIn, 900);
await assert.rejects(grace.confirmEmail("x"), { status: 422 });
const { accountId } = signedIn.user;
assert.equal((await owner.listAccounts()).accounts.length, 2);
assert.equal((await owner.showAccount(accountId)).account.phone, "70");
await owner.changeAccount(accountId, { role: "auditor" });
await assert.rejects(grace.logout(), { status: 401 }); // that ended it
grace.credential = (await grace.login(email, password)).token;
await grace.logout();
await owner.removeAccount(accountId);
assert.equal((await owner.inviteMerchant()).inviteCode.length, 43);
await assert.rejects(box.registerMerchant({ businessName: "B", firstname: "A", lastname: "L", email: "x@example.org", password }), { status: 403 });
await box.resendEmail("x@example.org");
await box.forgotPassword("x@example.org");
const none = client("");
await assert.rejects(none.verifyEmail("x@example.org", "123456"), { status: 422 });
await assert.rejects(none.resetPassword("x", password), { status: 422 });
await assert.rejects(none.loginFactor("x", { code: "123456" }), { status: 401 });
await assert.rejects(none.loginPasskey("x"), { status: 422 });
// A person's rights.
assert.equal((await owner.changePolicy({ requireConsent: true })).policy.requireConsent, true);
assert.equal((await owner.showPolicy()).policy.requireConsent, true);
const { consentText } = await owner.createConsentText({ version: "1", language: "en", text: "I agree." });
const draft = (await owner.createConsentText({ version: "2", language: "en", text: "I do." })).consentText;
await owner.deleteConsentText(draft.textId);
assert.equal((await box.currentConsentText("en")).consentText.textId, consentText.textId);
assert.equal((await box.showConsentText(consentText.textId)).consentText.text, "I agree.");
const ella = (await box.register({ firstname: "Ella", lastname: "Baker", email: "ella@example.org" })).userId;
await assert.rejects(box.enrol(ella, "ella.jpg", picture("blue.jpg")), { status: 422 });
assert.equal((await box.giveConsent(ella, { textId: consentText.textId, through: "kiosk" })).consent.valid, true);
await box.enrol(ella, "ella.jpg", picture("blue.jpg"));
await owner.retireConsentText(consentText.textId);
assert.equal((await box.listConsentTexts({ current: true })).consentTexts.length, 0);
assert.equal((await box.listConsents(ella)).mayEnrol, true);
const { erasureId } = await box.withdrawConsent(ella, { keepUser: true });
assert.equal((await box.showErasure(erasureId)).receipt.userId, ella);

// Ways in without a face, and how long what is kept.
const badge = await box.giveCredential(ella, { type: "qr" });
assert.equal((await box.verifyCredential({ type: "qr", value: badge.value })).userId, ella);
assert.equal((await box.listCredentials(ella)).credentials.length, 1);
await box.unlockCredential(ella, badge.credential.credentialId);
await box.revokeCredential(ella, badge.credential.credentialId);
assert.equal((await box.verifyCredential({ type: "qr", value: badge.value })).verified, false);
assert.equal((await owner.changeRetention({ inactive: 730, crops: null })).classes.find((c) => c.name === "inactive").days, 730);
assert.ok((await owner.showRetention()).fixed.length > 3);
assert.equal((await owner.previewRetention({ inactive: 1 })).notSeen, 0);

// Doors, and who may pass them when.
const door = await owner.createDoor({ name: "Front", camera: "demo:", policy: { liveness: "passive" } });
assert.equal((await owner.changeDoor(door.doorId, { policy: { frames: 5 } })).policy.liveness, "passive");
assert.equal((await box.showDoor(door.doorId)).policy.frames, 5);
assert.equal((await box.listDoors()).doors[0].name, "Front");
assert.equal((await owner.grantDoor(door.doorId, ella)).grant.schedule, undefined);
const schedule = [{ days: ["monday", "friday"], start: "08:00", end: "17:30" }];
const { grant } = await owner.grantDoor(door.doorId, ella, { schedule, until: "2099-01-01T00:00:00Z" });
assert.deepEqual(grant.schedule, schedule);
assert.deepEqual((await box.listGrants(door.doorId, { limit: 10 })).grants, [grant]);
assert.deepEqual((await box.listUserGrants(ella)).grants, [grant]);
await assert.rejects(owner.grantDoor(door.doorId, ella, { schedule: [] }), (e) => e.status === 400 && e.details[0].field === "schedule");
await owner.ungrantDoor(door.doorId, ella);
assert.equal((await box.listGrants(door.doorId)).grants.length, 0);
await owner.deleteDoor(door.doorId);

// Reviews: a decision that was wrong, and two who are one.
await owner.changePolicy({ requireConsent: false });
const [one, two] = [(await box.register({ firstname: "Mary", lastname: "J", email: "m1@example.org" })).userId, (await box.register({ firstname: "Mary", lastname: "J", email: "m2@example.org" })).userId];
await box.enrol(one, "mary.jpg", picture("red.jpg"));
const { requestId } = await box.match(one, "door.jpg", picture("red.jpg"));
const { review } = await box.markWrong(requestId, { actualUserId: two });
assert.equal((await box.listReviews({ reason: "wrong_match" })).reviews.length, 1);
assert.equal((await box.showReview(review.reviewId)).review.users.length, 2);
assert.equal((await box.settleReview(review.reviewId, { outcome: "dismissed" })).review.state, "settled");
assert.equal((await box.reviewStatistics()).falseMatches.dismissed, 1);
await assert.rejects(box.showCandidate(review.reviewId), { status: 409 }); // it is settled
assert.equal((await box.mergeUsers(one, { from: two, dryRun: true })).dryRun, true);

// Many people at once.
let { bulk } = await box.bulkEnrol(picture("people.zip"), { existing: "skip" });
for (let n = 0; bulk.state === "running" && n < 6000; n++) {
  await new Promise((done) => setTimeout(done, 10));
  ({ bulk } = await box.showBulk(bulk.bulkId));
}
assert.deepEqual([bulk.state, bulk.enrolled, bulk.refused], ["done", 1, 1]);
assert.equal((await box.bulkReport(bulk.bulkId)).entries.length, 2);
assert.equal((await box.bulkReport(bulk.bulkId, "refused")).entries[0].number, 2);
assert.equal((await box.listBulk()).bulks.length, 1);
await box.endBulk(bulk.bulkId);
assert.equal((await box.listBulk()).bulks.length, 0);

assert.deepEqual(Object.keys(OPERATIONS).filter((id) => !asked.has(id)), []);
console.log("all is well");
