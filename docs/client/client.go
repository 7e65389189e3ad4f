// Package client speaks the CypherFace REST API of a box or a central: a type for
// each answer, a method for each operation, and nothing besides the standard
// library.
//
//	c := client.New("https://box.example:8443", apiKey)
//	user, err := c.Register(ctx, client.UserFields{Firstname: "Ada", Lastname: "Lovelace", Email: "ada@example.org"})
//	_, err = c.Enrol(ctx, user.UserID, "ada.jpg", "image/jpeg", picture)
//	m, err := c.Match(ctx, user.UserID, "door.jpg", "image/jpeg", other)
//
// It stands beside the documents because it is one that compiles: a reading of
// openapi.yaml, against which a test holds it, and it imports nothing of the box.
// The same client in JavaScript is cypherface.js.
//
// An answer that is no success is an *Error. The package retries nothing and keeps
// no credentials; the event stream is a websocket and not here.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client calls one environment. Its fields are not changed while it is used; it
// is safe for concurrent use then.
type Client struct {
	BaseURL    string       // as https://box.example:8443
	Credential string       // an API key or a token
	HTTP       *http.Client // nil means http.DefaultClient
}

// New makes a client. The credential may be empty for AccessToken.
func New(baseURL, credential string) *Client {
	return &Client{BaseURL: strings.TrimSuffix(baseURL, "/"), Credential: credential}
}

// An Error is an answer that is no success.
type Error struct {
	Status     int           `json:"status"`
	Code       string        `json:"code"`
	Message    string        `json:"message"`
	RequestID  string        `json:"requestId"` // in the log of the box
	Details    []Detail      `json:"details"`
	RetryAfter time.Duration `json:"-"` // with status 429
}

// A Detail is one field and what is wrong with it.
type Detail struct {
	Field string `json:"field"`
	Issue string `json:"issue"`
}

func (e *Error) Error() string {
	var details []string
	for _, d := range e.Details {
		details = append(details, d.Field+" "+d.Issue)
	}
	if len(details) == 0 {
		return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message)
	}
	return fmt.Sprintf("%d %s: %s (%s)", e.Status, e.Code, e.Message, strings.Join(details, ", "))
}

// operations are those of the contract, by their operationId.
var operations = map[string]struct{ method, path string }{
	"accessToken":          {"POST", "/access-token"},
	"refreshToken":         {"POST", "/refresh-token"},
	"login":                {"POST", "/login"},
	"loginFactor":          {"POST", "/login/factor"},
	"loginPasskey":         {"POST", "/login/passkey"},
	"listFactors":          {"GET", "/factors"},
	"setupTotp":            {"POST", "/factors/totp"},
	"confirmTotp":          {"POST", "/factors/totp/confirm"},
	"passkeyOptions":       {"POST", "/factors/passkeys/options"},
	"addPasskey":           {"POST", "/factors/passkeys"},
	"newRecoveryCodes":     {"POST", "/factors/recovery-codes"},
	"removeFactor":         {"POST", "/factors/remove"},
	"logout":               {"POST", "/logout"},
	"registerMerchant":     {"POST", "/merchant/register"},
	"inviteMerchant":       {"POST", "/merchant/invite"},
	"showMe":               {"GET", "/merchant/me"},
	"changeMe":             {"PUT", "/merchant/me"},
	"verifyEmail":          {"POST", "/email/verify"},
	"resendEmail":          {"POST", "/email/resend"},
	"changeEmail":          {"POST", "/email/change"},
	"confirmEmail":         {"POST", "/email/change/confirm"},
	"forgotPassword":       {"POST", "/password/forgot"},
	"resetPassword":        {"POST", "/password/reset"},
	"changePassword":       {"POST", "/password/change"},
	"listAccounts":         {"GET", "/accounts"},
	"showAccount":          {"GET", "/accounts/{accountId}"},
	"changeAccount":        {"PUT", "/accounts/{accountId}"},
	"removeAccount":        {"DELETE", "/accounts/{accountId}"},
	"listInvitations":      {"GET", "/accounts/invitations"},
	"inviteMember":         {"POST", "/accounts/invitations"},
	"revokeInvitation":     {"DELETE", "/accounts/invitations/{invitationId}"},
	"acceptInvitation":     {"POST", "/invitation/accept"},
	"createApiKey":         {"POST", "/merchant-api-key"},
	"listApiKeys":          {"GET", "/merchant-api-key"},
	"revokeApiKey":         {"DELETE", "/merchant-api-key/{keyId}"},
	"register":             {"POST", "/register"},
	"listUsers":            {"GET", "/users"},
	"showUser":             {"GET", "/users/{userId}"},
	"changeUser":           {"PUT", "/users/{userId}"},
	"deleteUser":           {"DELETE", "/users/{userId}"},
	"exportUser":           {"GET", "/users/{userId}/export"},
	"createConsentText":    {"POST", "/consent-texts"},
	"listConsentTexts":     {"GET", "/consent-texts"},
	"currentConsentText":   {"GET", "/consent-texts/current"},
	"showConsentText":      {"GET", "/consent-texts/{textId}"},
	"retireConsentText":    {"POST", "/consent-texts/{textId}/retire"},
	"deleteConsentText":    {"DELETE", "/consent-texts/{textId}"},
	"giveConsent":          {"POST", "/users/{userId}/consents"},
	"listConsents":         {"GET", "/users/{userId}/consents"},
	"withdrawConsent":      {"POST", "/users/{userId}/consents/withdraw"},
	"showErasure":          {"GET", "/erasures/{erasureId}"},
	"showPolicy":           {"GET", "/merchant/policy"},
	"changePolicy":         {"PUT", "/merchant/policy"},
	"giveCredential":       {"POST", "/users/{userId}/credentials"},
	"listCredentials":      {"GET", "/users/{userId}/credentials"},
	"revokeCredential":     {"DELETE", "/users/{userId}/credentials/{credentialId}"},
	"unlockCredential":     {"POST", "/users/{userId}/credentials/{credentialId}/unlock"},
	"verifyCredential":     {"POST", "/credential/verify"},
	"showRetention":        {"GET", "/merchant/retention"},
	"changeRetention":      {"PUT", "/merchant/retention"},
	"previewRetention":     {"POST", "/merchant/retention/preview"},
	"listReviews":          {"GET", "/reviews"},
	"reviewStatistics":     {"GET", "/reviews/statistics"},
	"showReview":           {"GET", "/reviews/{reviewId}"},
	"settleReview":         {"POST", "/reviews/{reviewId}/settle"},
	"mergeUsers":           {"POST", "/users/{userId}/merge"},
	"markWrong":            {"POST", "/verifications/{verificationId}/wrong"},
	"showCandidate":        {"GET", "/reviews/{reviewId}/candidate"},
	"showImage":            {"GET", "/image/{userId}"},
	"deleteImage":          {"DELETE", "/image/{userId}"},
	"generateUploadUrl":    {"POST", "/upload/generate-url"},
	"faceMatch":            {"POST", "/face/match"},
	"faceScan":             {"POST", "/face-scan"},
	"faceDetect":           {"POST", "/face/detect"},
	"startLivenessSession": {"POST", "/start-liveness-session"},
	"uploadFrame":          {"POST", "/upload-frame"},
	"matchLivenessFace":    {"POST", "/match-liveness-face"},
	"checkLiveness":        {"POST", "/check-liveness"},
	"showLivenessSession":  {"GET", "/face-liveness/{sessionId}"},
	"listVerifications":    {"GET", "/verifications"},
	"capture":              {"POST", "/capture"},
	"cameraSnapshot":       {"GET", "/camera/snapshot"},
	"identify":             {"POST", "/identify"},
	"createDoor":           {"POST", "/doors"},
	"listDoors":            {"GET", "/doors"},
	"showDoor":             {"GET", "/doors/{doorId}"},
	"changeDoor":           {"PUT", "/doors/{doorId}"},
	"deleteDoor":           {"DELETE", "/doors/{doorId}"},
	"grantDoor":            {"PUT", "/doors/{doorId}/grants/{userId}"},
	"ungrantDoor":          {"DELETE", "/doors/{doorId}/grants/{userId}"},
	"listGrants":           {"GET", "/doors/{doorId}/grants"},
	"listUserGrants":       {"GET", "/users/{userId}/grants"},
	"bulkEnrol":            {"POST", "/bulk/enrol"},
	"listBulk":             {"GET", "/bulk"},
	"showBulk":             {"GET", "/bulk/{bulkId}"},
	"endBulk":              {"DELETE", "/bulk/{bulkId}"},
	"bulkReport":           {"GET", "/bulk/{bulkId}/report"},
	"ready":                {"GET", "/readyz"},
	"version":              {"GET", "/version"},
}

// call is what an operation is called with.
type call struct {
	path   []string // parameters of the path: name, value, …
	query  url.Values
	header http.Header
	// The body is one of these.
	json    any
	form    *form
	archive io.Reader // a ZIP
}

// do calls an operation and reads its answer into out.
func (c *Client) do(ctx context.Context, operation string, in call, out any) error {
	op := operations[operation]
	path := op.path
	for i := 0; i+1 < len(in.path); i += 2 {
		path = strings.ReplaceAll(path, "{"+in.path[i]+"}", url.PathEscape(in.path[i+1]))
	}
	target := c.BaseURL + "/api" + path + "/"
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	body, contentType, err := in.body()
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	req, err := http.NewRequestWithContext(ctx, op.method, target, body)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	for name, values := range in.header {
		req.Header[name] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.Credential != "" {
		req.Header.Set("Authorization", "Bearer "+c.Credential)
	}
	return c.send(req, operation, out)
}

func (in *call) body() (io.Reader, string, error) {
	switch {
	case in.form != nil:
		return in.form.encode()
	case in.archive != nil:
		return in.archive, "application/zip", nil
	case in.json != nil:
		b, err := json.Marshal(in.json)
		return bytes.NewReader(b), "application/json", err
	}
	return http.NoBody, "", nil
}

// send sends a request; out is a pointer for JSON, or a *[]byte for anything.
func (c *Client) send(req *http.Request, what string, out any) error {
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: read answer: %w", what, err)
	}
	if resp.StatusCode >= 400 {
		e := &Error{Status: resp.StatusCode, Code: resp.Status, Message: "the answer is not one of the API"}
		_ = json.Unmarshal(raw, e) // what is no JSON stays as above
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			e.RetryAfter = time.Duration(s) * time.Second
		}
		return e
	}
	if b, ok := out.(*[]byte); ok {
		*b = raw
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s: read answer: %w", what, err)
	}
	return nil
}

// form is a multipart body with one file.
type form struct {
	file, contentType string
	data              []byte
	fields            map[string]string
}

func (f *form) encode() (io.Reader, string, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range f.fields {
		if err := w.WriteField(name, value); err != nil {
			return nil, "", err
		}
	}
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename="image"`, f.file))
	h.Set("Content-Type", f.contentType)
	part, err := w.CreatePart(h)
	if err != nil {
		return nil, "", err
	}
	if _, err := part.Write(f.data); err != nil {
		return nil, "", err
	}
	return &b, w.FormDataContentType(), w.Close()
}
