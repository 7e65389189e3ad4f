package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"rsc.io/qr"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// secondStep is POST /login/factor/: in, by one of the three.
func (a *API) secondStep(c *call) error {
	var in struct {
		Ticket   string          `json:"ticket"`
		Code     string          `json:"code"`
		Recovery string          `json:"recoveryCode"`
		Passkey  json.RawMessage `json:"passkey"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"ticket": in.Ticket}); err != nil {
		return err
	}
	given := 0
	for _, is := range []bool{in.Code != "", in.Recovery != "", len(in.Passkey) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return web.Fail(http.StatusBadRequest, "one of code, recoveryCode and passkey is needed").Field("code", "is needed, or one of the others")
	}
	login, err := a.Accounts.Second(c.ctx(), account.Proof{Caller: c.caller(), Ticket: in.Ticket, Code: in.Code, Recovery: in.Recovery, Passkey: in.Passkey})
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyLogin(login)
}

// askPasskey is POST /login/passkey/: what the browser is to sign.
func (a *API) askPasskey(c *call) error {
	var in struct {
		Ticket string `json:"ticket"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"ticket": in.Ticket}); err != nil {
		return err
	}
	options, err := a.Accounts.AskPasskey(c.ctx(), c.caller(), in.Ticket)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool            `json:"success"`
		Options json.RawMessage `json:"options"`
	}{true, options})
}

// passkey is one as the API shows it.
type passkey struct {
	PasskeyID    string    `json:"passkeyId"`
	Name         string    `json:"name"`
	RelyingParty string    `json:"relyingParty"`
	CreatedAt    time.Time `json:"createdAt"`
	LastUsedAt   time.Time `json:"lastUsedAt,omitzero"`
}

func toPasskey(k *store.Passkey) passkey {
	return passkey{account.PasskeyID(k), k.Name, k.RelyingParty, k.Created, k.Used}
}

// listFactors is GET /factors/.
func (a *API) listFactors(c *call) error {
	me, err := a.Accounts.Get(c.ctx(), c.Merchant, c.Account)
	if err != nil {
		return err
	}
	keys := []passkey{}
	for i := range me.Passkeys {
		keys = append(keys, toPasskey(&me.Passkeys[i]))
	}
	return c.reply(http.StatusOK, struct {
		Success  bool      `json:"success"`
		TOTP     bool      `json:"totp"`
		Passkeys []passkey `json:"passkeys"`
		Recovery int       `json:"recoveryCodesLeft"`
		Required bool      `json:"required"`
	}{true, me.TOTP != nil && me.TOTP.Confirmed, keys, len(me.Recovery), a.Accounts.Required(me.Role)})
}

// passwordOnly reads a body that has the password and perhaps one thing more.
func (c *call) passwordOnly(more map[string]*string) (password string, err error) {
	var in map[string]any
	if err := web.Decode(c.r, &in, 0); err != nil {
		return "", err
	}
	fields := map[string]*string{"password": &password}
	for name, into := range more {
		fields[name] = into
	}
	given := map[string]string{}
	for name, into := range fields {
		*into, _ = in[name].(string)
		given[name] = *into
	}
	return password, required(given)
}

// setupTOTP is POST /factors/totp/: a new secret, shown this once.
func (a *API) setupTOTP(c *call) error {
	password, err := c.passwordOnly(nil)
	if err != nil {
		return err
	}
	setup, err := a.Accounts.SetupTOTP(c.ctx(), c.caller(), c.Account, password)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replySetup(setup)
}

func (c *call) replySetup(s account.Setup) error {
	code, err := qr.Encode(s.URL, qr.M)
	if err != nil {
		return fmt.Errorf("draw QR code: %w", err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Secret  string `json:"secret"`
		URL     string `json:"otpauthUrl"`
		QR      string `json:"qrCode"`
	}{true, "Shown this once. Confirm it with a code.", s.Secret, s.URL,
		"data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG())})
}

// confirmTOTP is POST /factors/totp/confirm/.
func (a *API) confirmTOTP(c *call) error {
	var in struct {
		Code string `json:"code"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"code": in.Code}); err != nil {
		return err
	}
	recovery, err := a.Accounts.ConfirmTOTP(c.ctx(), c.caller(), c.Principal, in.Code)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyRecovery(http.StatusOK, recovery, nil)
}

// replyRecovery answers that a factor counts, with recovery codes if there are new
// ones.
func (c *call) replyRecovery(status int, codes []string, k *passkey) error {
	message := "The second factor counts from now on. Other logins were ended."
	if len(codes) > 0 {
		message += " The recovery codes are shown this once."
	}
	return c.reply(status, struct {
		Success bool     `json:"success"`
		Message string   `json:"message"`
		Passkey *passkey `json:"passkey,omitempty"`
		Codes   []string `json:"recoveryCodes,omitempty"`
	}{true, message, k, codes})
}

// passkeyOptions is POST /factors/passkeys/options/.
func (a *API) passkeyOptions(c *call) error {
	password, err := c.passwordOnly(nil)
	if err != nil {
		return err
	}
	options, ticket, err := a.Accounts.PasskeyOptions(c.ctx(), c.caller(), c.Account, password)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool            `json:"success"`
		Options json.RawMessage `json:"options"`
		Ticket  string          `json:"ticket"`
	}{true, options, ticket})
}

// addPasskey is POST /factors/passkeys/.
func (a *API) addPasskey(c *call) error {
	var in struct {
		Ticket     string          `json:"ticket"`
		Name       string          `json:"name"`
		Credential json.RawMessage `json:"credential"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	line(bad, "ticket", &in.Ticket, 100, true)
	line(bad, "name", &in.Name, 100, false)
	if len(in.Credential) == 0 {
		bad.Field("credential", "is required")
	}
	if bad.Details != nil {
		return bad
	}
	key, recovery, err := a.Accounts.AddPasskey(c.ctx(), c.caller(), c.Principal, in.Ticket, in.Name, in.Credential)
	if err != nil {
		return c.accountProblem(err)
	}
	shown := toPasskey(&key)
	return c.replyRecovery(http.StatusCreated, recovery, &shown)
}

// newRecovery is POST /factors/recovery-codes/: ten others.
func (a *API) newRecovery(c *call) error {
	password, err := c.passwordOnly(nil)
	if err != nil {
		return err
	}
	codes, err := a.Accounts.NewRecovery(c.ctx(), c.caller(), c.Account, password)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool     `json:"success"`
		Message string   `json:"message"`
		Codes   []string `json:"recoveryCodes"`
	}{true, "Shown this once. The older ones are worth nothing.", codes})
}

// removeFactor is POST /factors/remove/: "totp", or a passkey by its id.
func (a *API) removeFactor(c *call) error {
	var factor string
	password, err := c.passwordOnly(map[string]*string{"factor": &factor})
	if err != nil {
		return err
	}
	if err := a.Accounts.RemoveFactor(c.ctx(), c.caller(), c.Account, password, factor); err != nil {
		return c.accountProblem(err)
	}
	return c.done("The second factor was removed.")
}
