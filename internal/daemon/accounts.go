package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/mail"
)

// relaySettings say how mails leave the box.
type relaySettings struct {
	mail.Settings
	tls, ca, passwordFile string
}

func (s *relaySettings) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.Relay, "smtp", "", "mail relay, `host:port`; empty: no mails, cypherface mail codes shows what they would say")
	fs.StringVar(&s.From, "smtp-from", "", "`address` that mails come from")
	fs.StringVar(&s.User, "smtp-user", "", "`name` for the login at the mail relay; empty: none")
	fs.StringVar(&s.passwordFile, "smtp-password-file", "", "`file` with the password for it; empty: what cypherface mail password has set")
	fs.StringVar(&s.tls, "smtp-tls", "starttls", "encryption to the mail relay: starttls, tls or off")
	fs.StringVar(&s.ca, "smtp-ca", "", "`file` (PEM) that the mail relay is known by; empty: what the system trusts")
	fs.BoolVar(&s.PlainPassword, "smtp-plain-password", false, "let the password go over a link that is not encrypted")
}

// check refuses what cannot work.
func (s *relaySettings) check() error {
	if s.Relay == "" {
		return nil
	}
	s.Mode = mail.Mode(s.tls)
	if err := s.Check(); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	return nil
}

// openAccounts makes the accounts of an environment, with the mail relay if one is
// set.
func (e *environment) openAccounts() (*account.Accounts, error) {
	c := account.Config{
		Store: e.store, Authority: e.authority, Registration: account.Registration(e.registration),
		BaseURL: strings.TrimSuffix(e.url, "/"), Clock: e.clock.Now, Log: e.log,
	}
	if e.smtp.Relay == "" {
		return account.New(c), nil
	}
	s := e.smtp.Settings
	if e.smtp.ca != "" {
		pem, err := os.ReadFile(e.smtp.ca)
		if err != nil {
			return nil, fmt.Errorf("read smtp-ca: %w", err)
		}
		if s.CA = x509.NewCertPool(); !s.CA.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read smtp-ca: %s has no certificate", e.smtp.ca)
		}
	}
	s.Password = e.smtpPassword
	relay, err := mail.New(s)
	if err != nil {
		return nil, err
	}
	c.Relay = relay
	return account.New(c), nil
}

// smtpPassword is the password for the relay, as it is now.
func (e *environment) smtpPassword(ctx context.Context) (string, error) {
	if e.smtp.passwordFile != "" {
		raw, err := os.ReadFile(e.smtp.passwordFile)
		return strings.TrimRight(string(raw), "\r\n"), err
	}
	password, ok, err := api.MailPassword(ctx, e.store)
	if err == nil && !ok {
		err = errors.New("none is set (cypherface mail password)")
	}
	return password, err
}
