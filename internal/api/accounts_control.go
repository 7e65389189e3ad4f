package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// accountOperations are those of the box's own socket about accounts and mail. Who
// reaches it is the box's own user, whom no lock keeps out:
//
//	POST   /control/accounts                          an account with a password
//	PUT    /control/accounts/{accountId}/password     another password
//	POST   /control/accounts/{accountId}/totp         a new authenticator app, to be confirmed with
//	POST   /control/accounts/{accountId}/totp/confirm a code of it
//	DELETE /control/accounts/{accountId}/factor       all second factors are taken away
//	POST   /control/accounts/unlock                   all failed logins are forgotten
//	GET    /control/merchants                         those of the environment
//	PUT    /control/merchants/{merchantId}            active, or suspended: nobody of it gets in
//	GET    /control/mail                              how mail leaves the box
//	POST   /control/mail/codes                        the letters that wait, with their codes
//	POST   /control/mail/test                         a mail, now
//	PUT    /control/mail/password                     the password for the relay
func accountOperations() []operation {
	return []operation{
		{"POST", "/control/accounts", auth.AccountsManage, (*API).createAccount},
		{"PUT", "/control/accounts/{accountId}/password", auth.AccountsManage, (*API).setAccountPassword},
		{"POST", "/control/accounts/{accountId}/totp", auth.AccountsManage, (*API).setupAccountTOTP},
		{"POST", "/control/accounts/{accountId}/totp/confirm", auth.AccountsManage, (*API).confirmAccountTOTP},
		{"DELETE", "/control/accounts/{accountId}/factor", auth.AccountsManage, (*API).resetFactor},
		{"POST", "/control/accounts/unlock", "", (*API).unlock},
		{"GET", "/control/merchants", "", (*API).listMerchants},
		{"PUT", "/control/merchants/{merchantId}", "", (*API).changeMerchant},
		{"GET", "/control/mail", "", (*API).mailStatus},
		{"POST", "/control/mail/codes", "", (*API).mailCodes},
		{"POST", "/control/mail/test", "", (*API).mailTest},
		{"PUT", "/control/mail/password", "", (*API).putMailPassword},
	}
}

// operatorCause is what is put down to the operator of the box, whatever merchant he
// acts for.
func (c *call) operatorCause() store.Cause {
	return store.Cause{Actor: operator(c.r), Request: web.RequestID(c.ctx())}
}

// createAccount is POST /control/accounts.
func (a *API) createAccount(c *call) error {
	var in struct {
		Email     string     `json:"email"`
		Firstname string     `json:"firstname"`
		Lastname  string     `json:"lastname"`
		Role      store.Role `json:"role"`
		Password  string     `json:"password"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	emailField(bad, &in.Email)
	line(bad, "firstname", &in.Firstname, 100, false)
	line(bad, "lastname", &in.Lastname, 100, false)
	if !slices.Contains(auth.AccountRoles(), in.Role) {
		bad.Field("role", "must be owner, administrator, operator or auditor")
	}
	if bad.Details != nil {
		return bad
	}
	made, err := a.Accounts.Create(c.ctx(), c.cause(), c.Merchant, store.Account{
		Email: in.Email, Firstname: in.Firstname, Lastname: in.Lastname, Role: in.Role,
	}, in.Password)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyMember("Account made.", &made)
}

// setAccountPassword is PUT /control/accounts/{accountId}/password.
func (a *API) setAccountPassword(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	password, err := c.passwordOnly(nil)
	if err != nil {
		return err
	}
	if err := a.Accounts.SetPassword(c.ctx(), c.cause(), c.Merchant, id, password); err != nil {
		return c.accountProblem(err)
	}
	return c.done("Password set. All logins were ended.")
}

// setupAccountTOTP is POST /control/accounts/{accountId}/totp.
func (a *API) setupAccountTOTP(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	setup, err := a.Accounts.SetupTOTPFor(c.ctx(), c.cause(), c.Merchant, id)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replySetup(setup)
}

// confirmAccountTOTP is POST /control/accounts/{accountId}/totp/confirm.
func (a *API) confirmAccountTOTP(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	var in struct {
		Code string `json:"code"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	recovery, err := a.Accounts.ConfirmTOTPFor(c.ctx(), c.cause(), c.Merchant, id, in.Code)
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyRecovery(http.StatusOK, recovery, nil)
}

// resetFactor is DELETE /control/accounts/{accountId}/factor.
func (a *API) resetFactor(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	if err := a.Accounts.ResetFactor(c.ctx(), c.cause(), c.Merchant, id); err != nil {
		return err
	}
	return c.done("The second factors were removed, and all logins ended.")
}

// unlock is POST /control/accounts/unlock.
func (a *API) unlock(c *call) error {
	n, err := a.Accounts.Unlock(c.ctx(), c.operatorCause())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		Removed int  `json:"removed"`
	}{true, n})
}

// listMerchants is GET /control/merchants.
func (a *API) listMerchants(c *call) error {
	all := []merchantMe{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			all = append(all, toMerchantMe(&m))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success   bool         `json:"success"`
		Merchants []merchantMe `json:"merchants"`
	}{true, all})
}

// changeMerchant is PUT /control/merchants/{merchantId}. Its keys and logins get
// nobody in while it is suspended, at once.
func (a *API) changeMerchant(c *call) error {
	id, err := store.ParseID[store.MerchantID](c.r.PathValue("merchantId"))
	if err != nil {
		return badID("merchantId")
	}
	var in struct {
		Status store.Status `json:"status"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if in.Status != store.Active && in.Status != store.Suspended {
		return web.Fail(http.StatusBadRequest, "a field is not well formed").Field("status", "must be active or suspended")
	}
	err = a.store.Update(c.ctx(), c.operatorCause(), func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, id)
		if err != nil || m.Status == in.Status {
			return err
		}
		m.Status = in.Status
		return store.Put(tx, &m)
	})
	if err != nil {
		return err
	}
	return c.done("Changed.")
}

// mailStatus is GET /control/mail.
func (a *API) mailStatus(c *call) error {
	waiting, err := a.Accounts.Waiting(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		Relay   bool `json:"relay"`
		Waiting int  `json:"waiting"`
	}{true, a.Accounts.Relay != nil, waiting})
}

// mailCodes is POST /control/mail/codes.
func (a *API) mailCodes(c *call) error {
	letters, err := a.Accounts.Codes(c.ctx(), c.operatorCause())
	if err != nil {
		return err
	}
	if letters == nil {
		letters = []account.Letter{}
	}
	return c.reply(http.StatusOK, struct {
		Success bool             `json:"success"`
		Letters []account.Letter `json:"letters"`
	}{true, letters})
}

// mailTest is POST /control/mail/test. The operator is told what the relay said.
func (a *API) mailTest(c *call) error {
	var in struct {
		To string `json:"to"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if in.To == "" || emailIssue(in.To) != "" {
		return web.Fail(http.StatusBadRequest, "a field is missing or not well formed").Field("to", "must be an e-mail address")
	}
	start := time.Now()
	err := a.Accounts.TestMail(c.ctx(), in.To)
	var answer *mail.Answer
	switch {
	case errors.As(err, &answer):
		return web.Fail(http.StatusPaymentRequired, "the mail relay did not take the mail: %s", answer.Text).Because(err)
	case errors.Is(err, account.ErrRelay):
		return web.Fail(http.StatusPaymentRequired, "%v", err).Because(err)
	case err != nil:
		return c.accountProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool  `json:"success"`
		Millis  int64 `json:"milliseconds"`
	}{true, time.Since(start).Milliseconds()})
}

// mailSecret is the name of the relay's password in the store.
const mailSecret store.SecretName = "mail-password"

// MailPassword returns the password for the mail relay that the store has.
func MailPassword(ctx context.Context, s store.Store) (password string, ok bool, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		secret, err := store.Get[store.Secret](tx, mailSecret)
		password = string(secret.Value)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	return password, err == nil, err
}

// putMailPassword is PUT /control/mail/password: empty forgets it.
func (a *API) putMailPassword(c *call) error {
	var in struct {
		Password string `json:"password"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	err := a.store.Update(c.ctx(), c.operatorCause(), func(tx *store.Tx) error {
		old, err := store.Get[store.Secret](tx, mailSecret)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case in.Password != "":
			old.Name, old.Value = mailSecret, []byte(in.Password)
			return store.Put(tx, &old)
		case err == nil:
			return store.Delete[store.Secret](tx, mailSecret)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]bool{"success": true})
}
