package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// member is an account as the API shows it.
type member struct {
	AccountID   store.AccountID  `json:"accountId"`
	MerchantID  store.MerchantID `json:"merchantId"`
	Firstname   string           `json:"firstname"`
	Lastname    string           `json:"lastname"`
	Email       string           `json:"email"`
	Phone       string           `json:"phone,omitempty"`
	Role        store.Role       `json:"role"`
	Status      store.Status     `json:"status"`
	Verified    bool             `json:"emailVerified"`
	Factor      bool             `json:"secondFactor"`
	CreatedAt   time.Time        `json:"createdAt"`
	LastLoginAt time.Time        `json:"lastLoginAt,omitzero"`
}

func toMember(a *store.Account) member {
	return member{a.ID, a.Merchant, a.Firstname, a.Lastname, a.Email, a.Phone, a.Role, a.Status, a.Verified, a.Factor(), a.Created, a.LastLogin}
}

// caller is who asks without having signed in.
func (c *call) caller() account.Caller {
	return account.Caller{Address: web.Address(c.r), Request: web.RequestID(c.ctx())}
}

// signIn is POST /login/: in, or to the second step.
func (a *API) signIn(c *call) error {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"email": in.Email, "password": in.Password}); err != nil {
		return err
	}
	login, err := a.Accounts.Login(c.ctx(), account.Attempt{Caller: c.caller(), Email: in.Email, Password: in.Password})
	if err != nil {
		return c.accountProblem(err)
	}
	return c.replyLogin(login)
}

// replyLogin answers with the tokens of a login, or the ticket for its second step.
func (c *call) replyLogin(l account.Login) error {
	if l.Ticket != "" {
		return c.reply(http.StatusOK, struct {
			Success   bool     `json:"success"`
			Message   string   `json:"message"`
			Required  bool     `json:"mfaRequired"`
			Ticket    string   `json:"ticket"`
			Factors   []string `json:"factors"`
			ExpiresIn int      `json:"expiresIn"`
		}{true, "A second factor is required.", true, l.Ticket, l.Factors, int(account.TicketLife.Seconds())})
	}
	return c.reply(http.StatusOK, struct {
		Success          bool             `json:"success"`
		Message          string           `json:"message"`
		User             member           `json:"user"`
		AccessToken      string           `json:"accessToken"`
		Token            string           `json:"token"` // the same
		RefreshToken     string           `json:"refreshToken"`
		TokenType        string           `json:"tokenType"`
		ExpiresIn        int              `json:"expiresIn"`
		ExpiresAt        time.Time        `json:"expiresAt"`
		RefreshExpiresIn int              `json:"refreshExpiresIn"`
		MerchantID       store.MerchantID `json:"merchantId"`
		Setup            bool             `json:"mfaSetupRequired,omitempty"`
	}{true, "Signed in.", toMember(&l.Account), l.Token.Value, l.Token.Value, l.Token.Refresh, "Bearer", int(l.Token.Life.Seconds()), l.Token.Expires.UTC(),
		int(l.Token.RefreshLife.Seconds()), l.Account.Merchant, l.Setup})
}

// signOut is POST /logout/: the login ends with all its tokens.
func (a *API) signOut(c *call) error {
	if err := a.Accounts.Logout(c.ctx(), c.caller(), c.Principal); err != nil {
		return err
	}
	return c.done("Signed out.")
}

// done answers that something was done.
func (c *call) done(message string) error {
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
	}{true, message})
}

// required refuses a body in which one of the fields is empty.
func required(fields map[string]string) error {
	bad := web.Fail(http.StatusBadRequest, "a field is missing")
	for name, value := range fields {
		if value == "" {
			bad.Field(name, "is required")
		}
	}
	if bad.Details != nil {
		return bad
	}
	return nil
}

// accountProblem puts the errors of internal/account into answers.
func (c *call) accountProblem(err error) error {
	var locked *account.LockedError
	var field *account.FieldError
	fail := func(status int, format string, args ...any) *web.Error {
		return web.Fail(status, format, args...).Because(err)
	}
	switch {
	case errors.As(err, &locked):
		return web.TooMany(c.w, locked.Wait)
	case errors.As(err, &field):
		return fail(http.StatusBadRequest, "a field is not well formed").Field(field.Field, field.Issue)
	case errors.Is(err, account.ErrRefused):
		return fail(http.StatusUnauthorized, "the login was refused: the address or the password is wrong")
	case errors.Is(err, account.ErrUnverified):
		return fail(http.StatusForbidden, "the e-mail address is not verified: use the code that was sent to it, or have another sent (/email/resend/)")
	case errors.Is(err, account.ErrSuspended):
		return fail(http.StatusForbidden, "the account or its merchant is suspended: ask the operator of the box")
	case errors.Is(err, account.ErrRegistration):
		return fail(http.StatusForbidden, "registration is closed")
	case errors.Is(err, account.ErrCode):
		return fail(http.StatusUnprocessableEntity, "the code is wrong, was used or has expired")
	case errors.Is(err, account.ErrVerified):
		return fail(http.StatusConflict, "the e-mail address is verified already")
	case errors.Is(err, account.ErrLastOwner):
		return fail(http.StatusConflict, "a merchant needs an owner: make another one first")
	case errors.Is(err, account.ErrMember):
		return fail(http.StatusConflict, "somebody with this address has an account here already").Field("email", "is taken")
	case errors.Is(err, account.ErrRank):
		return fail(http.StatusForbidden, "nobody grants, changes or takes away more than he has himself")
	case errors.Is(err, account.ErrNoRelay):
		return fail(http.StatusUnprocessableEntity, "no mail relay is set")
	case errors.Is(err, account.ErrNoURL):
		return fail(http.StatusUnprocessableEntity, "the box does not know its own URL; its operator sets url or production-url")
	case errors.Is(err, account.ErrFactor):
		return fail(http.StatusConflict, "there is no such second factor, or it is set up already")
	case errors.Is(err, account.ErrRelay):
		return fail(http.StatusPaymentRequired, "the mail relay did not take the mail; it is tried again")
	}
	return err
}

// merchantMe is the merchant of somebody who has signed in, as the API shows it.
type merchantMe struct {
	MerchantID   store.MerchantID `json:"merchantId"`
	BusinessName string           `json:"businessName"`
	Phone        string           `json:"phone,omitempty"`
	Status       store.Status     `json:"status"`
	CreatedAt    time.Time        `json:"createdAt"`
}

func toMerchantMe(m *store.Merchant) merchantMe {
	return merchantMe{m.ID, m.Name, m.Phone, m.Status, m.Created}
}

// showMe is GET /merchant/me/.
func (a *API) showMe(c *call) error { return a.replyMe(c, "Found.") }

func (a *API) replyMe(c *call, message string) error {
	me, err := a.Accounts.Get(c.ctx(), c.Merchant, c.Account)
	if err != nil {
		return err
	}
	var m store.Merchant
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		m, err = store.Get[store.Merchant](tx, c.Merchant)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success  bool       `json:"success"`
		Message  string     `json:"message"`
		Merchant merchantMe `json:"merchant"`
		User     member     `json:"user"`
		Setup    bool       `json:"mfaSetupRequired,omitempty"`
	}{true, message, toMerchantMe(&m), toMember(&me), a.Accounts.SetupDue(&me)})
}

// meFields are what somebody may change about himself, and an owner about the
// merchant.
type meFields struct {
	Firstname    *string `json:"firstname"`
	Lastname     *string `json:"lastname"`
	Phone        *string `json:"phone"`
	BusinessName *string `json:"businessName"`
}

// check trims the fields and says what is wrong with them.
func (f *meFields) check() error {
	bad := web.Fail(http.StatusBadRequest, "a field is not well formed")
	line(bad, "firstname", f.Firstname, 100, true)
	line(bad, "lastname", f.Lastname, 100, true)
	line(bad, "businessName", f.BusinessName, 200, true)
	if f.Phone != nil {
		if issue := phoneIssue(*f.Phone); issue != "" {
			bad.Field("phone", issue)
		}
	}
	if bad.Details != nil {
		return bad
	}
	return nil
}

// changeMe is PUT /merchant/me/: the fields that are sent replace the others. The
// business is the owner's.
func (a *API) changeMe(c *call) error {
	var in meFields
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.BusinessName != nil {
		if err := a.renameMerchant(c, *in.BusinessName); err != nil {
			return err
		}
	}
	_, err := a.Accounts.ChangeProfile(c.ctx(), c.cause(), c.Account, account.Profile{Firstname: in.Firstname, Lastname: in.Lastname, Phone: in.Phone})
	if err != nil {
		return err
	}
	return a.replyMe(c, "Changed.")
}

// changePassword is POST /password/change/: other logins end.
func (a *API) changePassword(c *call) error {
	var in struct {
		Current string `json:"currentPassword"`
		New     string `json:"newPassword"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"currentPassword": in.Current, "newPassword": in.New}); err != nil {
		return err
	}
	if err := a.Accounts.ChangePassword(c.ctx(), c.caller(), c.Principal, in.Current, in.New); err != nil {
		return c.accountProblem(err)
	}
	return c.done("Password changed. Other logins were ended.")
}

// changeEmail is POST /email/change/: a code goes to the new address.
func (a *API) changeEmail(c *call) error {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	emailField(bad, &in.Email)
	if in.Password == "" {
		bad.Field("password", "is required")
	}
	if bad.Details != nil {
		return bad
	}
	if err := a.Accounts.ChangeEmail(c.ctx(), c.caller(), c.Principal, in.Email, in.Password); err != nil {
		return c.accountProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success      bool              `json:"success"`
		Message      string            `json:"message"`
		Verification emailVerification `json:"emailVerification"`
	}{true, "A code goes to the new address. Until it is confirmed, nothing changes.", a.verification()})
}

// confirmEmail is POST /email/change/confirm/, by the code of that mail.
func (a *API) confirmEmail(c *call) error {
	var in struct {
		Code string `json:"code"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := required(map[string]string{"code": in.Code}); err != nil {
		return err
	}
	if err := a.Accounts.ConfirmEmail(c.ctx(), c.caller(), c.Principal, strings.TrimSpace(in.Code)); err != nil {
		return c.accountProblem(err)
	}
	return a.replyMe(c, "E-mail address changed. Sign in with the new one from now on.")
}

// refreshBody is the token in the authorization header, or in the body.
func (c *call) refreshBody() ([]string, error) {
	header := c.r.Header.Values("Authorization")
	if len(header) > 0 || c.r.ContentLength == 0 {
		return header, nil
	}
	var in struct {
		RefreshToken string `json:"refreshToken"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil || in.RefreshToken == "" {
		return nil, errors.Join(err, required(map[string]string{"refreshToken": in.RefreshToken}))
	}
	return []string{in.RefreshToken}, nil
}
