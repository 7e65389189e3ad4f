package client

import (
	"context"
	"encoding/json"
	"time"
)

// Account is somebody who may sign in.
type Account struct {
	AccountID     string    `json:"accountId"`
	MerchantID    string    `json:"merchantId"`
	Firstname     string    `json:"firstname"`
	Lastname      string    `json:"lastname"`
	Email         string    `json:"email"`
	Phone         string    `json:"phone"`
	Role          string    `json:"role"` // owner, administrator, operator, auditor
	Status        string    `json:"status"`
	EmailVerified bool      `json:"emailVerified"`
	SecondFactor  bool      `json:"secondFactor"`
	CreatedAt     time.Time `json:"createdAt"`
	LastLoginAt   time.Time `json:"lastLoginAt"`
}

// Login is a login: tokens, and who has signed in.
type Login struct {
	Success          bool      `json:"success"`
	Message          string    `json:"message"`
	User             Account   `json:"user"`
	AccessToken      string    `json:"accessToken"`
	Token            string    `json:"token"` // the same
	RefreshToken     string    `json:"refreshToken"`
	TokenType        string    `json:"tokenType"`
	ExpiresIn        int       `json:"expiresIn"` // seconds
	ExpiresAt        time.Time `json:"expiresAt"`
	RefreshExpiresIn int       `json:"refreshExpiresIn"` // seconds
	MerchantID       string    `json:"merchantId"`
	MfaSetupRequired bool      `json:"mfaSetupRequired"` // it is good for setting up a second factor first
}

// FactorDue says that a login needs its second step.
type FactorDue struct {
	Success     bool     `json:"success"`
	Message     string   `json:"message"`
	MfaRequired bool     `json:"mfaRequired"`
	Ticket      string   `json:"ticket"`
	Factors     []string `json:"factors"` // totp, passkey, recovery
	ExpiresIn   int      `json:"expiresIn"`
}

// Invitation is one to an account.
type Invitation struct {
	InvitationID string    `json:"invitationId"`
	Email        string    `json:"email"`
	Role         string    `json:"role"`
	CreatedAt    time.Time `json:"createdAt"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

// Login signs in. Where a second step is due, the FactorDue says so, and there are
// no tokens. The client's credential stays as it is.
func (c *Client) Login(ctx context.Context, email, password string) (in Login, due *FactorDue, err error) {
	raw, err := get[json.RawMessage](ctx, c, "login", call{json: map[string]string{"email": email, "password": password}})
	if err != nil {
		return in, nil, err
	}
	var second FactorDue
	if err := json.Unmarshal(raw, &second); err == nil && second.MfaRequired {
		return in, &second, nil
	}
	return in, nil, json.Unmarshal(raw, &in)
}

// RefreshLogin exchanges the refresh token of a login, once, for new tokens.
func (c *Client) RefreshLogin(ctx context.Context, refreshToken string) (AccessToken, error) {
	bare := *c
	bare.Credential = "" // else it would be asked to refresh that
	return get[AccessToken](ctx, &bare, "refreshToken", call{json: map[string]string{"refreshToken": refreshToken}})
}

// Logout ends the login of the client's credential.
func (c *Client) Logout(ctx context.Context) error { return c.done(ctx, "logout", call{}) }

// done is for operations whose answer says no more than that they were.
func (c *Client) done(ctx context.Context, operation string, in call) error {
	return c.do(ctx, operation, in, &struct{}{})
}

// RegisterMerchant registers a merchant; the fields are those of the contract.
func (c *Client) RegisterMerchant(ctx context.Context, fields map[string]string) error {
	return c.done(ctx, "registerMerchant", call{json: fields})
}

// InviteMerchant returns a code with which somebody can register a merchant.
func (c *Client) InviteMerchant(ctx context.Context) (code string, err error) {
	out, err := get[struct{ InviteCode string }](ctx, c, "inviteMerchant", call{})
	return out.InviteCode, err
}

// Me says who is signed in.
func (c *Client) Me(ctx context.Context) (Account, error) { return c.me(ctx, "showMe", call{}) }

// ChangeMe changes fields of one's own account, by their names in the contract.
func (c *Client) ChangeMe(ctx context.Context, fields map[string]string) (Account, error) {
	return c.me(ctx, "changeMe", call{json: fields})
}

func (c *Client) me(ctx context.Context, operation string, in call) (Account, error) {
	out, err := get[struct{ User Account }](ctx, c, operation, in)
	return out.User, err
}

// VerifyEmail takes the six digits of the mail.
func (c *Client) VerifyEmail(ctx context.Context, email, code string) error {
	return c.done(ctx, "verifyEmail", call{json: map[string]string{"email": email, "code": code}})
}

// ResendEmail has another code sent, where one is needed.
func (c *Client) ResendEmail(ctx context.Context, email string) error {
	return c.done(ctx, "resendEmail", call{json: map[string]string{"email": email}})
}

// ChangeEmail has a code sent to another address for one's own account, for
// ConfirmEmail; nothing changes before.
func (c *Client) ChangeEmail(ctx context.Context, email, password string) error {
	return c.done(ctx, "changeEmail", call{json: map[string]string{"email": email, "password": password}})
}

// ConfirmEmail takes the six digits of that mail.
func (c *Client) ConfirmEmail(ctx context.Context, code string) (Account, error) {
	return c.me(ctx, "confirmEmail", call{json: map[string]string{"code": code}})
}

// ForgotPassword has a token sent with which a new password can be set.
func (c *Client) ForgotPassword(ctx context.Context, email string) error {
	return c.done(ctx, "forgotPassword", call{json: map[string]string{"email": email}})
}

// ResetPassword sets a new password by such a token.
func (c *Client) ResetPassword(ctx context.Context, token, password string) error {
	return c.done(ctx, "resetPassword", call{json: map[string]string{"token": token, "password": password}})
}

// ChangePassword changes one's own password; other logins end.
func (c *Client) ChangePassword(ctx context.Context, current, password string) error {
	return c.done(ctx, "changePassword", call{json: map[string]string{"currentPassword": current, "newPassword": password}})
}

// Accounts lists who may sign in.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	out, err := get[struct{ Accounts []Account }](ctx, c, "listAccounts", call{})
	return out.Accounts, err
}

// Account shows one account.
func (c *Client) Account(ctx context.Context, accountID string) (Account, error) {
	return c.account(ctx, "showAccount", call{path: []string{"accountId", accountID}})
}

// ChangeAccount gives an account another role or status; "" leaves it.
func (c *Client) ChangeAccount(ctx context.Context, accountID, role, status string) (Account, error) {
	fields := map[string]string{}
	if role != "" {
		fields["role"] = role
	}
	if status != "" {
		fields["status"] = status
	}
	return c.account(ctx, "changeAccount", call{path: []string{"accountId", accountID}, json: fields})
}

func (c *Client) account(ctx context.Context, operation string, in call) (Account, error) {
	out, err := get[struct{ Account Account }](ctx, c, operation, in)
	return out.Account, err
}

// RemoveAccount removes an account.
func (c *Client) RemoveAccount(ctx context.Context, accountID string) error {
	return c.done(ctx, "removeAccount", call{path: []string{"accountId", accountID}})
}

// Invite invites somebody by mail, or with show returns the token to hand on.
func (c *Client) Invite(ctx context.Context, email, role string, show bool) (in Invitation, token string, err error) {
	out, err := get[struct {
		Invitation Invitation
		Token      string
	}](ctx, c, "inviteMember", call{json: map[string]any{"email": email, "role": role, "show": show}})
	return out.Invitation, out.Token, err
}

// Invitations lists those that can be accepted.
func (c *Client) Invitations(ctx context.Context) ([]Invitation, error) {
	out, err := get[struct{ Invitations []Invitation }](ctx, c, "listInvitations", call{})
	return out.Invitations, err
}

// RevokeInvitation takes one back.
func (c *Client) RevokeInvitation(ctx context.Context, invitationID string) error {
	return c.done(ctx, "revokeInvitation", call{path: []string{"invitationId", invitationID}})
}

// AcceptInvitation makes the account that one was invited to.
func (c *Client) AcceptInvitation(ctx context.Context, token, firstname, lastname, password string) error {
	return c.done(ctx, "acceptInvitation", call{json: map[string]string{"token": token, "firstname": firstname, "lastname": lastname, "password": password}})
}

// Factors are one's own second factors.
type Factors struct {
	Success           bool      `json:"success"`
	TOTP              bool      `json:"totp"`
	Passkeys          []Passkey `json:"passkeys"`
	RecoveryCodesLeft int       `json:"recoveryCodesLeft"`
	Required          bool      `json:"required"`
}

// Passkey is one of them.
type Passkey struct {
	PasskeyID    string    `json:"passkeyId"`
	Name         string    `json:"name"`
	RelyingParty string    `json:"relyingParty"` // the host that it was made for
	CreatedAt    time.Time `json:"createdAt"`
	LastUsedAt   time.Time `json:"lastUsedAt"`
}

// FactorAdded says that a factor counts. The codes come with the first one.
type FactorAdded struct {
	Success       bool     `json:"success"`
	Message       string   `json:"message"`
	Passkey       *Passkey `json:"passkey"`
	RecoveryCodes []string `json:"recoveryCodes"`
}

// LoginCode is the second step of a login, by a code of an authenticator app.
func (c *Client) LoginCode(ctx context.Context, ticket, code string) (Login, error) {
	return get[Login](ctx, c, "loginFactor", call{json: map[string]string{"ticket": ticket, "code": code}})
}

// LoginRecovery is the second step of a login, by a recovery code.
func (c *Client) LoginRecovery(ctx context.Context, ticket, code string) (Login, error) {
	return get[Login](ctx, c, "loginFactor", call{json: map[string]string{"ticket": ticket, "recoveryCode": code}})
}

// LoginPasskey is the second step of a login, by what a browser has signed of
// PasskeyChallenge.
func (c *Client) LoginPasskey(ctx context.Context, ticket string, passkey json.RawMessage) (Login, error) {
	return get[Login](ctx, c, "loginFactor", call{json: map[string]any{"ticket": ticket, "passkey": passkey}})
}

// PasskeyChallenge returns what a browser hands to navigator.credentials.get.
func (c *Client) PasskeyChallenge(ctx context.Context, ticket string) (options json.RawMessage, err error) {
	out, err := get[struct{ Options json.RawMessage }](ctx, c, "loginPasskey", call{json: map[string]string{"ticket": ticket}})
	return out.Options, err
}

// Factors says which second factors one has.
func (c *Client) Factors(ctx context.Context) (Factors, error) {
	return get[Factors](ctx, c, "listFactors", call{})
}

// SetupTOTP returns the secret of a new authenticator app, as it is typed and as a URL
// for a QR code.
func (c *Client) SetupTOTP(ctx context.Context, password string) (secret, url string, err error) {
	out, err := get[struct{ Secret, OtpauthURL string }](ctx, c, "setupTotp", call{json: map[string]string{"password": password}})
	return out.Secret, out.OtpauthURL, err
}

// ConfirmTOTP makes it count.
func (c *Client) ConfirmTOTP(ctx context.Context, code string) (FactorAdded, error) {
	return get[FactorAdded](ctx, c, "confirmTotp", call{json: map[string]string{"code": code}})
}

// PasskeyOptions returns what a browser hands to navigator.credentials.create, and the
// ticket for AddPasskey.
func (c *Client) PasskeyOptions(ctx context.Context, password string) (options json.RawMessage, ticket string, err error) {
	out, err := get[struct {
		Options json.RawMessage
		Ticket  string
	}](ctx, c, "passkeyOptions", call{json: map[string]string{"password": password}})
	return out.Options, out.Ticket, err
}

// AddPasskey makes a passkey count.
func (c *Client) AddPasskey(ctx context.Context, ticket, name string, credential json.RawMessage) (FactorAdded, error) {
	return get[FactorAdded](ctx, c, "addPasskey", call{json: map[string]any{"ticket": ticket, "name": name, "credential": credential}})
}

// NewRecoveryCodes returns ten in the place of those there were.
func (c *Client) NewRecoveryCodes(ctx context.Context, password string) ([]string, error) {
	out, err := get[struct{ RecoveryCodes []string }](ctx, c, "newRecoveryCodes", call{json: map[string]string{"password": password}})
	return out.RecoveryCodes, err
}

// RemoveFactor takes one away: "totp", or a passkey by its id.
func (c *Client) RemoveFactor(ctx context.Context, password, factor string) error {
	return c.done(ctx, "removeFactor", call{json: map[string]string{"password": password, "factor": factor}})
}
