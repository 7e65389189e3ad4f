// Types of cypherface.js, as openapi.yaml has them; a test compares the two.

export interface AccessToken {
  success: true;
  message: string;
  accessToken: string;
  token: string;
  tokenType: "Bearer";
  expiresIn: number;
  expiresAt: string;
  merchantId: string;
  refreshToken?: string;
  refreshExpiresIn?: number;
}

export interface Account {
  accountId: string;
  merchantId: string;
  firstname: string;
  lastname: string;
  email: string;
  phone?: string;
  role: "owner" | "administrator" | "operator" | "auditor";
  status: "active" | "suspended";
  emailVerified: boolean;
  secondFactor: boolean;
  createdAt: string;
  lastLoginAt?: string;
}

export interface Login {
  success: true;
  message: string;
  user: Account;
  accessToken: string;
  token: string;
  refreshToken: string;
  tokenType: "Bearer";
  expiresIn: number;
  expiresAt: string;
  refreshExpiresIn: number;
  merchantId: string;
  mfaSetupRequired?: true;
}

export interface FactorDue {
  success: true;
  message: string;
  mfaRequired: true;
  ticket: string;
  factors: ("totp" | "passkey" | "recovery")[];
  expiresIn: number;
}

export interface Passkey {
  passkeyId: string;
  name: string;
  relyingParty: string;
  createdAt: string;
  lastUsedAt?: string;
}

export interface Factors {
  success: true;
  totp: boolean;
  passkeys: Passkey[];
  recoveryCodesLeft: number;
  required: boolean;
}

export interface FactorAdded {
  success: true;
  message: string;
  passkey?: Passkey;
  recoveryCodes?: string[];
}

export interface Invitation {
  invitationId: string;
  email: string;
  role: Account["role"];
  createdAt: string;
  expiresAt: string;
}

export interface MeAnswer {
  success: true;
  message: string;
  merchant: { merchantId: string; businessName: string; phone?: string; status: string; createdAt: string };
  user: Account;
  mfaSetupRequired?: true;
}

export interface EmailVerification {
  sent: boolean;
  expiresIn: number;
}

export interface Registration {
  businessName: string;
  firstname: string;
  lastname: string;
  email: string;
  password: string;
  phone?: string;
  inviteCode?: string;
}

export interface KeyRequest {
  name?: string;
  rotate?: boolean | string;
  role?: "integrator" | "operator" | "auditor" | "device";
  scopes?: ("users:read" | "users:write" | "users:export" | "enrol" | "images:read" | "match" | "detect" | "identify" | "camera:capture" | "camera:view" | "events:read" | "verifications:read" | "users:bulk" | "users:exchange" | "models:read" | "consent" | "credentials:manage" | "credentials:verify" | "reviews:manage")[];
  siteId?: string;
}

export interface NewKey {
  success: true;
  message: string;
  merchantId: string;
  apiKey: string;
  keyId: string;
  environment: "sandbox" | "production";
  role: "integrator" | "operator" | "auditor" | "device";
  scopes?: ("users:read" | "users:write" | "users:export" | "enrol" | "images:read" | "match" | "detect" | "identify" | "camera:capture" | "camera:view" | "events:read" | "verifications:read" | "users:bulk" | "users:exchange" | "models:read" | "consent" | "credentials:manage" | "credentials:verify" | "reviews:manage")[];
  createdAt: string;
  siteId?: string;
}

export interface KeyList {
  success: true;
  keys: Key[];
}

export interface Key {
  keyId: string;
  name: string;
  last4: string;
  status: "active" | "expiring" | "expired" | "suspended" | "revoked";
  role: string;
  scopes?: ("users:read" | "users:write" | "users:export" | "enrol" | "images:read" | "match" | "detect" | "identify" | "camera:capture" | "camera:view" | "events:read" | "verifications:read" | "users:bulk" | "users:exchange" | "models:read" | "consent" | "credentials:manage" | "credentials:verify" | "reviews:manage")[];
  createdAt: string;
  lastUsedAt?: string;
  expiresAt?: string;
  siteId?: string;
}

export interface UserFields {
  firstname?: string;
  lastname?: string;
  email?: string;
  phone?: string;
  externalId?: string;
  password?: string;
}

export interface User {
  userId: string;
  firstname: string;
  lastname: string;
  email: string;
  phone?: string;
  externalId?: string;
  status: "registered" | "enrolled" | "suspended";
  createdAt: string;
  updatedAt: string;
  enrolledAt?: string;
}

export interface Upload {
  success: true;
  message: string;
  url: string;
  uploadUrl: string;
  method: "PUT";
  imageKey: string;
  imageName: string;
  contentType: string;
  type: "upload" | "match";
  expiresIn: number;
  expiresAt: string;
}

export interface UploadedImage {
  success: true;
  message: "Face enrolled." | "Image received.";
  imageKey: string;
  faces: number;
}

export interface Match {
  success: true;
  match: boolean;
  faceMatch: boolean;
  similarity: number;
  threshold: number;
  message: string;
  userId: string;
  requestId: string;
}

export interface Detection {
  success: true;
  faceCount: number;
  faces: Face[];
  image: {
    width: number;
    height: number;
  };
  requestId: string;
}

export interface Face {
  BoundingBox: BoundingBox;
  Confidence: number;
  Landmarks: ({
    Type: "eyeLeft" | "eyeRight" | "nose" | "mouthLeft" | "mouthRight";
    X: number;
    Y: number;
  })[];
  Pose: {
    Roll: number;
    Yaw: number;
    Pitch: number;
  };
  Quality: {
    Brightness: number;
    Sharpness: number;
  };
}

export interface BoundingBox {
  Width: number;
  Height: number;
  Left: number;
  Top: number;
}

export type Scan = Match & {
  faceCount: number;
  faces: Face[];
  image: {
    width: number;
    height: number;
  };
};

export type Move = "center" | "left" | "right" | "up" | "down" | "closer";

export interface NewSession {
  sessionId: string;
  success: true;
  status: "CREATED";
  mode: "passive" | "active";
  expiresIn: 180;
  expiresAt: string;
  challenge: Move[];
  minFrames: 3;
  maxFrames: 20;
}

export interface Frame {
  success: true;
  imageKey: string;
  faces: number;
  status: "IN_PROGRESS";
}

export interface LivenessMatch {
  match: boolean;
  similarity: number;
  success: true;
  livenessSuccess: boolean;
  confidence: number;
  threshold: number;
  message: string;
  reasons?: ("passive" | "repeated_frame" | "no_movement" | "too_few_faces" | "other_face" | "challenge")[];
  hint?: string;
  requestId: string;
}

export interface LivenessCheck {
  success: true;
  livenessSuccess: boolean;
  faceMatch: boolean;
  similarity: number;
  message: string;
  reasons?: ("passive" | "repeated_frame" | "no_movement" | "too_few_faces" | "other_face" | "challenge")[];
  hint?: string;
  response: {
    "$metadata": {
      httpStatusCode: 200;
      requestId: string;
      attempts: 1;
      totalRetryDelay: 0;
    };
    AuditImages: never[];
    Confidence: number;
    ReferenceImage: {
      BoundingBox: BoundingBox;
    };
    SessionId: string;
    Status: "CREATED" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "EXPIRED" | "MATCHED";
  };
}

export interface Session {
  success: true;
  sessionId: string;
  userId: string;
  status: "CREATED" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "EXPIRED" | "MATCHED";
  mode: "passive" | "active";
  challenge: Move[];
  frames: number;
  confidence: number;
  similarity: number;
  createdAt: string;
  expiresAt: string;
}

export interface VerificationPage {
  success: true;
  verifications: Verification[];
  limit: number;
  page?: number;
  nextCursor?: string;
}

export interface Verification {
  seq: number;
  epoch: number;
  time: string;
  type: string;
  action?: string;
  outcome?: string;
  reasons?: string[];
  counters?: Record<string, number>;
  userId?: string;
  sessionId?: string;
  doorId?: string;
  requestId?: string;
  deviceId?: string;
}

export interface ConsentTextRequest {
  version: string;
  language: string;
  text: string;
}

export interface ConsentText {
  textId: string;
  version: string;
  language: string;
  text?: string;
  sha256: string;
  createdAt: string;
  retiredAt?: string;
}

export interface ConsentTextAnswer {
  success: true;
  consentText: ConsentText;
}

export interface ConsentTextPage {
  success: true;
  consentTexts: ConsentText[];
  nextCursor?: string;
}

export type Through = "operator" | "kiosk" | "api";

export interface ConsentRequest {
  textId?: string;
  version?: string;
  language?: string;
  through?: Through;
  givenAt?: string;
}

export interface Actor {
  kind: "system" | "cli" | "account" | "key" | "person" | "device";
  id?: string;
}

export interface Consent {
  consentId: string;
  valid: boolean;
  textId?: string;
  version?: string;
  language?: string;
  sha256?: string;
  givenAt?: string;
  through?: Through;
  recordedAt: string;
  recordedBy?: Actor;
  withdrawnAt?: string;
  withdrawnThrough?: Through;
  withdrawnBy?: Actor;
}

export interface ConsentList {
  success: true;
  mayEnrol: boolean;
  consents: Consent[];
}

export interface WithdrawalRequest {
  keepUser: boolean;
  through?: Through;
}

export interface Withdrawn {
  success: true;
  message: string;
  userId: string;
  userKept: boolean;
  erasureId: string;
}

export interface PolicyRequest {
  fmr?: number;
  passiveLiveness?: boolean;
  livenessLockAfter?: number;
  livenessLockSeconds?: number;
  refuseDuplicates?: boolean;
  requireConsent?: boolean;
  templateYears?: number;
  proposeCrops?: boolean;
  staleAfterHours?: number;
}

export type CredentialType = "pin" | "card" | "qr";

export interface CredentialRequest {
  type: CredentialType;
  value?: string;
  label?: string;
  expiresAt?: string;
}

export interface Credential {
  credentialId: string;
  type: CredentialType;
  label?: string;
  createdAt: string;
  expiresAt?: string;
  lastUsedAt?: string;
  lockedUntil?: string;
}

export interface CredentialGiven {
  success: true;
  credential: Credential;
  value?: string;
}

export interface CredentialShown {
  type: CredentialType;
  value: string;
  userId?: string;
  externalId?: string;
  doorId?: string;
  imageData?: string;
  sessionId?: string;
}

export interface CredentialVerdict {
  success: true;
  verified: boolean;
  userId?: string;
  granted?: boolean;
  reasons?: string[];
  faceMatch?: boolean;
  livenessSuccess?: boolean;
  similarity?: number;
  message: string;
  requestId: string;
}

export type BulkOutcome = "enrolled" | "updated" | "exists" | "refused" | "erased";

export interface Bulk {
  bulkId: string;
  state: "running" | "done" | "cancelled" | "failed";
  reason?: string;
  check: boolean;
  update: boolean;
  people: number;
  done: number;
  enrolled: number;
  updated: number;
  exists: number;
  refused: number;
  duplicates: number;
  rate: number;
  remaining?: number;
  notes: string[];
  createdAt: string;
  endedAt?: string;
}

export interface BulkAnswer {
  success: true;
  bulk: Bulk;
}

export interface BulkEntry {
  number: number;
  label?: string;
  outcome: BulkOutcome;
  reason?: string;
  hint?: string;
  userId?: string;
  possibleDuplicateOf?: string;
  sameFaceAs?: number;
  sameFaceAsLabel?: string;
  pictures?: { name: string; reason: string; hint?: string }[];
}

export type DoorLiveness = "off" | "passive" | "active";

export interface DoorPolicyRequest {
  liveness?: DoorLiveness;
  fpir?: number;
  frames?: number;
  coolDownSeconds?: number;
  secondFactor?: boolean;
  allowWhenFull?: boolean;
}

export interface DoorPolicy {
  liveness: DoorLiveness;
  fpir: number;
  frames: number;
  coolDownSeconds: number;
  secondFactor: boolean;
  allowWhenFull: boolean;
}

export interface DoorRequest {
  siteId?: string;
  name?: string;
  camera?: string;
  policy?: DoorPolicyRequest;
}

export interface Door {
  doorId: string;
  siteId: string;
  name: string;
  camera?: string;
  policy: DoorPolicy;
  state?: string;
  ask?: string;
  move?: Move;
}

export interface DoorList {
  success: true;
  doors: Door[];
}

export type Weekday = "sunday" | "monday" | "tuesday" | "wednesday" | "thursday" | "friday" | "saturday";

export interface ScheduleWindow {
  days: Weekday[];
  start: string;
  end: string;
}

export interface GrantRequest {
  schedule?: ScheduleWindow[];
  from?: string;
  until?: string;
}

export interface Grant {
  grantId: string;
  doorId: string;
  userId: string;
  schedule?: ScheduleWindow[];
  from?: string;
  until?: string;
  timeZone: string;
  createdAt: string;
}

export interface OneGrant {
  success: true;
  message: string;
  grant: Grant;
}

export interface GrantPage {
  success: true;
  grants: Grant[];
  nextCursor?: string;
}

export interface RetentionRequest {
  sourceImages?: number | null;
  crops?: number | null;
  inactive?: number | null;
  withdrawn?: number | null;
  unenrolled?: number | null;
  reviews?: number | null;
}

export interface Retention {
  success: true;
  classes: { name: string; days: number; set: boolean; default: number; what: string; reason: string; cost?: string }[];
  fixed: { name: string; kept: string }[];
  inactiveSince?: string;
  lastPass?: string;
  lastGone?: Record<string, number>;
  held?: string;
}

export interface RetentionPreview {
  success: true;
  wouldGo: Record<string, number>;
  notSeen: number;
  inactiveSince?: string;
}

export type ReviewReason = "duplicate" | "look_alike" | "conflict" | "wrong_match" | "ageing";

export interface Review {
  reviewId: string;
  reason: ReviewReason;
  state: "open" | "settled";
  userIds: string[];
  similarity?: number;
  verificationId?: string;
  cause?: "drift" | "age";
  createdAt: string;
  settledAt?: string;
  settledBy?: Actor;
  outcome?: "different_people" | "same_person" | "updated" | "dismissed" | "adopted";
  users?: User[];
}

export interface ReviewAnswer {
  success: true;
  review: Review;
}

export interface ReviewPage {
  success: true;
  reviews: Review[];
  nextCursor?: string;
}

export interface ReviewStatistics {
  success: true;
  falseMatches: { open: number; confirmed: number; dismissed: number };
  impostorProbes: number;
  impostorBest: number;
  impostorShare: number;
  open: number;
}

export type MergeField = "firstname" | "lastname" | "email" | "phone" | "externalId" | "password";

export interface SettleRequest {
  outcome: "different_people" | "same_person" | "updated" | "dismissed";
  into?: string;
  fields?: MergeField[];
  dryRun?: boolean;
}

export interface MergeUsersRequest {
  from: string;
  fields?: MergeField[];
  dryRun?: boolean;
}

export interface UsersMerged {
  success: true;
  dryRun: boolean;
  message: string;
  userId: string;
  from: string;
  user: User;
  crops: number;
  cropsDropped: number;
  grants: number;
  credentials: number;
  pinsLost: number;
  consents: number;
  erasureId?: string;
}

export interface UserExport {
  success: true;
  exportedAt: string;
  user: User;
  hasPassword: boolean;
  home?: string;
  disputed?: object;
  crops: {
    id: string;
    createdAt: string;
    source?: string;
    quality?: string[];
    landmarks: {
      x: number;
      y: number;
    }[];
    space?: string;
    image: string;
  }[];
  templates: {
    space: string;
    createdAt: string;
    crops: number;
    vector: number[];
  }[];
  images: ({
    imageKey: string;
    type: "upload" | "match" | "frame";
    imageName?: string;
    contentType: string;
    createdAt: string;
    expiresAt?: string;
    data?: string;
  })[];
  sessions: ({
    sessionId: string;
    status: "CREATED" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "EXPIRED" | "MATCHED";
    mode: string;
    challenge?: string[];
    frames: number;
    createdAt: string;
    expiresAt: string;
    confidence: number;
    similarity: number;
  })[];
  uploads: {
    imageKey: string;
    type: "upload" | "match" | "frame";
    imageName: string;
    contentType: string;
    createdAt: string;
    expiresAt: string;
    used: boolean;
  }[];
  grants: Record<string, unknown>[];
  reviews: {
    id: string;
    reason: string;
    others: number;
    similarity?: number;
    createdAt: string;
    settledAt?: string;
  }[];
  consents: Consent[];
  credentials: Credential[];
  sightings: { lastSeenAt?: string; since?: string; matches: number; first?: number; recent?: number }[];
  candidates: { id: string; createdAt: string; expiresAt: string; similarity: number; image?: string }[];
  formerIds: { userId: string; mergedAt: string }[];
  events: (Verification & { personal?: unknown })[];
}

export interface Identification {
  success: true;
  match: boolean;
  userId?: string;
  similarity: number;
  threshold: number;
  candidates: {
    userId: string;
    similarity: number;
  }[];
  gallery: number;
  faces: number;
  message: string;
  requestId: string;
}

export interface ErrorBody {
  success: false;
  status: number;
  code: "BAD_REQUEST" | "UNAUTHORIZED" | "UPSTREAM_PROCESSOR_ERROR" | "FORBIDDEN" | "NOT_FOUND" | "METHOD_NOT_ALLOWED" | "NOT_ACCEPTABLE" | "CONFLICT" | "UNPROCESSABLE_ENTITY" | "INTERNAL_SERVER_ERROR" | "PAYLOAD_TOO_LARGE" | "TOO_MANY_REQUESTS" | "SERVICE_UNAVAILABLE";
  message: string;
  error: string;
  requestId: string;
  details?: {
    field: string;
    issue: string;
  }[];
}

export interface UserAnswer {
  success: true;
  message?: string;
  user: User;
}

export interface UserPage {
  success: true;
  users: User[];
  limit: number;
  page?: number;
  nextCursor?: string;
}

export interface Done {
  success: true;
  message: string;
}

export interface UserQuery {
  search?: string;
  status?: User["status"];
  cursor?: string;
  page?: number;
  limit?: number;
}

export interface VerificationQuery {
  userId?: string;
  deviceId?: string;
  from?: string;
  to?: string;
  cursor?: string;
  page?: number;
  limit?: number;
}

export interface UploadRequest {
  userId: string;
  imageName: string;
  contentType: string;
  type: "upload" | "match";
}

export interface CaptureRequest {
  purpose: "frame" | "upload" | "match";
  userId?: string;
  sessionId?: string;
}

export interface Call {
  path?: Record<string, string>;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  json?: unknown;
  form?: FormData;
}

export declare const OPERATIONS: Readonly<Record<string, readonly [method: string, path: string]>>;

export declare class CypherFaceError extends Error {
  status: number;
  code?: ErrorBody["code"];
  details: { field: string; issue: string }[];
  requestId?: string;
  retryAfter?: number;
}

export declare class CypherFace {
  baseURL: string;
  credential: string;
  constructor(baseURL: string, credential?: string, options?: { fetch?: typeof fetch });
  call(operation: string, call?: Call): Promise<unknown>;
  answer(response: Response): Promise<unknown>;
  accessToken(merchantId: string, apiKey: string): Promise<AccessToken>;
  refreshToken(refreshToken?: string): Promise<AccessToken>;
  login(email: string, password: string): Promise<Login | FactorDue>;
  loginFactor(ticket: string, proof: { code: string } | { recoveryCode: string } | { passkey: object }): Promise<Login>;
  loginPasskey(ticket: string): Promise<{ success: true; options: { publicKey: object } }>;
  listFactors(): Promise<Factors>;
  setupTotp(password: string): Promise<Done & { secret: string; otpauthUrl: string; qrCode: string }>;
  confirmTotp(code: string): Promise<FactorAdded>;
  passkeyOptions(password: string): Promise<{ success: true; options: { publicKey: object }; ticket: string }>;
  addPasskey(ticket: string, name: string, credential: object): Promise<FactorAdded>;
  newRecoveryCodes(password: string): Promise<Done & { recoveryCodes: string[] }>;
  removeFactor(password: string, factor: string): Promise<Done>;
  logout(): Promise<Done>;
  registerMerchant(fields: Registration): Promise<Done & { merchant: { merchantId: string; businessName: string; email: string }; emailVerification: EmailVerification }>;
  inviteMerchant(): Promise<Done & { inviteCode: string; expiresAt: string }>;
  showMe(): Promise<MeAnswer>;
  changeMe(fields: { firstname?: string; lastname?: string; phone?: string; businessName?: string }): Promise<MeAnswer>;
  verifyEmail(email: string, code: string): Promise<Done>;
  resendEmail(email: string): Promise<Done>;
  changeEmail(email: string, password: string): Promise<Done & { emailVerification: EmailVerification }>;
  confirmEmail(code: string): Promise<MeAnswer>;
  forgotPassword(email: string): Promise<Done>;
  resetPassword(token: string, password: string): Promise<Done>;
  changePassword(currentPassword: string, newPassword: string): Promise<Done>;
  listAccounts(): Promise<{ success: true; accounts: Account[] }>;
  showAccount(accountId: string): Promise<Done & { account: Account }>;
  changeAccount(accountId: string, fields: { role?: Account["role"]; status?: Account["status"] }): Promise<Done & { account: Account }>;
  removeAccount(accountId: string): Promise<Done>;
  listInvitations(): Promise<{ success: true; invitations: Invitation[] }>;
  inviteMember(request: { email: string; role: Account["role"]; show?: boolean }): Promise<Done & { invitation: Invitation; sent: boolean; token?: string }>;
  revokeInvitation(invitationId: string): Promise<Done>;
  acceptInvitation(request: { token: string; firstname: string; lastname: string; password: string }): Promise<Done>;
  createApiKey(request?: KeyRequest): Promise<NewKey>;
  listApiKeys(): Promise<KeyList>;
  revokeApiKey(keyId: string): Promise<Done & { keyId: string }>;
  register(fields: UserFields): Promise<Done & { userId: string; user: User }>;
  listUsers(query?: UserQuery): Promise<UserPage>;
  showUser(userId: string): Promise<UserAnswer>;
  changeUser(userId: string, fields: UserFields): Promise<UserAnswer>;
  deleteUser(userId: string): Promise<Done & { userId: string; erasureId: string }>;
  exportUser(userId: string): Promise<UserExport>;
  exportUserZip(userId: string): Promise<Blob>;
  createConsentText(request: ConsentTextRequest): Promise<ConsentTextAnswer>;
  listConsentTexts(query?: { cursor?: string; limit?: number; current?: boolean }): Promise<ConsentTextPage>;
  currentConsentText(language?: string): Promise<ConsentTextAnswer>;
  showConsentText(textId: string): Promise<ConsentTextAnswer>;
  retireConsentText(textId: string): Promise<ConsentTextAnswer>;
  deleteConsentText(textId: string): Promise<{ success: true; textId: string }>;
  giveConsent(userId: string, request: ConsentRequest): Promise<{ success: true; consent: Consent }>;
  listConsents(userId: string): Promise<ConsentList>;
  withdrawConsent(userId: string, request: WithdrawalRequest): Promise<Withdrawn>;
  showErasure(erasureId: string): Promise<{ success: true; receipt: object }>;
  showPolicy(): Promise<{ success: true; policy: Required<PolicyRequest> }>;
  changePolicy(request: PolicyRequest): Promise<{ success: true; policy: Required<PolicyRequest> }>;
  giveCredential(userId: string, request: CredentialRequest): Promise<CredentialGiven>;
  listCredentials(userId: string): Promise<{ success: true; credentials: Credential[] }>;
  revokeCredential(userId: string, credentialId: string): Promise<{ success: true; credential: Credential }>;
  unlockCredential(userId: string, credentialId: string): Promise<{ success: true; credential: Credential }>;
  verifyCredential(shown: CredentialShown): Promise<CredentialVerdict>;
  showRetention(): Promise<Retention>;
  changeRetention(days: RetentionRequest): Promise<Retention>;
  previewRetention(days: RetentionRequest): Promise<RetentionPreview>;
  listReviews(query?: { state?: "open" | "settled"; reason?: ReviewReason; cursor?: string; limit?: number }): Promise<ReviewPage>;
  reviewStatistics(): Promise<ReviewStatistics>;
  showReview(reviewId: string): Promise<ReviewAnswer>;
  settleReview(reviewId: string, request: SettleRequest): Promise<ReviewAnswer | UsersMerged>;
  mergeUsers(userId: string, request: MergeUsersRequest): Promise<UsersMerged>;
  markWrong(verificationId: string, request?: { actualUserId?: string }): Promise<ReviewAnswer>;
  showCandidate(reviewId: string): Promise<Blob>;
  showImage(userId: string): Promise<Blob>;
  deleteImage(userId: string): Promise<Done & { userId: string }>;
  generateUploadUrl(request: UploadRequest): Promise<Upload>;
  put(link: Upload, image: Blob): Promise<UploadedImage>;
  enrol(userId: string, imageName: string, image: Blob): Promise<UploadedImage>;
  match(userId: string, imageName: string, image: Blob): Promise<Match>;
  faceMatch(userId: string): Promise<Match>;
  faceScan(userId: string, imageData: string): Promise<Scan>;
  faceDetect(image: Blob): Promise<Detection>;
  startLivenessSession(userId: string, mode?: "passive" | "active"): Promise<NewSession>;
  uploadFrame(sessionId: string, image: Blob): Promise<Frame>;
  matchLivenessFace(userId: string, sessionId: string): Promise<LivenessMatch>;
  checkLiveness(sessionId: string): Promise<LivenessCheck>;
  showLivenessSession(sessionId: string): Promise<Session>;
  listVerifications(query?: VerificationQuery): Promise<VerificationPage>;
  capture(request: CaptureRequest): Promise<Frame | UploadedImage>;
  cameraSnapshot(doorId?: string): Promise<Blob>;
  identify(image?: Blob): Promise<Identification>;
  createDoor(request: DoorRequest): Promise<{ success: true } & Door>;
  listDoors(): Promise<DoorList>;
  showDoor(doorId: string): Promise<{ success: true } & Door>;
  changeDoor(doorId: string, request: DoorRequest): Promise<{ success: true } & Door>;
  deleteDoor(doorId: string): Promise<Done>;
  grantDoor(doorId: string, userId: string, request?: GrantRequest): Promise<OneGrant>;
  ungrantDoor(doorId: string, userId: string): Promise<Done>;
  listGrants(doorId: string, query?: { cursor?: string; limit?: number }): Promise<GrantPage>;
  listUserGrants(userId: string): Promise<GrantPage>;
  bulkEnrol(archive: Blob | ArrayBuffer | Uint8Array, options?: { check?: boolean; existing?: "skip" | "update"; consent?: string }): Promise<BulkAnswer>;
  listBulk(): Promise<{ success: true; bulks: Bulk[] }>;
  showBulk(bulkId: string): Promise<BulkAnswer>;
  bulkReport(bulkId: string, outcome?: BulkOutcome): Promise<{ success: true; bulkId: string; entries: BulkEntry[] }>;
  endBulk(bulkId: string): Promise<Done & { bulkId: string }>;
  ready(): Promise<{ status: "ready"; warnings?: string[] }>;
  version(): Promise<{ success: true; version: string; environment: "sandbox" | "production"; pack: string }>;
}
