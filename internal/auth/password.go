package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a password's hash: the second choice of RFC 9106 in the smaller size
// that OWASP gives for it (19 MiB, two passes), since a box has little memory.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonLanes  = 1
	saltLen     = 16
	hashLen     = 32
)

// ErrPassword refuses a password that is too short or too long.
var ErrPassword = errors.New("password must have 8 to 128 characters")

// hashing lets one password be hashed at a time: its memory is needed once only,
// however many callers come at the same moment.
var hashing sync.Mutex

// HashPassword returns the argon2id hash of a password in PHC form, with a salt
// of its own.
func HashPassword(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < 8 || n > 128 {
		return "", ErrPassword
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	hashing.Lock()
	defer hashing.Unlock()
	hash := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, hashLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes, b64(salt), b64(hash)), nil
}
