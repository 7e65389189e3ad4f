package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Every kind of record has an id type of its own, so that a door's id cannot be
// handed over where a person's is wanted.
type (
	MerchantID string // object id form
	AccountID  string // object id form
	SiteID     string // object id form
	DoorID     string // object id form
	PersonID   string // object id form; random, says nothing about the person
	GrantID    string // object id form
	CropID     string // object id form
	ReviewID   string // object id form
	KeyID      string // UUID version 4
	SessionID  string // UUID version 4
	TicketID   string // UUID version 4
	DeviceID   string // UUID version 4
	TokenID    string // UUID version 4; the jti of a token
	ClaimID    string // hash of the secret in a claim code
	TemplateID string // PERSON.SPACE, see NewTemplateID
	ImageID    string // the imageKey of the API
	SecretName string // a fixed word of the program

	MigrationID string // a fixed word of the program
	CodeID      string // object id form
	LetterID    string // object id form
	LockID      string // two words and four hex digits, see Lock
	BulkID      string // UUID version 4
	BulkItemID  string // BULK.NUMBER, see NewBulkItemID
	ExportID    string // UUID version 4
)

// ObjectID holds the ids of object id form: 24 lower-case hex digits, 4 bytes of
// seconds since 1970 and 8 random bytes, so that ids sort roughly by age.
type ObjectID interface {
	MerchantID | AccountID | SiteID | DoorID | PersonID | GrantID | CropID | ReviewID | CodeID | LetterID |
		ConsentID | ConsentTextID | CredentialID
}

// UUID holds the ids that are random UUIDs (version 4, RFC 9562).
type UUID interface {
	KeyID | SessionID | TicketID | DeviceID | TokenID | BulkID | ExportID
}

// NewID makes an id of object id form.
func NewID[ID ObjectID](now time.Time) ID {
	var b [12]byte
	rand.Read(b[4:])
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()))
	return ID(hex.EncodeToString(b[:]))
}

// NewUUID makes a random id.
func NewUUID[ID UUID]() ID {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return ID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

// NewTemplateID names the one template that a person has in a space.
func NewTemplateID(p PersonID, space string) TemplateID {
	return TemplateID(string(p) + "." + space)
}

// NewBulkItemID names one person of a bulk enrolment; they sort by their numbers.
func NewBulkItemID(b BulkID, number int) BulkItemID {
	return BulkItemID(fmt.Sprintf("%s.%08d", b, number))
}

// ParseID checks that s has the form of an object id; the error is ErrID.
func ParseID[ID ObjectID](s string) (ID, error) {
	if len(s) != 24 || !isHex(s) {
		return "", fmt.Errorf("%w: want 24 lower-case hex digits", ErrID)
	}
	return ID(s), nil
}

// ParseUUID checks that s is a lower-case UUID version 4; the error is ErrID.
func ParseUUID[ID UUID](s string) (ID, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' ||
		!isHex(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]) || s[14] != '4' || s[19] < '8' || s[19] > 'b' {
		return "", fmt.Errorf("%w: want a lower-case UUID version 4", ErrID)
	}
	return ID(s), nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
