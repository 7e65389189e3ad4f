package account

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
)

// The letters there are.
const (
	letterVerify   = "verify"
	letterReset    = "reset"
	letterInvite   = "invite"
	letterEmail    = "email"    // to another address for an account
	letterMoving   = "moving"   // somebody asked for that
	letterMoved    = "moved"    // to the old one: it was changed
	letterKnown    = "known"    // somebody wanted to register with the address, or have it for an account
	letterPassword = "password" // it was changed
	letterFactor   = "factor"   // the second factor was changed
)

func carriesCode(use string) bool {
	return use == letterVerify || use == letterReset || use == letterInvite || use == letterEmail
}

// errNobody says that a letter has nobody to go to any more, or nothing to say.
var errNobody = errors.New("nobody to write to")

// compose writes a letter, and makes the code that it carries: an older one is
// worth nothing from then on.
func (s *Accounts) compose(tx *store.Tx, l *store.Letter) (m mail.Message, err error) {
	switch l.Use {
	case letterInvite:
		return s.composeInvite(tx, l)
	case letterEmail, letterMoved:
		return s.composeToAddress(tx, l)
	}
	account, err := store.Get[store.Account](tx, l.Account)
	if errors.Is(err, store.ErrNotFound) || err == nil && l.Use == letterVerify && account.Verified {
		return m, errNobody
	} else if err != nil {
		return m, err
	}
	m.To = account.Email
	switch l.Use {
	case letterVerify:
		m.Subject = "Verify your e-mail address"
		m.Text, err = s.verifyText(tx, &account)
	case letterReset:
		m.Subject = "Set a new password"
		m.Text, err = s.resetText(tx, &account)
	case letterKnown:
		m.Subject = "You have an account already"
		m.Text = "Somebody wanted to register with this e-mail address, or move an account to it,\nand it has an account. If that was you, sign in, or ask for a new password. If not, there is nothing\nto do.\n"
	case letterMoving:
		m.Subject = "Your e-mail address is about to change"
		m.Text = "Somebody who knows the password of your account asked for another e-mail address\nfor it. A code was sent there; until it is confirmed, nothing changes.\nIf that was not you, change your password at once: then the code is worth nothing.\n"
	case letterPassword:
		m.Subject = "Your password was changed"
		m.Text = "The password of your account was changed, and other logins were ended.\nIf that was not you, ask for a new password at once, and tell your administrator.\n"
	case letterFactor:
		m.Subject = "Your second factor was changed"
		m.Text = "The second factor of your account was changed.\nIf that was not you, change your password at once, and tell your administrator.\n"
	default:
		err = errNobody
	}
	return m, err
}

func (s *Accounts) verifyText(tx *store.Tx, account *store.Account) (string, error) {
	if err := dropCodes(tx, account.ID, store.Plain(useVerify)); err != nil {
		return "", err
	}
	digits := newDigits()
	c := store.Code{ID: store.NewID[store.CodeID](s.now()), Merchant: account.Merchant, Account: account.ID, Use: useVerify}
	c.Digits = s.digitsTag(c.ID, digits)
	token, err := s.issue(tx, &c, verifyLife)
	return fmt.Sprintf("Your code is %s. It is good for %.0f minutes.\n%s\nIf you have not registered, there is nothing to do.\n",
		digits, verifyLife.Minutes(), s.link("Or open this page:", "/email/verify/", token)), err
}

func (s *Accounts) resetText(tx *store.Tx, account *store.Account) (string, error) {
	if err := dropCodes(tx, account.ID, store.Plain(useReset)); err != nil {
		return "", err
	}
	token, err := s.issue(tx, &store.Code{Merchant: account.Merchant, Account: account.ID, Use: useReset}, resetLife)
	return fmt.Sprintf("Somebody, you we hope, asked for a new password. This is good for %.0f minutes, once:\n\n  %s\n%s\nIf it was not you, there is nothing to do.\n",
		resetLife.Minutes(), token, s.link("Or open this page:", "/password/reset/", token)), err
}

func (s *Accounts) composeInvite(tx *store.Tx, l *store.Letter) (m mail.Message, err error) {
	c, err := store.Get[store.Code](tx, l.Code)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.now().Before(c.Expires) {
		return m, errNobody
	} else if err != nil {
		return m, err
	}
	merchant, err := store.Get[store.Merchant](tx, c.Merchant)
	if err != nil {
		return m, err
	}
	token, err := s.issue(tx, &c, c.Expires.Sub(s.now()))
	m = mail.Message{To: c.Email, Subject: "You are invited"}
	m.Text = fmt.Sprintf("%s invites you to sign in to CypherFace Edge as %s. This is good until %s, once:\n\n  %s\n%s",
		mail.Line(merchant.Name), c.Role, c.Expires.UTC().Format("2 January 2006 15:04 MST"), token, s.link("Or open this page:", "/invitation/accept/", token))
	return m, err
}

// link is a line with a link, where it is known how the box is reached.
func (s *Accounts) link(words, path, token string) string {
	if s.BaseURL == "" {
		return ""
	}
	return fmt.Sprintf("\n%s\n\n  %s%s?token=%s\n", words, strings.TrimSuffix(s.BaseURL, "/"), path, url.QueryEscape(token))
}
