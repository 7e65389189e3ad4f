package client

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// Pinned is an HTTP client that trusts one certificate, by its fingerprint, and no
// authority: for boxes with a certificate of their own making. The fingerprint is
// the SHA-256 in hex digits, colons or none, as cypherface env list shows it.
func Pinned(fingerprint string) (*http.Client, error) {
	want, err := hex.DecodeString(strings.ReplaceAll(fingerprint, ":", ""))
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("pin certificate: %q is not a SHA-256 in hex digits", fingerprint)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // in favour of what follows
		VerifyConnection: func(s tls.ConnectionState) error {
			// A TLS server has a certificate.
			if got := sha256.Sum256(s.PeerCertificates[0].Raw); !bytes.Equal(got[:], want) {
				return fmt.Errorf("the certificate of the box is another: %x", got)
			}
			return nil
		},
	}
	return &http.Client{Transport: transport}, nil
}
