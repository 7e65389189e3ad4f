package account

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

// FuzzPasskey feeds both ways in with what browsers never send. Nothing but what the
// authenticator signed is let in, and it signed nothing.
func FuzzPasskey(f *testing.F) {
	s := New(Config{BaseURL: "https://box.example", Clock: time.Now})
	rp, err := s.relyingParty()
	if err != nil {
		f.Fatal(err)
	}
	key := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	key = append(append(key, make([]byte, 32)...), 0x22, 0x58, 0x20)
	account := store.Account{ID: "5f0c0ffee0c0ffee0c0ffee0", Passkeys: []store.Passkey{{ID: []byte("stick"), PublicKey: append(key, make([]byte, 32)...), RelyingParty: "box.example"}}}
	_, login, err := rp.BeginLogin(holder{&account, "box.example"})
	if err != nil {
		f.Fatal(err)
	}
	_, create, err := rp.BeginRegistration(holder{&account, "box.example"})
	if err != nil {
		f.Fatal(err)
	}
	loginData, _ := json.Marshal(login) // of plain fields
	createData, _ := json.Marshal(create)
	for _, s := range []string{
		`{}`, `[`, `{"response":{"authenticatorData":"` + strings.Repeat("A", 200) + `"}}`,
		`{"id":"c3RpY2s","rawId":"c3RpY2s","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"` + strings.Repeat("A", 50) + `","signature":"AA"}}`,
		`{"id":"c3RpY2s","rawId":"c3RpY2s","type":"public-key","response":{"clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0","attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA","transports":["usb"]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := s.usePasskey(&account, loginData, raw); err == nil {
			t.Error("let in")
		}
		if _, err := createPasskey(rp, &account, createData, raw); err == nil { // nobody knows the challenge
			t.Error("made a passkey of nothing")
		}
	})
}
