package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// Passkeys (WebAuthn level 2) are a second factor beside the password. They are made
// for one host, that of the setting url: which host was called is not asked of the
// request, since whoever stands in between could say what he likes. No attestation
// is asked for: any authenticator will do.

const (
	maxPasskeys = 10
	maxPasskey  = 16 << 10 // bytes of what a browser sends
)

// PasskeyID is the id of a passkey as the API has it.
func PasskeyID(k *store.Passkey) string { return base64.RawURLEncoding.EncodeToString(k.ID) }

// relyingParty is the box in the words of WebAuthn. The error is ErrNoURL.
func (s *Accounts) relyingParty() (*webauthn.WebAuthn, error) {
	u, err := url.Parse(s.BaseURL)
	if err != nil || u.Hostname() == "" {
		return nil, ErrNoURL
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "CypherFace Edge", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementDiscouraged, UserVerification: protocol.VerificationPreferred,
		},
	})
}

// holder is an account in the words of webauthn.
type holder struct {
	*store.Account
	host string
}

var _ webauthn.User = holder{}

func (h holder) WebAuthnID() []byte          { return []byte(h.ID) }
func (h holder) WebAuthnName() string        { return h.Email }
func (h holder) WebAuthnDisplayName() string { return h.Firstname + " " + h.Lastname }

// WebAuthnCredentials are the passkeys that were made for this host.
func (h holder) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, k := range h.Passkeys {
		if k.RelyingParty == h.host {
			all = append(all, webauthn.Credential{
				ID: k.ID, PublicKey: k.PublicKey, Flags: webauthn.CredentialFlags{BackupEligible: k.Backup},
				Authenticator: webauthn.Authenticator{SignCount: k.Count},
			})
		}
	}
	return all
}

// PasskeyOptions begin a new passkey, for the password: what a browser hands to
// navigator.credentials.create, and the ticket for AddPasskey. The error is ErrNoURL,
// ErrFactor where there are too many, a FieldError, LockedError or auth.ErrBusy.
func (s *Accounts) PasskeyOptions(ctx context.Context, c Caller, id store.AccountID, password string) (options json.RawMessage, ticket string, err error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, "", err
	}
	if _, err := s.prove(ctx, c, id, password); err != nil {
		return nil, "", err
	}
	err = s.store.Update(ctx, c.as(id), func(tx *store.Tx) error {
		account, err := store.Get[store.Account](tx, id)
		if err != nil {
			return err
		}
		if len(account.Passkeys) >= maxPasskeys {
			return ErrFactor
		}
		h := holder{&account, rp.Config.RPID}
		creation, session, err := rp.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.WebAuthnCredentials()).CredentialDescriptors()))
		if err != nil {
			return err
		}
		code := store.Code{Merchant: account.Merchant, Account: id, Use: usePasskey}
		var marshal error
		options, err = json.Marshal(creation)
		code.Data, marshal = json.Marshal(session)
		if err := errors.Join(err, marshal, dropCodes(tx, id, store.Plain(usePasskey))); err != nil {
			return err
		}
		ticket, err = s.issue(tx, &code, TicketLife)
		return err
	})
	return options, ticket, err
}

// AddPasskey makes a passkey count that a browser has made, and ends the other
// logins. recovery are codes for when it is lost, where the account had no factor
// before. The error is ErrCode for a ticket or a credential that is not good.
func (s *Accounts) AddPasskey(ctx context.Context, c Caller, p auth.Principal, ticket, name string, credential json.RawMessage) (key store.Passkey, recovery []string, err error) {
	rp, err := s.relyingParty()
	if err != nil {
		return key, nil, err
	}
	err = s.store.Update(ctx, c.as(p.Account), func(tx *store.Tx) error {
		code, err := s.redeem(tx, usePasskey, ticket)
		if err == nil && code.Account != p.Account {
			err = ErrCode
		}
		if err != nil {
			return err
		}
		account, err := store.Get[store.Account](tx, p.Account)
		if err != nil {
			return err
		}
		made, err := createPasskey(rp, &account, code.Data, credential)
		if err != nil {
			return errors.Join(ErrCode, err)
		}
		first := !account.Factor()
		key = store.Passkey{
			ID: made.ID, PublicKey: made.PublicKey, Name: name, RelyingParty: rp.Config.RPID,
			Count: made.Authenticator.SignCount, Backup: made.Flags.BackupEligible, Created: s.now(),
		}
		account.Passkeys = append(account.Passkeys, key)
		recovery, err = s.factorAdded(tx, c, p.Login(), &account, first, FactorPasskey)
		return err
	})
	s.poke()
	return key, recovery, err
}

func createPasskey(rp *webauthn.WebAuthn, account *store.Account, session, credential []byte) (*webauthn.Credential, error) {
	var data webauthn.SessionData
	if err := json.Unmarshal(session, &data); err != nil {
		return nil, err
	}
	if len(credential) > maxPasskey {
		return nil, ErrCode
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(credential)
	if err != nil {
		return nil, err
	}
	return rp.CreateCredential(holder{account, rp.Config.RPID}, data, parsed)
}

// AskPasskey has the ticket of a login take a passkey: it returns what a browser
// hands to navigator.credentials.get. The error is ErrNoURL, ErrRefused, or ErrFactor
// where the account has no passkey for this host.
func (s *Accounts) AskPasskey(ctx context.Context, c Caller, token string) (options json.RawMessage, err error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, c.cause("login"), func(tx *store.Tx) error {
		ticket, err := s.ticket(tx, token)
		if err != nil {
			return err
		}
		account, err := store.Get[store.Account](tx, ticket.Account)
		if err != nil {
			return err
		}
		h := holder{&account, rp.Config.RPID}
		if len(h.WebAuthnCredentials()) == 0 {
			return ErrFactor
		}
		assertion, session, err := rp.BeginLogin(h)
		if err != nil {
			return err
		}
		var marshal error
		options, err = json.Marshal(assertion)
		ticket.Data, marshal = json.Marshal(session)
		return errors.Join(err, marshal, store.Put(tx, &ticket))
	})
	return options, err
}

var errClone = errors.New("the authenticator's counter went back: there may be a copy of it")

// usePasskey checks what a browser has signed, and notes in the account what must be
// known of it the next time.
func (s *Accounts) usePasskey(a *store.Account, session, credential []byte) error {
	rp, err := s.relyingParty()
	if err != nil {
		return err
	}
	var data webauthn.SessionData
	if err := json.Unmarshal(session, &data); err != nil || len(credential) > maxPasskey {
		return errors.Join(ErrCode, err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(credential)
	if err != nil {
		return err
	}
	used, err := rp.ValidateLogin(holder{a, rp.Config.RPID}, data, parsed)
	if err != nil {
		return err
	}
	if used.Authenticator.CloneWarning {
		return errClone
	}
	for i := range a.Passkeys {
		if k := &a.Passkeys[i]; string(k.ID) == string(used.ID) {
			k.Count, k.Used = used.Authenticator.SignCount, s.now()
		}
	}
	return nil
}
