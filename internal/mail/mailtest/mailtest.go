// Package mailtest is a mail relay on loopback for tests: real SMTP over a real
// socket, with STARTTLS or TLS, a certificate of its own, and a login.
//
//	relay := mailtest.New(t, mailtest.Options{User: "box", Password: "secret"})
//	… // send to relay.Addr, which relay.CA vouches for
//	m := relay.Next(t)
package mailtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options say how a relay behaves.
type Options struct {
	User, Password string // empty: it takes mail of everybody
	TLS            bool   // from the first byte on; else STARTTLS is offered
	Plain          bool   // no encryption is offered
}

// Mail is one that was taken.
type Mail struct {
	From, To  string // of the envelope
	User      string // who had logged in
	Encrypted bool   // the link was
	Header    netmail.Header
	Raw       string // as it came
	Text      string // of the body, decoded
}

// A Relay takes mail until the test ends.
type Relay struct {
	Addr   string         // 127.0.0.1:PORT
	CA     *x509.CertPool // that vouches for it
	CAFile string         // the same as PEM

	opt   Options
	mails chan Mail

	mu      sync.Mutex // protects the fields below
	refusal error
	tried   int
}

// New starts a relay.
func New(t testing.TB, opt Options) *Relay {
	t.Helper()
	cert, raw := certificate(t)
	r := &Relay{opt: opt, mails: make(chan Mail, 100), CA: x509.NewCertPool(), CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	r.CA.AppendCertsFromPEM(text)
	if err := os.WriteFile(r.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{relay: r, conn: c}, nil }))
	s.Domain, s.AllowInsecureAuth = "relay.test", opt.Plain
	s.ReadTimeout, s.WriteTimeout = 10*time.Second, 10*time.Second
	s.ErrorLog = log.New(io.Discard, "", 0) // of clients who do not trust it
	if !opt.Plain {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Addr = l.Addr().String()
	if opt.TLS {
		l = tls.NewListener(l, s.TLSConfig)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return r
}

// Refuse has the relay answer every mail with an error from now on: an
// *smtp.SMTPError as it is, another one as a temporary failure; nil has it take them
// again.
func (r *Relay) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

// Tried is how many mails were begun, those too that were refused.
func (r *Relay) Tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried
}

// Next waits for the next mail.
func (r *Relay) Next(t testing.TB) Mail {
	t.Helper()
	select {
	case m := <-r.mails:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no mail comes")
	}
	return Mail{}
}

// None fails the test where a mail was taken that Next has not returned.
func (r *Relay) None(t testing.TB) {
	t.Helper()
	select {
	case m := <-r.mails:
		t.Errorf("a mail to %s: %s", m.To, m.Raw)
	default:
	}
}

// Refusal is one for good: nobody has the address.
var Refusal = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody here has that name"}

// Later is one for now.
var Later = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come again"}

type session struct {
	relay *Relay
	conn  *smtp.Conn
	mail  Mail
}

var _ smtp.AuthSession = (*session)(nil)

func (s *session) AuthMechanisms() []string {
	if s.relay.opt.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.relay.opt.User || password != s.relay.opt.Password {
			return smtp.ErrAuthFailed
		}
		s.mail.User = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.relay.opt.User != "" && s.mail.User == "" {
		return smtp.ErrAuthRequired
	}
	s.mail.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.tried++
	s.mail.To = to
	return s.relay.refusal
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := s.mail
	m.Raw = string(raw)
	_, m.Encrypted = s.conn.TLSConnectionState()
	m.Header, m.Text = parse(raw)
	s.relay.mails <- m
	return nil
}

func (s *session) Reset()        { s.mail.From, s.mail.To = "", "" }
func (s *session) Logout() error { return nil }

// certificate makes one for 127.0.0.1, and returns it as DER too.
func certificate(t testing.TB) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, raw
}

// parse takes a mail apart.
func parse(raw []byte) (netmail.Header, string) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, ""
	}
	var body io.Reader = m.Body
	switch strings.ToLower(m.Header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, _ := io.ReadAll(body) // what can be read
	return m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
}
