package join

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
)

// ErrPin says that who answers is not the central that was joined, or that the code
// is of.
var ErrPin = errors.New("the central has another key than it should: somebody may stand between")

// Pinned is how a box speaks TLS with its central: whoever has the key with this
// fingerprint, or one that begins with it, is the central, and nobody else.
func Pinned(fingerprint []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // no authority vouches for it: its key does
		VerifyConnection: func(s tls.ConnectionState) error {
			if sum := Fingerprint(&s); len(fingerprint) < 16 || len(sum) < len(fingerprint) || string(sum[:len(fingerprint)]) != string(fingerprint) {
				return ErrPin
			}
			return nil
		},
	}
}

// Fingerprint is the SHA-256 of the public key of the other side, in the form of a
// certificate (SubjectPublicKeyInfo); nil where it showed none.
func Fingerprint(s *tls.ConnectionState) []byte {
	if s == nil || len(s.PeerCertificates) == 0 {
		return nil
	}
	sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return sum[:]
}
