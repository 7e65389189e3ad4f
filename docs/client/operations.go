package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
)

// AccessToken exchanges an API key for a token.
func (c *Client) AccessToken(ctx context.Context, merchantID, apiKey string) (AccessToken, error) {
	h := http.Header{"Merchantid": {merchantID}, "X-Api-Key": {apiKey}}
	return get[AccessToken](ctx, c, "accessToken", call{header: h})
}

// RefreshToken exchanges the client's token, which may have expired up to 30 days
// ago and is worth nothing afterwards.
func (c *Client) RefreshToken(ctx context.Context) (AccessToken, error) {
	return get[AccessToken](ctx, c, "refreshToken", call{})
}

// CreateKey makes an API key. The credential must be a token of a person.
func (c *Client) CreateKey(ctx context.Context, r KeyRequest) (NewKey, error) {
	return get[NewKey](ctx, c, "createApiKey", call{json: r})
}

// Keys lists the API keys.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	list, err := get[KeyList](ctx, c, "listApiKeys", call{})
	return list.Keys, err
}

// RevokeKey ends a key and its tokens at once.
func (c *Client) RevokeKey(ctx context.Context, keyID string) error {
	return c.do(ctx, "revokeApiKey", call{path: []string{"keyId", keyID}}, &struct{}{})
}

// Register makes a user, without a face yet.
func (c *Client) Register(ctx context.Context, u UserFields) (User, error) {
	var out struct {
		User User `json:"user"`
	}
	err := c.do(ctx, "register", call{json: u}, &out)
	return out.User, err
}

// UserQuery asks for a page of users. Zero values ask for nothing.
type UserQuery struct {
	Search, Status, Cursor string
	Limit                  int
}

// Users lists users, oldest first, a page at a time.
func (c *Client) Users(ctx context.Context, q UserQuery) (UserPage, error) {
	return get[UserPage](ctx, c, "listUsers", call{query: query("search", q.Search, "status", q.Status, "cursor", q.Cursor, "limit", number(q.Limit))})
}

// User shows one user.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	return c.user(ctx, "showUser", call{path: []string{"userId", userID}})
}

// ChangeUser replaces the fields that are set.
func (c *Client) ChangeUser(ctx context.Context, userID string, u UserFields) (User, error) {
	return c.user(ctx, "changeUser", call{path: []string{"userId", userID}, json: u})
}

func (c *Client) user(ctx context.Context, operation string, in call) (User, error) {
	var out struct {
		User User `json:"user"`
	}
	err := c.do(ctx, operation, in, &out)
	return out.User, err
}

// EraseUser erases a user with all that tells about him, and returns the id of the
// erasure, for Receipt.
func (c *Client) EraseUser(ctx context.Context, userID string) (erasureID string, err error) {
	var out struct {
		ErasureID string `json:"erasureId"`
	}
	err = c.do(ctx, "deleteUser", call{path: []string{"userId", userID}}, &out)
	return out.ErasureID, err
}

// ExportUser returns all that is held about a user, as JSON.
func (c *Client) ExportUser(ctx context.Context, userID string) ([]byte, error) {
	return get[[]byte](ctx, c, "exportUser", call{path: []string{"userId", userID}})
}

// ExportUserZip is ExportUser as a ZIP, with the pictures as files.
func (c *Client) ExportUserZip(ctx context.Context, userID string) ([]byte, error) {
	return get[[]byte](ctx, c, "exportUser", call{path: []string{"userId", userID}, query: query("format", "zip")})
}

// Image returns the face that a user was enrolled with, a JPEG.
func (c *Client) Image(ctx context.Context, userID string) ([]byte, error) {
	return get[[]byte](ctx, c, "showImage", call{path: []string{"userId", userID}})
}

// DeleteImage forgets the face of a user, who stays.
func (c *Client) DeleteImage(ctx context.Context, userID string) error {
	return c.do(ctx, "deleteImage", call{path: []string{"userId", userID}}, &struct{}{})
}

// UploadURL asks for a link that takes one image: kind is "upload" for the source
// image, or "match" for the one to compare.
func (c *Client) UploadURL(ctx context.Context, userID, imageName, contentType, kind string) (Upload, error) {
	body := map[string]string{"userId": userID, "imageName": imageName, "contentType": contentType, "type": kind}
	return get[Upload](ctx, c, "generateUploadUrl", call{json: body})
}

// Put sends an image to a link. It needs no credential.
func (c *Client) Put(ctx context.Context, link Upload, image []byte) (done UploadedImage, err error) {
	req, err := http.NewRequestWithContext(ctx, link.Method, link.URL, bytes.NewReader(image))
	if err != nil {
		return done, err
	}
	req.Header.Set("Content-Type", link.ContentType)
	err = c.send(req, "uploadImage", &done)
	return done, err
}

// Enrol makes an image the face of a user: UploadURL and Put.
func (c *Client) Enrol(ctx context.Context, userID, imageName, contentType string, image []byte) (done UploadedImage, err error) {
	link, err := c.UploadURL(ctx, userID, imageName, contentType, "upload")
	if err != nil {
		return done, err
	}
	return c.Put(ctx, link, image)
}

// Match compares an image with a user: UploadURL, Put and FaceMatch.
func (c *Client) Match(ctx context.Context, userID, imageName, contentType string, image []byte) (m Match, err error) {
	link, err := c.UploadURL(ctx, userID, imageName, contentType, "match")
	if err != nil {
		return m, err
	}
	if _, err := c.Put(ctx, link, image); err != nil {
		return m, err
	}
	return c.FaceMatch(ctx, userID)
}

// FaceMatch compares the image that was uploaded last with the user.
func (c *Client) FaceMatch(ctx context.Context, userID string) (Match, error) {
	return get[Match](ctx, c, "faceMatch", call{json: map[string]string{"userId": userID}})
}

// Scan finds the face in an image and compares it with a user, in one call.
func (c *Client) Scan(ctx context.Context, userID string, image []byte) (Scan, error) {
	body := map[string]string{"userId": userID, "imageData": base64.StdEncoding.EncodeToString(image)}
	return get[Scan](ctx, c, "faceScan", call{json: body})
}

// Detect finds the faces in an image.
func (c *Client) Detect(ctx context.Context, contentType string, image []byte) (Detection, error) {
	return get[Detection](ctx, c, "faceDetect", call{form: &form{file: "image", contentType: contentType, data: image}})
}

// StartLiveness begins a session; mode is "passive" or "active", "" for passive.
func (c *Client) StartLiveness(ctx context.Context, userID, mode string) (NewSession, error) {
	body := map[string]string{"userId": userID}
	if mode != "" {
		body["mode"] = mode
	}
	return get[NewSession](ctx, c, "startLivenessSession", call{json: body})
}

// UploadFrame adds a frame to a session.
func (c *Client) UploadFrame(ctx context.Context, sessionID, contentType string, image []byte) (Frame, error) {
	body := &form{file: "frame", contentType: contentType, data: image, fields: map[string]string{"sessionId": sessionID}}
	return get[Frame](ctx, c, "uploadFrame", call{form: body})
}

// MatchLiveness decides about a session of a user.
func (c *Client) MatchLiveness(ctx context.Context, userID, sessionID string) (LivenessMatch, error) {
	return get[LivenessMatch](ctx, c, "matchLivenessFace", call{json: map[string]string{"userId": userID, "sessionId": sessionID}})
}

// CheckLiveness decides about a session, in the words of the vendor's reference.
func (c *Client) CheckLiveness(ctx context.Context, sessionID string) (LivenessCheck, error) {
	return get[LivenessCheck](ctx, c, "checkLiveness", call{json: map[string]string{"sessionId": sessionID}})
}

// LivenessSession says where a session stands.
func (c *Client) LivenessSession(ctx context.Context, sessionID string) (Session, error) {
	return get[Session](ctx, c, "showLivenessSession", call{path: []string{"sessionId", sessionID}})
}

// VerificationQuery asks for a page of what was decided. Zero values ask for
// nothing; From and To are as 2026-05-01T12:00:00Z.
type VerificationQuery struct {
	UserID, From, To, Cursor string
	Limit                    int
}

// Verifications lists what was decided, the newest first, a page at a time.
func (c *Client) Verifications(ctx context.Context, q VerificationQuery) (VerificationPage, error) {
	v := query("userId", q.UserID, "from", q.From, "to", q.To, "cursor", q.Cursor, "limit", number(q.Limit))
	return get[VerificationPage](ctx, c, "listVerifications", call{query: v})
}

// Identify says which user is in an image, if any.
func (c *Client) Identify(ctx context.Context, contentType string, image []byte) (Identification, error) {
	return get[Identification](ctx, c, "identify", call{form: &form{file: "image", contentType: contentType, data: image}})
}

// IdentifyCamera says which user stands before the box, if any.
func (c *Client) IdentifyCamera(ctx context.Context) (Identification, error) {
	return get[Identification](ctx, c, "identify", call{json: map[string]string{"source": "camera"}})
}

// Capture takes a picture with the box's camera: purpose is "upload" or "match"
// for a user, or "frame" for a session, whose ids are given as id.
func (c *Client) Capture(ctx context.Context, purpose, id string) (UploadedImage, error) {
	body := map[string]string{"purpose": purpose, "userId": id}
	if purpose == "frame" {
		body = map[string]string{"purpose": purpose, "sessionId": id}
	}
	return get[UploadedImage](ctx, c, "capture", call{json: body})
}

// CameraSnapshot returns what a camera sees, a JPEG: that of a door, or with "" the
// box's own.
func (c *Client) CameraSnapshot(ctx context.Context, doorID string) ([]byte, error) {
	return get[[]byte](ctx, c, "cameraSnapshot", call{query: query("door", doorID)})
}

// Ready returns nil when the box can answer every operation.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, "ready", call{}, &struct{}{})
}

// Version says what runs there.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return get[Version](ctx, c, "version", call{})
}

// get calls an operation for its answer.
func get[T any](ctx context.Context, c *Client, operation string, in call) (T, error) {
	var out T
	err := c.do(ctx, operation, in, &out)
	return out, err
}

// query makes the parameters that are not empty.
func query(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
