package mail_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/internal/mail/mailtest"
)

const secret = "geheim & lang"

func password(word string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return word, nil }
}

func TestSend(t *testing.T) {
	starttls, implicit := mailtest.New(t, mailtest.Options{User: "box", Password: secret}), mailtest.New(t, mailtest.Options{User: "box", Password: secret, TLS: true})
	open, bare := mailtest.New(t, mailtest.Options{}), mailtest.New(t, mailtest.Options{Plain: true})
	plain := mailtest.New(t, mailtest.Options{User: "box", Password: secret, Plain: true})
	for _, tt := range []struct {
		name     string
		relay    *mailtest.Relay
		settings mail.Settings
		ok       bool
	}{
		{"STARTTLS and a login", starttls, mail.Settings{CA: starttls.CA, User: "box", Password: password(secret)}, true},
		{"TLS and a login", implicit, mail.Settings{CA: implicit.CA, Mode: mail.TLS, User: "box", Password: password(secret)}, true},
		{"STARTTLS without a login", open, mail.Settings{CA: open.CA, Mode: mail.STARTTLS}, true},
		{"no encryption, no login", bare, mail.Settings{Mode: mail.Off}, true},
		{"no encryption, the password all the same", plain, mail.Settings{Mode: mail.Off, User: "box", Password: password(secret), PlainPassword: true}, true},
		{"a certificate that nobody vouches for", starttls, mail.Settings{User: "box", Password: password(secret)}, false},
		{"another's certificate", implicit, mail.Settings{CA: starttls.CA, Mode: mail.TLS, User: "box", Password: password(secret)}, false},
		{"no STARTTLS there", bare, mail.Settings{CA: starttls.CA}, false},
		{"wrong password", starttls, mail.Settings{CA: starttls.CA, User: "box", Password: password("wrong")}, false},
		{"a login is wanted", starttls, mail.Settings{CA: starttls.CA}, false},
		{"no password is there", starttls, mail.Settings{CA: starttls.CA, User: "box", Password: func(context.Context) (string, error) { return "", errors.New("none") }}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Relay, tt.settings.From = tt.relay.Addr, "box@example.org"
			r, err := mail.New(tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Send(t.Context(), mail.Message{To: "ada@example.org", Subject: "Größe", Text: "a line\n.\nand ümlauts: " + strings.Repeat("x", 2000) + "\n"})
			if !tt.ok {
				if !errors.Is(err, mail.ErrRelay) || errors.Is(err, mail.ErrRefused) || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v", err)
				}
				tt.relay.None(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := tt.relay.Next(t)
			if m.From != "box@example.org" || m.To != "ada@example.org" || m.Encrypted != (tt.settings.Mode != mail.Off) || m.User != tt.settings.User {
				t.Errorf("%+v", m)
			}
			if m.Text != "a line\n.\nand ümlauts: "+strings.Repeat("x", 2000)+"\n" || m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasSuffix(m.Header.Get("Message-Id"), "@example.org>") {
				t.Errorf("%v\n%s", m.Header, m.Text)
			}
		})
	}
}

func TestWhatARelayRefuses(t *testing.T) {
	relay := mailtest.New(t, mailtest.Options{})
	r, err := mail.New(mail.Settings{Relay: relay.Addr, CA: relay.CA, From: "box@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	m := mail.Message{To: "ada@example.org", Subject: "x", Text: "x"}
	relay.Refuse(mailtest.Refusal)
	err = r.Send(t.Context(), m)
	var answer *mail.Answer
	if !errors.Is(err, mail.ErrRefused) || !errors.Is(err, mail.ErrRelay) || !errors.As(err, &answer) || answer.Code != 550 || answer.Enhanced != "5.1.1" {
		t.Fatalf("for good: %v", err)
	}
	if strings.Contains(err.Error(), "ada") || !strings.Contains(err.Error(), "RCPT TO: 550 5.1.1") || !strings.Contains(answer.Text, "nobody here") {
		t.Errorf("it says %v, and %s", err, answer.Text)
	}
	relay.Refuse(mailtest.Later)
	if err := r.Send(t.Context(), m); errors.Is(err, mail.ErrRefused) || !errors.Is(err, mail.ErrRelay) {
		t.Errorf("for now: %v", err)
	}
	relay.Refuse(nil)
	if err := r.Send(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// A relay that says nothing keeps nobody waiting for ever.
func TestASilentRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := mail.New(mail.Settings{Relay: l.Addr().String(), From: "box@example.org", Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Send(t.Context(), mail.Message{To: "ada@example.org", Subject: "x", Text: "x"}); !errors.Is(err, mail.ErrRelay) {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	good := mail.Settings{Relay: "smtp.example:587", From: "box@example.org"}
	for name, change := range map[string]func(*mail.Settings){
		"no port":             func(s *mail.Settings) { s.Relay = "smtp.example" },
		"no host":             func(s *mail.Settings) { s.Relay = ":587" },
		"a word for the port": func(s *mail.Settings) { s.Relay = "smtp.example:submission" },
		"no sender":           func(s *mail.Settings) { s.From = "" },
		"a name and sender":   func(s *mail.Settings) { s.From = "Box <box@example.org>" },
		"two lines of sender": func(s *mail.Settings) { s.From = "box@example.org\r\nBcc: x@example.org" },
		"another mode":        func(s *mail.Settings) { s.Mode = "ssl" },
		"a readable password": func(s *mail.Settings) { s.Mode, s.User = mail.Off, "box" },
	} {
		s := good
		change(&s)
		if _, err := mail.New(s); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := mail.New(good); err != nil {
		t.Error(err)
	}
}

// Whatever is in a message, what is sent is one mail to one address, or nothing.
func FuzzMessage(f *testing.F) {
	relay := mailtest.New(f, mailtest.Options{Plain: true})
	r, err := mail.New(mail.Settings{Relay: relay.Addr, Mode: mail.Off, From: "box@example.org"})
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []mail.Message{
		{To: "ada@example.org", Subject: "x", Text: "hello"}, {To: "ada@example.org\r\nBcc: eve@example.org", Subject: "x"},
		{To: "ada@example.org", Subject: "x\r\nBcc: eve@example.org", Text: "x"}, {To: "ada@example.org", Subject: "x\u2028Bcc: eve@example.org", Text: "x"},
		{To: "ada@example.org, eve@example.org", Subject: "x", Text: "x"}, {To: `"a\r\nRCPT TO:<eve@example.org>"@example.org`, Subject: "x", Text: "x"},
		{To: "ada@example.org", Subject: "x", Text: "a\r\n.\r\nMAIL FROM:<eve@example.org>\r\n"}, {To: "ada@example.org>\r\n", Subject: "", Text: "\x00"},
		{To: "<ada@example.org>", Subject: "ümlaut \xff", Text: "x"}, {To: "ada@[127.0.0.1]", Subject: " x", Text: "\r\n.\r\n.\r\n"},
	} {
		f.Add(m.To, m.Subject, m.Text)
	}
	f.Fuzz(func(t *testing.T, to, subject, text string) {
		m := mail.Message{To: to, Subject: subject, Text: text}
		if err := r.Send(t.Context(), m); err != nil {
			relay.None(t)
			return
		}
		got := relay.Next(t)
		relay.None(t)
		if got.To != to || got.From != "box@example.org" || got.Header == nil {
			t.Fatalf("to %q it went to %q from %q: %s", to, got.To, got.From, got.Raw)
		}
		var names []string
		for name := range got.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		want := []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
		if !slices.Equal(names, want) {
			t.Fatalf("headers %v of %+v", names, m)
		}
	})
}
