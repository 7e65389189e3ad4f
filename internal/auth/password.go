package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// cost is what a password's hash takes. RFC 9106 (section 4) lets who cannot spend
// the memory of its two choices (2 GiB; 64 MiB with three passes and four lanes)
// choose less; current is what OWASP gives as equal to the second against guessing
// on graphics cards: 19 MiB, two passes, one lane. A box with 512 MiB bears that
// beside its networks, and it is needed once only, as one password is hashed at a
// time.
type cost struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

var current = cost{19 << 10, 2, 1}

// most is what a hash in the store may cost to be checked: one that asks for more
// is damaged.
var most = cost{64 << 10, 10, 4}

const (
	saltLen = 16
	hashLen = 32
)

// ErrPassword refuses a password that is too short or too long.
var ErrPassword = errors.New("password must have 8 to 128 characters")

// ErrBusy says that too many passwords wait to be hashed.
var ErrBusy = errors.New("too many passwords at a time")

// turn is held by who hashes, and waiting counts those who want to. A flood of
// logins has a quarter of one core at most: where others wait, it is nobody's turn
// after a hash for restFactor times as long as it took, so that the decisions at the
// doors go on.
var (
	turn    = make(chan struct{}, 1)
	waiting atomic.Int32
	hashed  atomic.Uint64
)

const (
	maxWaiting = 16
	restFactor = 3
	maxRest    = 500 * time.Millisecond
)

// Hashed is how many passwords were hashed since the program began.
func Hashed() uint64 { return hashed.Load() }

// derive is argon2id, when it is its turn. A password is the same however a keyboard
// composes its letters (RFC 8265, section 4.2).
func derive(ctx context.Context, password string, salt []byte, c cost, length uint32) ([]byte, error) {
	if waiting.Add(1) > maxWaiting {
		waiting.Add(-1)
		return nil, ErrBusy
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		waiting.Add(-1)
		return nil, ctx.Err()
	}
	waiting.Add(-1)
	begin := time.Now()
	hash := argon2.IDKey([]byte(norm.NFC.String(password)), salt, c.passes, c.memory, c.lanes, length)
	hashed.Add(1)
	if waiting.Load() == 0 {
		<-turn
	} else {
		time.AfterFunc(min(restFactor*time.Since(begin), maxRest), func() { <-turn })
	}
	return hash, nil
}

// HashPassword returns the argon2id hash of a password in PHC form, with a salt
// of its own. The error is ErrPassword, ErrBusy or that of ctx, which ends the wait
// for a turn.
func HashPassword(ctx context.Context, password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < 8 || n > 128 {
		return "", ErrPassword
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	hash, err := derive(ctx, password, salt, current, hashLen)
	if err != nil {
		return "", err
	}
	return phc(current, salt, hash), nil
}

// CheckPassword reports whether hash is that of a password. What is no hash at all,
// as that of nobody, takes the same work and is no password's. stale says that the
// hash should be made anew, as it cost less than one does now. The error is
// ErrBusy or that of ctx.
func CheckPassword(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	c, salt, want, known := parsePHC(hash)
	if !known {
		c, salt, want = current, make([]byte, saltLen), make([]byte, hashLen)
	}
	if utf8.RuneCountInString(password) > 128 {
		password, known = "", false
	}
	got, err := derive(ctx, password, salt, c, uint32(len(want)))
	if err != nil {
		return false, false, err
	}
	ok = subtle.ConstantTimeCompare(got, want) == 1 && known
	return ok, c != current, nil
}

func phc(c cost, salt, hash []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, c.lanes, b64(salt), b64(hash))
}

// parsePHC takes a hash apart. It is not known where it is none of ours or asks for
// more than most.
func parsePHC(s string) (c cost, salt, hash []byte, known bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes); n != 3 || err != nil ||
		c.memory < 8 || c.passes < 1 || c.lanes < 1 || c.memory > most.memory || c.passes > most.passes || c.lanes > most.lanes {
		return c, nil, nil, false
	}
	salt, saltErr := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	hash, hashErr := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	known = saltErr == nil && hashErr == nil && len(salt) >= 8 && len(salt) <= 64 && len(hash) >= 16 && len(hash) <= 64
	return c, salt, hash, known
}
