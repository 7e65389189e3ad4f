// Package mail hands mails to a relay (SMTP submission, RFC 6409) over a link that
// is encrypted and whose other end has shown its certificate.
//
//	relay, err := mail.New(mail.Settings{Relay: "smtp.example:587", From: "box@example.org"})
//	err = relay.Send(ctx, mail.Message{To: "ada@example.org", Subject: "…", Text: "…"})
//
// A message is plain text to one address. Headers are made by go-mail from fields
// that were checked before: nothing in them can begin another header or mail. There
// is no queue here, and nothing is logged.
package mail

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// What callers branch on.
var (
	ErrRelay = errors.New("the mail relay did not take the mail")
	// ErrRefused says that it never will; it matches ErrRelay.
	ErrRefused = fmt.Errorf("%w: it refuses it for good", ErrRelay)
	ErrMessage = errors.New("not a message that can be sent")
)

// A Mode is how the link to a relay is encrypted.
type Mode string

const (
	STARTTLS Mode = "starttls" // after a plain greeting, and not on without; port 587
	TLS      Mode = "tls"      // from the first byte on; port 465
	Off      Mode = "off"      // not at all
)

// Settings say which relay, and as whom.
type Settings struct {
	Relay string // host:port
	Mode  Mode   // empty is STARTTLS
	CA    *x509.CertPool
	User  string // empty: without a login
	// Password is asked for at each mail, so that it can be changed; only where
	// there is a User.
	Password func(context.Context) (string, error)
	// PlainPassword lets a password go over a link that is not encrypted.
	PlainPassword bool
	From          string        // the address of the sender
	Timeout       time.Duration // of each step; 0 means 15 s
}

// Check refuses settings that cannot work, or that give a password away.
func (s *Settings) Check() error {
	host, port, err := net.SplitHostPort(s.Relay)
	if err != nil || host == "" {
		return fmt.Errorf("relay: %q is not of the form smtp.example:587", s.Relay)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("relay: no port %q", port)
	}
	if _, err := address(s.From); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	switch s.Mode {
	case "", STARTTLS, TLS:
	case Off:
		if s.User != "" && !s.PlainPassword {
			return errors.New("tls: without it the password could be read on the way (starttls or tls; or say that it may)")
		}
	default:
		return fmt.Errorf("tls: %q is none of starttls, tls, off", s.Mode)
	}
	return nil
}

// A Relay takes mails.
type Relay struct {
	settings Settings
	host     string
	port     int
}

// New makes a Relay; it does not connect.
func New(s Settings) (*Relay, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("set mail relay: %w", err)
	}
	if s.Timeout == 0 {
		s.Timeout = 15 * time.Second
	}
	host, text, _ := net.SplitHostPort(s.Relay)
	port, _ := strconv.Atoi(text) // both were checked
	return &Relay{s, host, port}, nil
}

// A Message is plain text to one address.
type Message struct {
	To      string
	Subject string // one line
	Text    string
}

// Line makes one line of a text that somebody else wrote, for use in a Message.
func Line(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }), " ")
}

// address checks that s is one bare address and nothing else.
func address(s string) (string, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", fmt.Errorf("%w: not a bare e-mail address", ErrMessage)
	}
	return s, nil
}

// build makes the mail of a message. The error is ErrMessage.
func (r *Relay) build(m Message) (*gomail.Msg, error) {
	to, err := address(m.To)
	if err != nil {
		return nil, err
	}
	if m.Subject == "" || Line(m.Subject) != m.Subject {
		return nil, fmt.Errorf("%w: the subject is not one line", ErrMessage)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(r.settings.From), msg.To(to)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	msg.Subject(m.Subject)
	msg.SetDate()
	msg.SetMessageIDWithValue(messageID(r.settings.From))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office answers
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	return msg, nil
}

// Send hands a message over. It has been taken when the error is nil; otherwise the
// error is ErrMessage, ErrRefused, or ErrRelay, after which it may be tried again.
func (r *Relay) Send(ctx context.Context, m Message) error {
	msg, err := r.build(m)
	if err != nil {
		return err
	}
	client, err := r.client(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRelay, err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	var said *gomail.SendError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &said):
		return fmt.Errorf("%w: %w", ErrRelay, err)
	}
	answer := &Answer{Step: steps[said.Reason], Code: said.ErrorCode(), Enhanced: said.EnhancedStatusCode(), Text: said.Error()}
	if !said.IsTemp() && (said.Reason == gomail.ErrSMTPRcptTo || said.Reason == gomail.ErrSMTPData || said.Reason == gomail.ErrSMTPDataClose) {
		return fmt.Errorf("%w: %w", ErrRefused, answer)
	}
	return fmt.Errorf("%w: %w", ErrRelay, answer)
}

// An Answer is what a relay said. As an error it is safe to log; Text is in the
// relay's own words, which may tell the address.
type Answer struct {
	Step     string // of the exchange
	Code     int    // RFC 5321; 0: the link broke
	Enhanced string // RFC 3463, as 5.1.1; empty: none
	Text     string
}

func (a *Answer) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %d %s", cmp.Or(a.Step, "sending"), a.Code, a.Enhanced))
}

// steps are those at which an answer can be a refusal.
var steps = map[gomail.SendErrReason]string{
	gomail.ErrSMTPMailFrom: "MAIL FROM", gomail.ErrSMTPRcptTo: "RCPT TO", gomail.ErrSMTPData: "DATA", gomail.ErrSMTPDataClose: "end of DATA",
	gomail.ErrConnCheck: "connection", gomail.ErrSMTPReset: "RSET", gomail.ErrWriteContent: "text",
}

// client makes what speaks to the relay, once.
func (r *Relay) client(ctx context.Context) (*gomail.Client, error) {
	s := r.settings
	opts := []gomail.Option{
		gomail.WithPort(r.port), gomail.WithTimeout(s.Timeout), gomail.WithoutNoop(),
		gomail.WithTLSConfig(&tls.Config{ServerName: r.host, RootCAs: s.CA, MinVersion: tls.VersionTLS12}),
	}
	switch s.Mode {
	case TLS:
		opts = append(opts, gomail.WithSSL())
	case Off:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.User != "" {
		password, err := s.Password(ctx)
		if err != nil {
			return nil, fmt.Errorf("find the password of the relay: %w", err)
		}
		kind := gomail.SMTPAuthPlain
		if s.Mode == Off {
			kind = gomail.SMTPAuthPlainNoEnc
		}
		opts = append(opts, gomail.WithSMTPAuth(kind), gomail.WithUsername(s.User), gomail.WithPassword(password))
	}
	return gomail.NewClient(r.host, opts...)
}

// messageID is one of the sender's domain, whatever the machine is called.
func messageID(from string) string {
	_, domain, _ := strings.Cut(from, "@")
	return strings.ToLower(rand.Text()) + "@" + domain
}
