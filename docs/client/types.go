package client

import "time"

// AccessToken is a token and how long it lasts.
type AccessToken struct {
	AccessToken string    `json:"accessToken"`
	Token       string    `json:"token"` // the same
	TokenType   string    `json:"tokenType"`
	ExpiresIn   int       `json:"expiresIn"` // seconds
	ExpiresAt   time.Time `json:"expiresAt"`
	MerchantID  string    `json:"merchantId"`
	Message     string    `json:"message"`
	Success     bool      `json:"success"`
	// Of a login.
	RefreshToken     string `json:"refreshToken"`
	RefreshExpiresIn int    `json:"refreshExpiresIn"`
}

// KeyRequest says what a new key is for. Rotate is nil, true for all keys of
// integrators, or the id of the key that it replaces.
type KeyRequest struct {
	Name   string   `json:"name,omitempty"`
	Rotate any      `json:"rotate,omitempty"`
	Role   string   `json:"role,omitempty"`
	Scopes []string `json:"scopes,omitempty"`
	SiteID string   `json:"siteId,omitempty"` // at a central: of the boxes that it is good at
}

// NewKey is a key, shown this once.
type NewKey struct {
	Success     bool      `json:"success"`
	Message     string    `json:"message"`
	MerchantID  string    `json:"merchantId"`
	APIKey      string    `json:"apiKey"`
	KeyID       string    `json:"keyId"`
	Environment string    `json:"environment"`
	Role        string    `json:"role"`
	Scopes      []string  `json:"scopes"`
	CreatedAt   time.Time `json:"createdAt"`
	SiteID      string    `json:"siteId"`
}

// KeyList is all keys of the merchant.
type KeyList struct {
	Success bool  `json:"success"`
	Keys    []Key `json:"keys"`
}

// Key is an API key without the key itself.
type Key struct {
	KeyID      string    `json:"keyId"`
	Name       string    `json:"name"`
	Last4      string    `json:"last4"`
	Status     string    `json:"status"`
	Role       string    `json:"role"`
	Scopes     []string  `json:"scopes"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	SiteID     string    `json:"siteId"`
}

// UserFields are what can be set of a user; nil, or an empty name, is not sent.
type UserFields struct {
	Firstname  string  `json:"firstname,omitempty"`
	Lastname   string  `json:"lastname,omitempty"`
	Email      string  `json:"email,omitempty"`
	Phone      *string `json:"phone,omitempty"`      // a pointer to "" takes it away
	ExternalID *string `json:"externalId,omitempty"` // likewise
	Password   string  `json:"password,omitempty"`
}

// User is somebody who can be recognised.
type User struct {
	UserID     string    `json:"userId"`
	Firstname  string    `json:"firstname"`
	Lastname   string    `json:"lastname"`
	Email      string    `json:"email"`
	Phone      string    `json:"phone"`
	ExternalID string    `json:"externalId"`
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	EnrolledAt time.Time `json:"enrolledAt"`
}

// UserPage is a part of a listing; NextCursor is empty where nothing follows.
type UserPage struct {
	Success    bool   `json:"success"`
	Users      []User `json:"users"`
	Limit      int    `json:"limit"`
	NextCursor string `json:"nextCursor"`
}

// Upload is a link that takes one image.
type Upload struct {
	Success     bool      `json:"success"`
	Message     string    `json:"message"`
	URL         string    `json:"url"`
	UploadURL   string    `json:"uploadUrl"` // the same
	Method      string    `json:"method"`
	ImageKey    string    `json:"imageKey"`
	ImageName   string    `json:"imageName"`
	ContentType string    `json:"contentType"`
	Type        string    `json:"type"`
	ExpiresIn   int       `json:"expiresIn"`
	ExpiresAt   time.Time `json:"expiresAt"`
}

// UploadedImage says that an image was accepted.
type UploadedImage struct {
	Success  bool   `json:"success"`
	Message  string `json:"message"`
	ImageKey string `json:"imageKey"`
	Faces    int    `json:"faces"`
}

// Match is the outcome of a comparison with one user. A similarity of 80 is a
// false match rate of 1e-4.
type Match struct {
	Success    bool    `json:"success"`
	Match      bool    `json:"match"`
	FaceMatch  bool    `json:"faceMatch"` // the same
	Similarity float64 `json:"similarity"`
	Threshold  float64 `json:"threshold"`
	Message    string  `json:"message"`
	UserID     string  `json:"userId"`
	RequestID  string  `json:"requestId"`
}

// ImageSize is in pixels.
type ImageSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Detection is the faces in an image, the dominant one first.
type Detection struct {
	Success   bool      `json:"success"`
	FaceCount int       `json:"faceCount"`
	Faces     []Face    `json:"faces"`
	Image     ImageSize `json:"image"`
	RequestID string    `json:"requestId"`
}

// Scan is a Match with what was found.
type Scan struct {
	Success    bool      `json:"success"`
	Match      bool      `json:"match"`
	FaceMatch  bool      `json:"faceMatch"` // the same
	Similarity float64   `json:"similarity"`
	Threshold  float64   `json:"threshold"`
	Message    string    `json:"message"`
	UserID     string    `json:"userId"`
	RequestID  string    `json:"requestId"`
	FaceCount  int       `json:"faceCount"`
	Faces      []Face    `json:"faces"`
	Image      ImageSize `json:"image"`
}

// Face is a face in an image: places are shares of it, angles degrees, the rest
// 0..100.
type Face struct {
	BoundingBox BoundingBox
	Confidence  float64
	Landmarks   []Landmark
	Pose        struct{ Roll, Yaw, Pitch float64 }
	Quality     struct{ Brightness, Sharpness float64 }
}

// BoundingBox is in shares of the image.
type BoundingBox struct{ Width, Height, Left, Top float64 }

// Landmark is a point of a face, in shares of the image.
type Landmark struct {
	Type string
	X, Y float64
}

// NewSession is a liveness session that was begun.
type NewSession struct {
	SessionID string    `json:"sessionId"`
	Success   bool      `json:"success"`
	Status    string    `json:"status"`
	Mode      string    `json:"mode"`
	ExpiresIn int       `json:"expiresIn"`
	ExpiresAt time.Time `json:"expiresAt"`
	Challenge []string  `json:"challenge"` // turns of the head, in their order
	MinFrames int       `json:"minFrames"`
	MaxFrames int       `json:"maxFrames"`
}

// Frame says that a frame counts.
type Frame struct {
	Success  bool   `json:"success"`
	ImageKey string `json:"imageKey"`
	Faces    int    `json:"faces"`
	Status   string `json:"status"`
}

// LivenessMatch is the outcome of a session.
type LivenessMatch struct {
	Match           bool     `json:"match"`
	Similarity      float64  `json:"similarity"`
	Success         bool     `json:"success"`
	LivenessSuccess bool     `json:"livenessSuccess"`
	Confidence      float64  `json:"confidence"`
	Threshold       float64  `json:"threshold"`
	Message         string   `json:"message"`
	Reasons         []string `json:"reasons"`
	Hint            string   `json:"hint"`
	RequestID       string   `json:"requestId"`
}

// LivenessCheck is the outcome of a session in the words of the reference.
type LivenessCheck struct {
	Success         bool     `json:"success"`
	LivenessSuccess bool     `json:"livenessSuccess"`
	FaceMatch       bool     `json:"faceMatch"`
	Similarity      float64  `json:"similarity"`
	Message         string   `json:"message"`
	Reasons         []string `json:"reasons"`
	Hint            string   `json:"hint"`
	Response        struct {
		Metadata struct {
			HTTPStatusCode  int    `json:"httpStatusCode"`
			RequestID       string `json:"requestId"`
			Attempts        int    `json:"attempts"`
			TotalRetryDelay int    `json:"totalRetryDelay"`
		} `json:"$metadata"`
		AuditImages    []string
		Confidence     float64
		ReferenceImage struct{ BoundingBox BoundingBox }
		SessionID      string `json:"SessionId"`
		Status         string
	} `json:"response"`
}

// Session is where a liveness session stands.
type Session struct {
	Success    bool      `json:"success"`
	SessionID  string    `json:"sessionId"`
	UserID     string    `json:"userId"`
	Status     string    `json:"status"`
	Mode       string    `json:"mode"`
	Challenge  []string  `json:"challenge"`
	Frames     int       `json:"frames"`
	Confidence float64   `json:"confidence"`
	Similarity float64   `json:"similarity"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

// VerificationPage is a part of a listing; NextCursor is empty where nothing
// follows.
type VerificationPage struct {
	Success       bool           `json:"success"`
	Verifications []Verification `json:"verifications"`
	Limit         int            `json:"limit"`
	Page          int            `json:"page"`
	NextCursor    string         `json:"nextCursor"`
}

// Verification is something that was decided, by ids.
type Verification struct {
	Seq       uint64             `json:"seq"`
	Epoch     uint64             `json:"epoch"`
	Time      time.Time          `json:"time"`
	Type      string             `json:"type"`
	Action    string             `json:"action"`
	Outcome   string             `json:"outcome"`
	Reasons   []string           `json:"reasons"`
	Counters  map[string]float64 `json:"counters"`
	UserID    string             `json:"userId"`
	SessionID string             `json:"sessionId"`
	DoorID    string             `json:"doorId"`
	RequestID string             `json:"requestId"`
	DeviceID  string             `json:"deviceId"` // at a central
}

// Identification is the outcome of a search among all users.
type Identification struct {
	Success    bool        `json:"success"`
	Match      bool        `json:"match"`
	UserID     string      `json:"userId"` // with Match
	Similarity float64     `json:"similarity"`
	Threshold  float64     `json:"threshold"`
	Candidates []Candidate `json:"candidates"`
	Gallery    int         `json:"gallery"`
	Faces      int         `json:"faces"`
	Message    string      `json:"message"`
	RequestID  string      `json:"requestId"`
}

// Candidate is a user who reaches the threshold.
type Candidate struct {
	UserID     string  `json:"userId"`
	Similarity float64 `json:"similarity"`
}

// Version is what runs at the other end.
type Version struct {
	Success     bool   `json:"success"`
	Version     string `json:"version"`
	Environment string `json:"environment"`
	Pack        string `json:"pack"`
}
