package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// line trims a field and adds what is wrong with it to bad.
func line(bad *web.Error, name string, given *string, limit int, needed bool) {
	if given == nil {
		return
	}
	*given = strings.TrimSpace(*given)
	if issue := text(limit)(*given); issue != "" {
		bad.Field(name, issue)
	} else if *given == "" && needed {
		bad.Field(name, "is required")
	}
}

func emailField(bad *web.Error, given *string) {
	*given = strings.TrimSpace(*given)
	if issue := emailIssue(*given); issue != "" {
		bad.Field("email", issue)
	} else if *given == "" {
		bad.Field("email", "is required")
	}
}

// registerMerchant is POST /merchant/register/. Its answer does not tell whether the
// address had an account before.
func (a *API) registerMerchant(c *call) error {
	var in struct {
		BusinessName string `json:"businessName"`
		Firstname    string `json:"firstname"`
		Lastname     string `json:"lastname"`
		Email        string `json:"email"`
		Password     string `json:"password"`
		Phone        string `json:"phone"`
		InviteCode   string `json:"inviteCode"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	line(bad, "businessName", &in.BusinessName, 200, true)
	line(bad, "firstname", &in.Firstname, 100, true)
	line(bad, "lastname", &in.Lastname, 100, true)
	emailField(bad, &in.Email)
	if issue := phoneIssue(in.Phone); issue != "" {
		bad.Field("phone", issue)
	}
	if bad.Details != nil {
		return bad
	}
	m, err := a.Accounts.Register(c.ctx(), account.Registrant{
		Caller: c.caller(), Business: in.BusinessName, Firstname: in.Firstname, Lastname: in.Lastname,
		Email: in.Email, Phone: in.Phone, Password: in.Password, InviteCode: in.InviteCode,
	})
	if err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusCreated, struct {
		Success      bool              `json:"success"`
		Message      string            `json:"message"`
		Merchant     any               `json:"merchant"`
		Verification emailVerification `json:"emailVerification"`
	}{true, "Merchant registered. Verify the e-mail address next.",
		struct {
			MerchantID   store.MerchantID `json:"merchantId"`
			BusinessName string           `json:"businessName"`
			Email        string           `json:"email"`
		}{m.ID, in.BusinessName, in.Email},
		a.verification()})
}

// emailVerification says how a code gets to somebody, and how long it lasts then.
type emailVerification struct {
	Sent      bool `json:"sent"` // by mail; else the operator of the box has it
	ExpiresIn int  `json:"expiresIn"`
}

func (a *API) verification() emailVerification {
	return emailVerification{a.Accounts.Relay != nil, int(a.Accounts.VerifyLife().Seconds())}
}

// inviteMerchant is POST /merchant/invite/: a code for one registration.
func (a *API) inviteMerchant(c *call) error {
	code, expires, err := a.Accounts.InviteMerchant(c.ctx(), c.cause(), c.Merchant)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success    bool      `json:"success"`
		Message    string    `json:"message"`
		InviteCode string    `json:"inviteCode"`
		ExpiresAt  time.Time `json:"expiresAt"`
	}{true, "Invitation made. It is shown this once.", code, expires.UTC()})
}

// renameMerchant changes what the merchant is called.
func (a *API) renameMerchant(c *call, name string) error {
	if err := c.Require(auth.MerchantWrite); err != nil {
		return err
	}
	return a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, c.Merchant)
		if err != nil || m.Name == name {
			return err
		}
		m.Name = name
		return store.Put(tx, &m)
	})
}

// verifyEmail is POST /email/verify/: by the six digits, or the token of the link.
func (a *API) verifyEmail(c *call) error {
	var in struct {
		Email string `json:"email"`
		Code  string `json:"code"`
		Token string `json:"token"`
	}
	form, err := c.fields(&in, map[string]*string{"token": &in.Token})
	if err != nil {
		return err
	}
	if in.Token != "" {
		err = a.Accounts.VerifyLink(c.ctx(), c.caller(), in.Token)
	} else if err = required(map[string]string{"email": in.Email, "code": in.Code}); err == nil {
		err = a.Accounts.Verify(c.ctx(), c.caller(), in.Email, strings.TrimSpace(in.Code))
	}
	return c.answer(form, "E-mail address verified. You can sign in now.", err)
}

// resendEmail is POST /email/resend/.
func (a *API) resendEmail(c *call) error { return a.askMail(c, a.Accounts.Resend) }

// forgotPassword is POST /password/forgot/.
func (a *API) forgotPassword(c *call) error { return a.askMail(c, a.Accounts.Forgot) }

// askMail has a mail sent to an address, if somebody there is to have it; the
// answer is the same if not.
func (a *API) askMail(c *call, ask func(context.Context, account.Caller, string) error) error {
	var in struct {
		Email string `json:"email"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	if emailField(bad, &in.Email); bad.Details != nil {
		return bad
	}
	if err := ask(c.ctx(), c.caller(), in.Email); err != nil {
		return c.accountProblem(err)
	}
	return c.done("If the address has an account that needs it, a mail is on its way.")
}

// resetPassword is POST /password/reset/.
func (a *API) resetPassword(c *call) error {
	var in struct {
		Token    string `json:"token"`
		Password string `json:"password"`
	}
	form, err := c.fields(&in, map[string]*string{"token": &in.Token, "password": &in.Password})
	if err == nil {
		err = required(map[string]string{"token": in.Token, "password": in.Password})
	}
	if err == nil {
		err = a.Accounts.Reset(c.ctx(), c.caller(), in.Token, in.Password)
	}
	return c.answer(form, "Password set. All logins were ended; sign in with the new one.", err)
}

// acceptInvitation is POST /invitation/accept/.
func (a *API) acceptInvitation(c *call) error {
	var in struct {
		Token     string `json:"token"`
		Firstname string `json:"firstname"`
		Lastname  string `json:"lastname"`
		Password  string `json:"password"`
	}
	form, err := c.fields(&in, map[string]*string{"token": &in.Token, "firstname": &in.Firstname, "lastname": &in.Lastname, "password": &in.Password})
	if err != nil {
		return c.answer(form, "", err)
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	line(bad, "token", &in.Token, 100, true)
	line(bad, "firstname", &in.Firstname, 100, true)
	line(bad, "lastname", &in.Lastname, 100, true)
	if in.Password == "" {
		bad.Field("password", "is required")
	}
	if bad.Details != nil {
		return c.answer(form, "", bad)
	}
	_, err = a.Accounts.Accept(c.ctx(), account.Member{Caller: c.caller(), Token: in.Token, Firstname: in.Firstname, Lastname: in.Lastname, Password: in.Password})
	return c.answer(form, "Your account is made. Sign in with your e-mail address and the password.", err)
}

// invitation is one as the API shows it.
type invitation struct {
	InvitationID store.CodeID `json:"invitationId"`
	Email        string       `json:"email"`
	Role         store.Role   `json:"role"`
	CreatedAt    time.Time    `json:"createdAt"`
	ExpiresAt    time.Time    `json:"expiresAt"`
}

func toInvitation(c *store.Code) invitation {
	return invitation{c.ID, c.Email, c.Role, c.Created, c.Expires}
}

// inviteMember is POST /accounts/invitations/. It waits for the relay.
func (a *API) inviteMember(c *call) error {
	var in struct {
		Email string     `json:"email"`
		Role  store.Role `json:"role"`
		Show  bool       `json:"show"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	emailField(bad, &in.Email)
	if !slices.Contains(auth.AccountRoles(), in.Role) {
		bad.Field("role", "must be owner, administrator, operator or auditor")
	}
	if bad.Details != nil {
		return bad
	}
	code, token, err := a.Accounts.Invite(c.ctx(), c.cause(), c.Principal, account.Invitation{Email: in.Email, Role: in.Role, Show: in.Show})
	if err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusCreated, struct {
		Success    bool       `json:"success"`
		Message    string     `json:"message"`
		Invitation invitation `json:"invitation"`
		Sent       bool       `json:"sent"`
		Token      string     `json:"token,omitempty"`
	}{true, "Invited.", toInvitation(&code), token == "" && a.Accounts.Relay != nil, token})
}

// listInvitations is GET /accounts/invitations/.
func (a *API) listInvitations(c *call) error {
	codes, err := a.Accounts.Invitations(c.ctx(), c.Merchant)
	if err != nil {
		return err
	}
	all := []invitation{}
	for i := range codes {
		all = append(all, toInvitation(&codes[i]))
	}
	return c.reply(http.StatusOK, struct {
		Success     bool         `json:"success"`
		Invitations []invitation `json:"invitations"`
	}{true, all})
}

// revokeInvitation is DELETE /accounts/invitations/{invitationId}/.
func (a *API) revokeInvitation(c *call) error {
	id, err := store.ParseID[store.CodeID](c.r.PathValue("invitationId"))
	if err != nil {
		return badID("invitationId")
	}
	if err := a.Accounts.Revoke(c.ctx(), c.cause(), c.Principal, id); err != nil {
		return c.accountProblem(err)
	}
	return c.done("Invitation revoked.")
}

// listAccounts is GET /accounts/.
func (a *API) listAccounts(c *call) error {
	accounts, err := a.Accounts.List(c.ctx(), c.Merchant)
	if err != nil {
		return err
	}
	all := []member{}
	for i := range accounts {
		all = append(all, toMember(&accounts[i]))
	}
	return c.reply(http.StatusOK, struct {
		Success  bool     `json:"success"`
		Accounts []member `json:"accounts"`
	}{true, all})
}

// accountID is the account that the path names.
func (c *call) accountID() (store.AccountID, error) {
	id, err := store.ParseID[store.AccountID](c.r.PathValue("accountId"))
	if err != nil {
		return "", badID("accountId")
	}
	return id, nil
}

func (c *call) replyMember(message string, a *store.Account) error {
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Account member `json:"account"`
	}{true, message, toMember(a)})
}

// showAccount is GET /accounts/{accountId}/.
func (a *API) showAccount(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	found, err := a.Accounts.Get(c.ctx(), c.Merchant, id)
	if err != nil {
		return err
	}
	return c.replyMember("Found.", &found)
}

// changeAccount is PUT /accounts/{accountId}/: role and status. Logins end at once.
func (a *API) changeAccount(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	var in struct {
		Role   store.Role   `json:"role"`
		Status store.Status `json:"status"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is not well formed")
	if in.Role != "" && !slices.Contains(auth.AccountRoles(), in.Role) {
		bad.Field("role", "must be owner, administrator, operator or auditor")
	}
	if in.Status != "" && in.Status != store.Active && in.Status != store.Suspended {
		bad.Field("status", "must be active or suspended")
	}
	if bad.Details != nil {
		return bad
	}
	changed, err := a.Accounts.Change(c.ctx(), c.cause(), c.Principal, id, account.Change{Role: in.Role, Status: in.Status})
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyMember("Changed.", &changed)
}

// removeAccount is DELETE /accounts/{accountId}/.
func (a *API) removeAccount(c *call) error {
	id, err := c.accountID()
	if err != nil {
		return err
	}
	if err := a.Accounts.Remove(c.ctx(), c.cause(), c.Principal, id); err != nil {
		return c.accountProblem(err)
	}
	return c.done("Account removed.")
}
