package client

import (
	"context"
	"encoding/json"
	"time"
)

// ConsentText is one version of what people agree to, in one language.
type ConsentText struct {
	TextID    string    `json:"textId"`
	Version   string    `json:"version"`
	Language  string    `json:"language"`
	Text      string    `json:"text"` // not in lists
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"createdAt"`
	RetiredAt time.Time `json:"retiredAt"`
}

// ConsentTextPage is a page of texts.
type ConsentTextPage struct {
	Success      bool          `json:"success"`
	ConsentTexts []ConsentText `json:"consentTexts"`
	NextCursor   string        `json:"nextCursor"`
}

// ConsentRequest says what a user agreed to: a text by its id, or by version and
// language. GivenAt is nil for now.
type ConsentRequest struct {
	TextID   string     `json:"textId,omitempty"`
	Version  string     `json:"version,omitempty"`
	Language string     `json:"language,omitempty"`
	Through  string     `json:"through,omitempty"` // operator, kiosk, api
	GivenAt  *time.Time `json:"givenAt,omitempty"`
}

// Actor is somebody who acts, by id.
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Consent is what a user agreed to, and whether he took it back.
type Consent struct {
	ConsentID        string    `json:"consentId"`
	Valid            bool      `json:"valid"`
	TextID           string    `json:"textId"`
	Version          string    `json:"version"`
	Language         string    `json:"language"`
	SHA256           string    `json:"sha256"`
	GivenAt          time.Time `json:"givenAt"`
	Through          string    `json:"through"`
	RecordedAt       time.Time `json:"recordedAt"`
	RecordedBy       *Actor    `json:"recordedBy"`
	WithdrawnAt      time.Time `json:"withdrawnAt"`
	WithdrawnThrough string    `json:"withdrawnThrough"`
	WithdrawnBy      *Actor    `json:"withdrawnBy"`
}

// ConsentList is all that a user agreed to, and whether he may be enrolled.
type ConsentList struct {
	Success  bool      `json:"success"`
	MayEnrol bool      `json:"mayEnrol"`
	Consents []Consent `json:"consents"`
}

// Withdrawn is what became of a consent that was taken back.
type Withdrawn struct {
	Success   bool   `json:"success"`
	Message   string `json:"message"`
	UserID    string `json:"userId"`
	UserKept  bool   `json:"userKept"`
	ErasureID string `json:"erasureId"` // for Receipt
}

// PolicyRequest changes what the merchant decides for all; nil leaves a field.
type PolicyRequest struct {
	FMR              *float64 `json:"fmr,omitempty"`
	PassiveLiveness  *bool    `json:"passiveLiveness,omitempty"`
	LockAfter        *int     `json:"livenessLockAfter,omitempty"`   // failed liveness sessions
	LockSeconds      *int     `json:"livenessLockSeconds,omitempty"` // … lock the person's for so long
	RefuseDuplicates *bool    `json:"refuseDuplicates,omitempty"`
	RequireConsent   *bool    `json:"requireConsent,omitempty"`
	TemplateYears    *int     `json:"templateYears,omitempty"`
	ProposeCrops     *bool    `json:"proposeCrops,omitempty"`
	StaleAfterHours  *int     `json:"staleAfterHours,omitempty"` // 0: never
}

// Policy is what the merchant decides for all.
type Policy struct {
	FMR              float64 `json:"fmr"`
	PassiveLiveness  bool    `json:"passiveLiveness"`
	LockAfter        int     `json:"livenessLockAfter"`
	LockSeconds      int     `json:"livenessLockSeconds"`
	RefuseDuplicates bool    `json:"refuseDuplicates"`
	RequireConsent   bool    `json:"requireConsent"`
	TemplateYears    int     `json:"templateYears"`
	ProposeCrops     bool    `json:"proposeCrops"`
	StaleAfterHours  int     `json:"staleAfterHours"` // 0: never
}

// CreateConsentText publishes a text. The credential must be a token of an owner or
// administrator.
func (c *Client) CreateConsentText(ctx context.Context, version, language, text string) (ConsentText, error) {
	return c.text(ctx, "createConsentText", call{json: map[string]string{"version": version, "language": language, "text": text}})
}

// ConsentTexts lists texts, newest first, without the texts themselves.
func (c *Client) ConsentTexts(ctx context.Context, cursor string) (ConsentTextPage, error) {
	return get[ConsentTextPage](ctx, c, "listConsentTexts", call{query: query("cursor", cursor)})
}

// CurrentConsentText is the text to ask people by; an empty language takes any.
func (c *Client) CurrentConsentText(ctx context.Context, language string) (ConsentText, error) {
	return c.text(ctx, "currentConsentText", call{query: query("language", language)})
}

// ConsentText shows a text.
func (c *Client) ConsentText(ctx context.Context, textID string) (ConsentText, error) {
	return c.text(ctx, "showConsentText", call{path: []string{"textId", textID}})
}

// RetireConsentText ends that people are asked by a text.
func (c *Client) RetireConsentText(ctx context.Context, textID string) (ConsentText, error) {
	return c.text(ctx, "retireConsentText", call{path: []string{"textId", textID}})
}

// DeleteConsentText removes a text that nobody agreed to.
func (c *Client) DeleteConsentText(ctx context.Context, textID string) error {
	return c.do(ctx, "deleteConsentText", call{path: []string{"textId", textID}}, &struct{}{})
}

func (c *Client) text(ctx context.Context, operation string, in call) (ConsentText, error) {
	var out struct {
		Text ConsentText `json:"consentText"`
	}
	err := c.do(ctx, operation, in, &out)
	return out.Text, err
}

// GiveConsent records that a user agreed.
func (c *Client) GiveConsent(ctx context.Context, userID string, r ConsentRequest) (Consent, error) {
	var out struct {
		Consent Consent `json:"consent"`
	}
	err := c.do(ctx, "giveConsent", call{path: []string{"userId", userID}, json: r}, &out)
	return out.Consent, err
}

// Consents lists what a user agreed to.
func (c *Client) Consents(ctx context.Context, userID string) (ConsentList, error) {
	return get[ConsentList](ctx, c, "listConsents", call{path: []string{"userId", userID}})
}

// WithdrawConsent takes it back: the face is erased, and without keepUser the user
// whole.
func (c *Client) WithdrawConsent(ctx context.Context, userID string, keepUser bool, through string) (Withdrawn, error) {
	body := map[string]any{"keepUser": keepUser}
	if through != "" {
		body["through"] = through
	}
	return get[Withdrawn](ctx, c, "withdrawConsent", call{path: []string{"userId", userID}, json: body})
}

// Receipt is the signed receipt of an erasure, as its bytes came: cypherface audit
// verify takes them, and no other order of them.
func (c *Client) Receipt(ctx context.Context, erasureID string) (json.RawMessage, error) {
	var out struct {
		Receipt json.RawMessage `json:"receipt"`
	}
	err := c.do(ctx, "showErasure", call{path: []string{"erasureId", erasureID}}, &out)
	return out.Receipt, err
}

// Policy shows what the merchant decides for all.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	return c.policy(ctx, "showPolicy", call{})
}

// ChangePolicy changes it.
func (c *Client) ChangePolicy(ctx context.Context, r PolicyRequest) (Policy, error) {
	return c.policy(ctx, "changePolicy", call{json: r})
}

func (c *Client) policy(ctx context.Context, operation string, in call) (Policy, error) {
	var out struct {
		Policy Policy `json:"policy"`
	}
	err := c.do(ctx, operation, in, &out)
	return out.Policy, err
}

// CredentialRequest gives a user a PIN, card or code.
type CredentialRequest struct {
	Type      string     `json:"type"`            // pin, card, qr
	Value     string     `json:"value,omitempty"` // of a PIN or card; a code is made by the box
	Label     string     `json:"label,omitempty"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// Credential is a way in without a face, without what opens.
type Credential struct {
	CredentialID string    `json:"credentialId"`
	Type         string    `json:"type"`
	Label        string    `json:"label"`
	CreatedAt    time.Time `json:"createdAt"`
	ExpiresAt    time.Time `json:"expiresAt"`
	LastUsedAt   time.Time `json:"lastUsedAt"` // true to the day
	LockedUntil  time.Time `json:"lockedUntil"`
}

// CredentialGiven is a new credential; Value is what a code says, shown this once.
type CredentialGiven struct {
	Success    bool       `json:"success"`
	Credential Credential `json:"credential"`
	Value      string     `json:"value"`
}

// CredentialShown is what somebody shows; a PIN goes with UserID or ExternalID.
type CredentialShown struct {
	Type       string `json:"type"`
	Value      string `json:"value"`
	UserID     string `json:"userId,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
	DoorID     string `json:"doorId,omitempty"`
	ImageData  string `json:"imageData,omitempty"` // base64
	SessionID  string `json:"sessionId,omitempty"` // of liveness, in the place of ImageData
}

// CredentialVerdict says whose it is and, with a door, whether he may pass.
type CredentialVerdict struct {
	Success    bool     `json:"success"`
	Verified   bool     `json:"verified"`
	UserID     string   `json:"userId"`
	Granted    *bool    `json:"granted"`
	Reasons    []string `json:"reasons"`
	FaceMatch  *bool    `json:"faceMatch"`
	Live       *bool    `json:"livenessSuccess"`
	Similarity float64  `json:"similarity"`
	Message    string   `json:"message"`
	RequestID  string   `json:"requestId"`
}

// Retention is how long what is kept.
type Retention struct {
	Success       bool             `json:"success"`
	Classes       []RetentionClass `json:"classes"`
	Fixed         []RetentionFixed `json:"fixed"`
	InactiveSince time.Time        `json:"inactiveSince"`
	LastPass      time.Time        `json:"lastPass"`
	LastGone      map[string]int   `json:"lastGone"`
	Held          string           `json:"held"`
}

// RetentionClass is a class of data; Days is 0 where it stays with the user.
type RetentionClass struct {
	Name    string `json:"name"`
	Days    int    `json:"days"`
	Set     bool   `json:"set"`
	Default int    `json:"default"`
	What    string `json:"what"`
	Reason  string `json:"reason"`
	Cost    string `json:"cost"`
}

// RetentionFixed is what goes by itself without a setting.
type RetentionFixed struct {
	Name string `json:"name"`
	Kept string `json:"kept"`
}

// RetentionPreview is what would go now.
type RetentionPreview struct {
	Success       bool           `json:"success"`
	WouldGo       map[string]int `json:"wouldGo"`
	NotSeen       int            `json:"notSeen"`
	InactiveSince time.Time      `json:"inactiveSince"`
}

// GiveCredential gives a user a PIN, card or code.
func (c *Client) GiveCredential(ctx context.Context, userID string, r CredentialRequest) (CredentialGiven, error) {
	return get[CredentialGiven](ctx, c, "giveCredential", call{path: []string{"userId", userID}, json: r})
}

// Credentials lists those of a user.
func (c *Client) Credentials(ctx context.Context, userID string) ([]Credential, error) {
	var out struct {
		Credentials []Credential `json:"credentials"`
	}
	err := c.do(ctx, "listCredentials", call{path: []string{"userId", userID}}, &out)
	return out.Credentials, err
}

// RevokeCredential takes one.
func (c *Client) RevokeCredential(ctx context.Context, userID, credentialID string) error {
	return c.do(ctx, "revokeCredential", call{path: []string{"userId", userID, "credentialId", credentialID}}, &struct{}{})
}

// UnlockCredential takes the lock from one.
func (c *Client) UnlockCredential(ctx context.Context, userID, credentialID string) error {
	return c.do(ctx, "unlockCredential", call{path: []string{"userId", userID, "credentialId", credentialID}}, &struct{}{})
}

// VerifyCredential asks whose a credential is, and whether he may pass.
func (c *Client) VerifyCredential(ctx context.Context, s CredentialShown) (CredentialVerdict, error) {
	return get[CredentialVerdict](ctx, c, "verifyCredential", call{json: s})
}

// Retention shows how long what is kept.
func (c *Client) Retention(ctx context.Context) (Retention, error) {
	return get[Retention](ctx, c, "showRetention", call{})
}

// ChangeRetention changes days by class; nil is the default, 0 keeps.
func (c *Client) ChangeRetention(ctx context.Context, days map[string]*int) (Retention, error) {
	return get[Retention](ctx, c, "changeRetention", call{json: days})
}

// PreviewRetention counts what would go now with these days.
func (c *Client) PreviewRetention(ctx context.Context, days map[string]*int) (RetentionPreview, error) {
	return get[RetentionPreview](ctx, c, "previewRetention", call{json: days})
}

// Review is something that an operator has to settle.
type Review struct {
	ReviewID       string    `json:"reviewId"`
	Reason         string    `json:"reason"` // duplicate, look_alike, conflict, wrong_match, ageing
	State          string    `json:"state"`  // open, settled
	UserIDs        []string  `json:"userIds"`
	Similarity     float64   `json:"similarity"`
	VerificationID string    `json:"verificationId"`
	Cause          string    `json:"cause"`
	CreatedAt      time.Time `json:"createdAt"`
	SettledAt      time.Time `json:"settledAt"`
	SettledBy      *Actor    `json:"settledBy"`
	Outcome        string    `json:"outcome"`
	Users          []User    `json:"users"`
}

// ReviewPage is a page of reviews.
type ReviewPage struct {
	Success    bool     `json:"success"`
	Reviews    []Review `json:"reviews"`
	NextCursor string   `json:"nextCursor"`
}

// ReviewStatistics says how often the box was wrong, as far as somebody told.
type ReviewStatistics struct {
	Success      bool `json:"success"`
	FalseMatches struct {
		Open      int `json:"open"`
		Confirmed int `json:"confirmed"`
		Dismissed int `json:"dismissed"`
	} `json:"falseMatches"`
	ImpostorProbes int     `json:"impostorProbes"`
	ImpostorBest   float64 `json:"impostorBest"`
	ImpostorShare  float64 `json:"impostorShare"`
	Open           int     `json:"open"`
}

// MergeUsersRequest says who goes, and of which fields his count.
type MergeUsersRequest struct {
	From   string   `json:"from"`
	Fields []string `json:"fields,omitempty"`
	DryRun bool     `json:"dryRun,omitempty"`
}

// UsersMerged is what a merge did, or would do.
type UsersMerged struct {
	Success      bool   `json:"success"`
	DryRun       bool   `json:"dryRun"`
	Message      string `json:"message"`
	UserID       string `json:"userId"`
	From         string `json:"from"`
	User         User   `json:"user"`
	Crops        int    `json:"crops"`
	CropsDropped int    `json:"cropsDropped"`
	Grants       int    `json:"grants"`
	Credentials  int    `json:"credentials"`
	PINsLost     int    `json:"pinsLost"`
	Consents     int    `json:"consents"`
	ErasureID    string `json:"erasureId"`
}

// Reviews lists reviews, oldest first; an empty state is open.
func (c *Client) Reviews(ctx context.Context, state, reason, cursor string) (ReviewPage, error) {
	return get[ReviewPage](ctx, c, "listReviews", call{query: query("state", state, "reason", reason, "cursor", cursor)})
}

// ReviewStatistics counts false matches.
func (c *Client) ReviewStatistics(ctx context.Context) (ReviewStatistics, error) {
	return get[ReviewStatistics](ctx, c, "reviewStatistics", call{})
}

// Review shows one, with its users.
func (c *Client) Review(ctx context.Context, reviewID string) (Review, error) {
	return c.review(ctx, "showReview", call{path: []string{"reviewId", reviewID}})
}

// SettleReview settles one with different_people or dismissed; MergeUsers is for one
// person.
func (c *Client) SettleReview(ctx context.Context, reviewID, outcome string) (Review, error) {
	return c.review(ctx, "settleReview", call{path: []string{"reviewId", reviewID}, json: map[string]string{"outcome": outcome}})
}

// Candidate is the crop that is proposed with a review of ageing, a JPEG.
func (c *Client) Candidate(ctx context.Context, reviewID string) ([]byte, error) {
	return get[[]byte](ctx, c, "showCandidate", call{path: []string{"reviewId", reviewID}})
}

// MergeUsers makes one user of two. There is no way back.
func (c *Client) MergeUsers(ctx context.Context, userID string, r MergeUsersRequest) (UsersMerged, error) {
	return get[UsersMerged](ctx, c, "mergeUsers", call{path: []string{"userId", userID}, json: r})
}

// MarkWrong says that a decision took one for another; actualUserID may be empty.
func (c *Client) MarkWrong(ctx context.Context, verificationID, actualUserID string) (Review, error) {
	body := map[string]string{}
	if actualUserID != "" {
		body["actualUserId"] = actualUserID
	}
	return c.review(ctx, "markWrong", call{path: []string{"verificationId", verificationID}, json: body})
}

func (c *Client) review(ctx context.Context, operation string, in call) (Review, error) {
	var out struct {
		Review Review `json:"review"`
	}
	err := c.do(ctx, operation, in, &out)
	return out.Review, err
}
