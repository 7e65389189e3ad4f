// The CypherFace REST API in JavaScript: one module for browsers and Node (18 and
// later), without dependencies. cypherface.d.ts has its types.
//
//   import { CypherFace } from "./cypherface.js";
//   const box = new CypherFace("https://box.example:8443", apiKeyOrToken);
//   const { userId } = await box.register({ firstname: "Ada", lastname: "Lovelace", email: "ada@example.org" });
//   await box.enrol(userId, "ada.jpg", picture);          // a Blob with its type
//   const { match } = await box.match(userId, "door.jpg", other);
//
// An answer that is no success is thrown as a CypherFaceError. Nothing is retried.

/** The operations of openapi.yaml, by their operationId. */
export const OPERATIONS = Object.freeze({
  accessToken: ["POST", "/access-token"],
  refreshToken: ["POST", "/refresh-token"],
  login: ["POST", "/login"],
  loginFactor: ["POST", "/login/factor"],
  loginPasskey: ["POST", "/login/passkey"],
  listFactors: ["GET", "/factors"],
  setupTotp: ["POST", "/factors/totp"],
  confirmTotp: ["POST", "/factors/totp/confirm"],
  passkeyOptions: ["POST", "/factors/passkeys/options"],
  addPasskey: ["POST", "/factors/passkeys"],
  newRecoveryCodes: ["POST", "/factors/recovery-codes"],
  removeFactor: ["POST", "/factors/remove"],
  logout: ["POST", "/logout"],
  registerMerchant: ["POST", "/merchant/register"],
  inviteMerchant: ["POST", "/merchant/invite"],
  showMe: ["GET", "/merchant/me"],
  changeMe: ["PUT", "/merchant/me"],
  verifyEmail: ["POST", "/email/verify"],
  resendEmail: ["POST", "/email/resend"],
  changeEmail: ["POST", "/email/change"],
  confirmEmail: ["POST", "/email/change/confirm"],
  forgotPassword: ["POST", "/password/forgot"],
  resetPassword: ["POST", "/password/reset"],
  changePassword: ["POST", "/password/change"],
  listAccounts: ["GET", "/accounts"],
  showAccount: ["GET", "/accounts/{accountId}"],
  changeAccount: ["PUT", "/accounts/{accountId}"],
  removeAccount: ["DELETE", "/accounts/{accountId}"],
  listInvitations: ["GET", "/accounts/invitations"],
  inviteMember: ["POST", "/accounts/invitations"],
  revokeInvitation: ["DELETE", "/accounts/invitations/{invitationId}"],
  acceptInvitation: ["POST", "/invitation/accept"],
  createApiKey: ["POST", "/merchant-api-key"],
  listApiKeys: ["GET", "/merchant-api-key"],
  revokeApiKey: ["DELETE", "/merchant-api-key/{keyId}"],
  register: ["POST", "/register"],
  listUsers: ["GET", "/users"],
  showUser: ["GET", "/users/{userId}"],
  changeUser: ["PUT", "/users/{userId}"],
  deleteUser: ["DELETE", "/users/{userId}"],
  exportUser: ["GET", "/users/{userId}/export"],
  createConsentText: ["POST", "/consent-texts"],
  listConsentTexts: ["GET", "/consent-texts"],
  currentConsentText: ["GET", "/consent-texts/current"],
  showConsentText: ["GET", "/consent-texts/{textId}"],
  retireConsentText: ["POST", "/consent-texts/{textId}/retire"],
  deleteConsentText: ["DELETE", "/consent-texts/{textId}"],
  giveConsent: ["POST", "/users/{userId}/consents"],
  listConsents: ["GET", "/users/{userId}/consents"],
  withdrawConsent: ["POST", "/users/{userId}/consents/withdraw"],
  showErasure: ["GET", "/erasures/{erasureId}"],
  showPolicy: ["GET", "/merchant/policy"],
  changePolicy: ["PUT", "/merchant/policy"],
  giveCredential: ["POST", "/users/{userId}/credentials"],
  listCredentials: ["GET", "/users/{userId}/credentials"],
  revokeCredential: ["DELETE", "/users/{userId}/credentials/{credentialId}"],
  unlockCredential: ["POST", "/users/{userId}/credentials/{credentialId}/unlock"],
  verifyCredential: ["POST", "/credential/verify"],
  showRetention: ["GET", "/merchant/retention"],
  changeRetention: ["PUT", "/merchant/retention"],
  previewRetention: ["POST", "/merchant/retention/preview"],
  listReviews: ["GET", "/reviews"],
  reviewStatistics: ["GET", "/reviews/statistics"],
  showReview: ["GET", "/reviews/{reviewId}"],
  settleReview: ["POST", "/reviews/{reviewId}/settle"],
  mergeUsers: ["POST", "/users/{userId}/merge"],
  markWrong: ["POST", "/verifications/{verificationId}/wrong"],
  showCandidate: ["GET", "/reviews/{reviewId}/candidate"],
  showImage: ["GET", "/image/{userId}"],
  deleteImage: ["DELETE", "/image/{userId}"],
  generateUploadUrl: ["POST", "/upload/generate-url"],
  faceMatch: ["POST", "/face/match"],
  faceScan: ["POST", "/face-scan"],
  faceDetect: ["POST", "/face/detect"],
  startLivenessSession: ["POST", "/start-liveness-session"],
  uploadFrame: ["POST", "/upload-frame"],
  matchLivenessFace: ["POST", "/match-liveness-face"],
  checkLiveness: ["POST", "/check-liveness"],
  showLivenessSession: ["GET", "/face-liveness/{sessionId}"],
  listVerifications: ["GET", "/verifications"],
  capture: ["POST", "/capture"],
  cameraSnapshot: ["GET", "/camera/snapshot"],
  identify: ["POST", "/identify"],
  createDoor: ["POST", "/doors"],
  listDoors: ["GET", "/doors"],
  showDoor: ["GET", "/doors/{doorId}"],
  changeDoor: ["PUT", "/doors/{doorId}"],
  deleteDoor: ["DELETE", "/doors/{doorId}"],
  grantDoor: ["PUT", "/doors/{doorId}/grants/{userId}"],
  ungrantDoor: ["DELETE", "/doors/{doorId}/grants/{userId}"],
  listGrants: ["GET", "/doors/{doorId}/grants"],
  listUserGrants: ["GET", "/users/{userId}/grants"],
  bulkEnrol: ["POST", "/bulk/enrol"],
  listBulk: ["GET", "/bulk"],
  showBulk: ["GET", "/bulk/{bulkId}"],
  endBulk: ["DELETE", "/bulk/{bulkId}"],
  bulkReport: ["GET", "/bulk/{bulkId}/report"],
  ready: ["GET", "/readyz"],
  version: ["GET", "/version"],
});

export class CypherFaceError extends Error {
  constructor(status, body, retryAfter) {
    super(body?.message ?? `the answer has status ${status}`);
    this.name = "CypherFaceError";
    this.status = status;
    this.code = body?.code;
    this.details = body?.details ?? [];
    this.requestId = body?.requestId;
    this.retryAfter = retryAfter; // seconds, with status 429
  }
}

export class CypherFace {
  /** options.fetch stands in for the global fetch. */
  constructor(baseURL, credential = "", options = {}) {
    this.baseURL = baseURL.replace(/\/$/, "");
    this.credential = credential;
    this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  /** Calls an operation: { path, query, headers, json, form, archive }. */
  async call(operation, { path = {}, query = {}, headers = {}, json, form, archive } = {}) {
    const [method, template] = OPERATIONS[operation];
    const filled = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name]));
    const asked = Object.entries(query).filter(([, v]) => v !== undefined && v !== "");
    const url = `${this.baseURL}/api${filled}/${asked.length ? "?" + new URLSearchParams(asked) : ""}`;
    const init = { method, headers: { ...headers } };
    if (this.credential) init.headers.Authorization = `Bearer ${this.credential}`;
    if (json !== undefined) {
      init.headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(json);
    } else if (form) {
      init.body = form; // its type has a boundary, which fetch knows
    } else if (archive) {
      init.headers["Content-Type"] = "application/zip";
      init.body = archive;
    }
    return this.answer(await this.fetch(url, init));
  }

  async answer(response) {
    const isJSON = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    if (!response.ok) {
      const body = isJSON ? await response.json() : undefined;
      const wait = Number(response.headers.get("Retry-After")) || undefined;
      throw new CypherFaceError(response.status, body, wait);
    }
    return isJSON ? response.json() : response.blob();
  }

  accessToken(merchantId, apiKey) { return this.call("accessToken", { headers: { merchantId, "x-api-key": apiKey } }); }
  /** Of a login with its refresh token; else with the credential itself. */
  refreshToken(refreshToken) {
    if (!refreshToken) return this.call("refreshToken");
    return new CypherFace(this.baseURL, "", { fetch: this.fetch }).call("refreshToken", { json: { refreshToken } });
  }
  createApiKey(request = {}) { return this.call("createApiKey", { json: request }); }
  listApiKeys() { return this.call("listApiKeys"); }
  revokeApiKey(keyId) { return this.call("revokeApiKey", { path: { keyId } }); }

  /** Tokens, or with mfaRequired a ticket for the second step. */
  login(email, password) { return this.call("login", { json: { email, password } }); }
  /** The second step: { code }, { recoveryCode } or { passkey }. */
  loginFactor(ticket, proof) { return this.call("loginFactor", { json: { ticket, ...proof } }); }
  loginPasskey(ticket) { return this.call("loginPasskey", { json: { ticket } }); }
  listFactors() { return this.call("listFactors"); }
  setupTotp(password) { return this.call("setupTotp", { json: { password } }); }
  confirmTotp(code) { return this.call("confirmTotp", { json: { code } }); }
  passkeyOptions(password) { return this.call("passkeyOptions", { json: { password } }); }
  addPasskey(ticket, name, credential) { return this.call("addPasskey", { json: { ticket, name, credential } }); }
  newRecoveryCodes(password) { return this.call("newRecoveryCodes", { json: { password } }); }
  removeFactor(password, factor) { return this.call("removeFactor", { json: { password, factor } }); }
  logout() { return this.call("logout"); }
  registerMerchant(fields) { return this.call("registerMerchant", { json: fields }); }
  inviteMerchant() { return this.call("inviteMerchant"); }
  showMe() { return this.call("showMe"); }
  changeMe(fields) { return this.call("changeMe", { json: fields }); }
  verifyEmail(email, code) { return this.call("verifyEmail", { json: { email, code } }); }
  resendEmail(email) { return this.call("resendEmail", { json: { email } }); }
  /** A code goes to the new address, for confirmEmail; nothing changes before. */
  changeEmail(email, password) { return this.call("changeEmail", { json: { email, password } }); }
  confirmEmail(code) { return this.call("confirmEmail", { json: { code } }); }
  forgotPassword(email) { return this.call("forgotPassword", { json: { email } }); }
  resetPassword(token, password) { return this.call("resetPassword", { json: { token, password } }); }
  changePassword(currentPassword, newPassword) { return this.call("changePassword", { json: { currentPassword, newPassword } }); }
  listAccounts() { return this.call("listAccounts"); }
  showAccount(accountId) { return this.call("showAccount", { path: { accountId } }); }
  changeAccount(accountId, fields) { return this.call("changeAccount", { path: { accountId }, json: fields }); }
  removeAccount(accountId) { return this.call("removeAccount", { path: { accountId } }); }
  listInvitations() { return this.call("listInvitations"); }
  inviteMember(request) { return this.call("inviteMember", { json: request }); }
  revokeInvitation(invitationId) { return this.call("revokeInvitation", { path: { invitationId } }); }
  acceptInvitation(request) { return this.call("acceptInvitation", { json: request }); }

  register(fields) { return this.call("register", { json: fields }); }
  listUsers(query = {}) { return this.call("listUsers", { query }); }
  showUser(userId) { return this.call("showUser", { path: { userId } }); }
  changeUser(userId, fields) { return this.call("changeUser", { path: { userId }, json: fields }); }
  deleteUser(userId) { return this.call("deleteUser", { path: { userId } }); }
  exportUser(userId) { return this.call("exportUser", { path: { userId } }); }

  /** The same as a ZIP, a Blob, with the pictures as files. */
  exportUserZip(userId) { return this.call("exportUser", { path: { userId }, query: { format: "zip" } }); }

  createConsentText(request) { return this.call("createConsentText", { json: request }); }
  listConsentTexts(query = {}) { return this.call("listConsentTexts", { query }); }
  currentConsentText(language) { return this.call("currentConsentText", { query: { language } }); }
  showConsentText(textId) { return this.call("showConsentText", { path: { textId } }); }
  retireConsentText(textId) { return this.call("retireConsentText", { path: { textId } }); }
  deleteConsentText(textId) { return this.call("deleteConsentText", { path: { textId } }); }
  giveConsent(userId, request) { return this.call("giveConsent", { path: { userId }, json: request }); }
  listConsents(userId) { return this.call("listConsents", { path: { userId } }); }
  withdrawConsent(userId, request) { return this.call("withdrawConsent", { path: { userId }, json: request }); }
  showErasure(erasureId) { return this.call("showErasure", { path: { erasureId } }); }
  showPolicy() { return this.call("showPolicy"); }
  changePolicy(request) { return this.call("changePolicy", { json: request }); }
  giveCredential(userId, request) { return this.call("giveCredential", { path: { userId }, json: request }); }
  listCredentials(userId) { return this.call("listCredentials", { path: { userId } }); }
  revokeCredential(userId, credentialId) { return this.call("revokeCredential", { path: { userId, credentialId } }); }
  unlockCredential(userId, credentialId) { return this.call("unlockCredential", { path: { userId, credentialId } }); }
  verifyCredential(shown) { return this.call("verifyCredential", { json: shown }); }
  showRetention() { return this.call("showRetention"); }
  changeRetention(days) { return this.call("changeRetention", { json: days }); }
  previewRetention(days) { return this.call("previewRetention", { json: days }); }
  listReviews(query = {}) { return this.call("listReviews", { query }); }
  reviewStatistics() { return this.call("reviewStatistics"); }
  showReview(reviewId) { return this.call("showReview", { path: { reviewId } }); }
  settleReview(reviewId, request) { return this.call("settleReview", { path: { reviewId }, json: request }); }
  mergeUsers(userId, request) { return this.call("mergeUsers", { path: { userId }, json: request }); }
  markWrong(verificationId, request = {}) { return this.call("markWrong", { path: { verificationId }, json: request }); }
  showCandidate(reviewId) { return this.call("showCandidate", { path: { reviewId } }); }
  showImage(userId) { return this.call("showImage", { path: { userId } }); }
  deleteImage(userId) { return this.call("deleteImage", { path: { userId } }); }

  generateUploadUrl(request) { return this.call("generateUploadUrl", { json: request }); }

  /** Sends an image to a link of generateUploadUrl; it needs no credential. */
  async put(link, image) {
    return this.answer(await this.fetch(link.url, { method: link.method, headers: { "Content-Type": link.contentType }, body: image }));
  }

  /** Makes an image, a Blob with its type, the face of a user. */
  async enrol(userId, imageName, image) {
    return this.put(await this.generateUploadUrl({ userId, imageName, contentType: image.type, type: "upload" }), image);
  }

  /** Compares an image, a Blob with its type, with a user. */
  async match(userId, imageName, image) {
    await this.put(await this.generateUploadUrl({ userId, imageName, contentType: image.type, type: "match" }), image);
    return this.faceMatch(userId);
  }

  faceMatch(userId) { return this.call("faceMatch", { json: { userId } }); }
  faceScan(userId, imageData) { return this.call("faceScan", { json: { userId, imageData } }); }
  faceDetect(image) { return this.call("faceDetect", { form: withFile("image", image) }); }

  startLivenessSession(userId, mode) { return this.call("startLivenessSession", { json: { userId, mode } }); }
  uploadFrame(sessionId, image) { return this.call("uploadFrame", { form: withFile("frame", image, { sessionId }) }); }
  matchLivenessFace(userId, sessionId) { return this.call("matchLivenessFace", { json: { userId, sessionId } }); }
  checkLiveness(sessionId) { return this.call("checkLiveness", { json: { sessionId } }); }
  showLivenessSession(sessionId) { return this.call("showLivenessSession", { path: { sessionId } }); }

  listVerifications(query = {}) { return this.call("listVerifications", { query }); }
  capture(request) { return this.call("capture", { json: request }); }

  /** What a camera sees, a Blob: that of a door, or the box's own. */
  cameraSnapshot(doorId) { return this.call("cameraSnapshot", { query: { door: doorId } }); }

  /** Without an image it asks about whom the box's camera sees. */
  identify(image) { return this.call("identify", image ? { form: withFile("image", image) } : { json: { source: "camera" } }); }

  createDoor(request) { return this.call("createDoor", { json: request }); }
  listDoors() { return this.call("listDoors"); }
  showDoor(doorId) { return this.call("showDoor", { path: { doorId } }); }
  changeDoor(doorId, request) { return this.call("changeDoor", { path: { doorId }, json: request }); }
  deleteDoor(doorId) { return this.call("deleteDoor", { path: { doorId } }); }
  /** At any time, or as { schedule, from, until } say; what there was for the user is gone. */
  grantDoor(doorId, userId, request = {}) { return this.call("grantDoor", { path: { doorId, userId }, json: request }); }
  ungrantDoor(doorId, userId) { return this.call("ungrantDoor", { path: { doorId, userId } }); }
  listGrants(doorId, query = {}) { return this.call("listGrants", { path: { doorId }, query }); }
  listUserGrants(userId) { return this.call("listUserGrants", { path: { userId } }); }

  /** A Blob or bytes of a ZIP; options are { check, existing, consent }. Ask for showBulk until its state is not running. */
  bulkEnrol(archive, options = {}) { return this.call("bulkEnrol", { archive, query: options }); }
  listBulk() { return this.call("listBulk"); }
  showBulk(bulkId) { return this.call("showBulk", { path: { bulkId } }); }
  /** What became of each person, or of those with one outcome. */
  bulkReport(bulkId, outcome) { return this.call("bulkReport", { path: { bulkId }, query: { outcome } }); }
  /** Cancels it, or forgets one that has ended. */
  endBulk(bulkId) { return this.call("endBulk", { path: { bulkId } }); }

  ready() { return this.call("ready"); }
  version() { return this.call("version"); }
}

function withFile(name, image, fields = {}) {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) form.append(key, value);
  form.append(name, image, "image");
  return form;
}
