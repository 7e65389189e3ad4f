package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

func accountsCommand() command {
	return command{
		name: "accounts", args: "list|create|invite|invitations|revoke|password|role|suspend|resume|remove|totp|reset-factor|unlock|merchants|merchant [flags] [ADDRESS] [ROLE]",
		summary: "who may sign in to the box, and as what",
		help: `list          who may sign in
create        makes an account at once: the first owner of a box above all. Its password
              is made and shown this once, or with --ask read from standard input
invite        invites somebody by mail, or with --show prints the invitation; with
              --merchant prints a code for registering a merchant of one's own
invitations   those that can be accepted; revoke takes one back
password      sets a password, as create does, and ends all logins
role          owner, administrator, operator or auditor; all logins end
suspend       nobody signs in any more; resume lets him again
remove        the account goes, with its logins, factors and codes
totp          sets up an authenticator app: shows a QR code and asks for a code of it
reset-factor  takes all second factors away, for somebody who has lost them
unlock        forgets all failed logins, of everybody
merchants     those of the box; merchant ID suspended lets nobody of one in any more, and
              merchant ID active does again

An account is named by its e-mail address or its id. A last owner stays.

  cypherface accounts create ada@example.org --name "Ada Lovelace" --role owner
  cypherface accounts totp ada@example.org
  cypherface accounts invite grace@example.org --role operator
  cypherface accounts role grace@example.org auditor
  cypherface accounts password ada@example.org --ask < password.txt
  cypherface accounts reset-factor ada@example.org --env production
`,
		run: runAccounts,
	}
}

// accountOf is an account as the API shows it.
type accountOf struct {
	AccountID   string    `json:"accountId"`
	Firstname   string    `json:"firstname"`
	Lastname    string    `json:"lastname"`
	Email       string    `json:"email"`
	Role        string    `json:"role"`
	Status      string    `json:"status"`
	Verified    bool      `json:"emailVerified"`
	Factor      bool      `json:"secondFactor"`
	CreatedAt   time.Time `json:"createdAt"`
	LastLoginAt time.Time `json:"lastLoginAt,omitzero"`
}

type invitationOf struct {
	InvitationID string    `json:"invitationId"`
	Email        string    `json:"email"`
	Role         string    `json:"role"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

// accountsFlags are those of the command, with the box that it reached.
type accountsFlags struct {
	*client
	t              *terminal
	asJSON         bool
	name, role     string
	ask, show, new bool
}

// accountVerbs are the words of the command, with how many follow each.
var accountVerbs = map[string]struct {
	words int
	run   func(*accountsFlags, context.Context, []string) error
}{
	"list":         {0, (*accountsFlags).list},
	"create":       {1, (*accountsFlags).create},
	"invite":       {1, (*accountsFlags).invite},
	"invitations":  {0, (*accountsFlags).invitations},
	"revoke":       {1, (*accountsFlags).revoke},
	"password":     {1, (*accountsFlags).password},
	"role":         {2, (*accountsFlags).changeRole},
	"suspend":      {1, (*accountsFlags).suspend},
	"resume":       {1, (*accountsFlags).resume},
	"remove":       {1, (*accountsFlags).remove},
	"totp":         {1, (*accountsFlags).totp},
	"reset-factor": {1, (*accountsFlags).resetFactor},
	"unlock":       {0, (*accountsFlags).unlock},
	"merchants":    {0, (*accountsFlags).merchants},
	"merchant":     {2, (*accountsFlags).changeMerchant},
}

func runAccounts(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := accountsCommand().flags(t)
	box := addBoxFlags(fs, t)
	f := &accountsFlags{t: t}
	fs.StringVar(&f.name, "name", "", "create: first and last `name`")
	fs.StringVar(&f.role, "role", "", "create, invite: owner, administrator, operator or auditor")
	fs.BoolVar(&f.ask, "ask", false, "create, password: read the password from standard input, without an echo")
	fs.BoolVar(&f.show, "show", false, "invite: print the invitation, send no mail")
	fs.BoolVar(&f.new, "merchant", false, "invite: a code for registering a merchant; takes no address")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if f.new && len(words) == 1 && words[0] == "invite" {
		words = append(words, "")
	}
	if len(words) == 0 || accountVerbs[words[0]].run == nil || accountVerbs[words[0]].words != len(words)-1 {
		fs.Usage()
		return errUsage
	}
	f.asJSON = *asJSON
	if f.client, err = box.connect(ctx, t, false); err != nil {
		return err
	}
	defer f.Close()
	return accountVerbs[words[0]].run(f, ctx, words[1:])
}

// done says in a line what was done, or with --json in one object.
func (f *accountsFlags) done(what, whom string) error {
	if f.asJSON {
		return printJSON(f.t.out, map[string]string{what: whom})
	}
	fmt.Fprintf(f.t.out, "%s  %s\n", what, whom)
	return nil
}

func (f *accountsFlags) all(ctx context.Context) ([]accountOf, error) {
	var out struct{ Accounts []accountOf }
	err := f.call(ctx, "GET", "/accounts/", nil, &out)
	return out.Accounts, err
}

// find is the path of the account that is named by address or id.
func (f *accountsFlags) find(ctx context.Context, who string) (path string, err error) {
	if strings.Contains(who, "@") {
		all, err := f.all(ctx)
		if err != nil {
			return "", err
		}
		for _, a := range all {
			if strings.EqualFold(a.Email, who) {
				return "/accounts/" + a.AccountID, nil
			}
		}
		return "", fmt.Errorf("find account: nobody with the address %s (cypherface accounts list)", who)
	}
	return "/accounts/" + url.PathEscape(who), nil
}

func (f *accountsFlags) list(ctx context.Context, _ []string) error {
	all, err := f.all(ctx)
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(f.t.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(f.t.err, "nobody may sign in yet (cypherface accounts create makes the first owner)")
		return nil
	}
	w := tabwriter.NewWriter(f.t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tE-MAIL\tNAME\tROLE\tSTATUS\tSECOND FACTOR\tLAST LOGIN")
	for _, a := range all {
		status, factor, last := a.Status, "-", "-"
		if !a.Verified {
			status = "not verified"
		}
		if a.Factor {
			factor = "yes"
		}
		if !a.LastLoginAt.IsZero() {
			last = a.LastLoginAt.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.AccountID, a.Email, strings.TrimSpace(a.Firstname+" "+a.Lastname), a.Role, status, factor, last)
	}
	return w.Flush()
}

// newPassword is one that was asked for, or made.
func (f *accountsFlags) newPassword() (password string, made bool, err error) {
	if f.ask {
		password, err = readPassword(f.t)
		return password, false, err
	}
	text := strings.ToLower(rand.Text()) // 130 bits
	return strings.Join([]string{text[:6], text[6:12], text[12:18], text[18:]}, "-"), true, nil
}

func (f *accountsFlags) create(ctx context.Context, words []string) error {
	password, made, err := f.newPassword()
	if err != nil {
		return err
	}
	first, last := f.name, ""
	if i := strings.LastIndexByte(f.name, ' '); i >= 0 {
		first, last = f.name[:i], f.name[i+1:]
	}
	var out struct{ Account accountOf }
	body := map[string]string{"email": words[0], "firstname": first, "lastname": last, "role": f.role, "password": password}
	if err := f.call(ctx, "POST", "/control/accounts", body, &out); err != nil {
		return err
	}
	return f.showPassword(&out.Account, "made", password, made)
}

// showPassword says whose password is which, this once.
func (f *accountsFlags) showPassword(a *accountOf, what, password string, made bool) error {
	if !made {
		password = ""
	}
	if f.asJSON {
		return printJSON(f.t.out, struct {
			*accountOf
			Password string `json:"password,omitempty"`
		}{a, password})
	}
	fmt.Fprintf(f.t.out, "%s  %s  %s\n", what, a.AccountID, a.Email)
	if made {
		fmt.Fprintf(f.t.out, "\npassword  %s\n\nIt is shown this once.\n", password)
	}
	return nil
}

func (f *accountsFlags) password(ctx context.Context, words []string) error {
	path, err := f.find(ctx, words[0])
	if err != nil {
		return err
	}
	password, made, err := f.newPassword()
	if err != nil {
		return err
	}
	if err := f.call(ctx, "PUT", "/control"+path+"/password", map[string]string{"password": password}, &struct{}{}); err != nil {
		return err
	}
	return f.showPassword(&accountOf{AccountID: strings.TrimPrefix(path, "/accounts/"), Email: words[0]}, "set", password, made)
}

func (f *accountsFlags) invite(ctx context.Context, words []string) error {
	if f.new {
		var out struct {
			InviteCode string    `json:"inviteCode"`
			ExpiresAt  time.Time `json:"expiresAt"`
		}
		if err := f.call(ctx, "POST", "/merchant/invite/", nil, &out); err != nil {
			return err
		}
		if f.asJSON {
			return printJSON(f.t.out, out)
		}
		fmt.Fprintf(f.t.out, "inviteCode  %s\n\nIt is shown this once, good once, until %s.\n", out.InviteCode, out.ExpiresAt.Local().Format("2006-01-02 15:04"))
		return nil
	}
	var out struct {
		Invitation invitationOf `json:"invitation"`
		Sent       bool         `json:"sent"`
		Token      string       `json:"token,omitempty"`
	}
	if err := f.call(ctx, "POST", "/accounts/invitations/", map[string]any{"email": words[0], "role": f.role, "show": f.show}, &out); err != nil {
		return err
	}
	switch {
	case f.asJSON:
		return printJSON(f.t.out, out)
	case out.Token != "":
		fmt.Fprintf(f.t.out, "invited  %s\n\ntoken  %s\n\nIt is shown this once, good once, until %s.\n", out.Invitation.Email, out.Token, out.Invitation.ExpiresAt.Local().Format("2006-01-02 15:04"))
	case out.Sent:
		fmt.Fprintf(f.t.out, "invited  %s, by mail\n", out.Invitation.Email)
	default:
		fmt.Fprintf(f.t.out, "invited  %s; no mail relay is set: cypherface mail codes shows the invitation\n", out.Invitation.Email)
	}
	return nil
}

func (f *accountsFlags) invitations(ctx context.Context, _ []string) error {
	var out struct{ Invitations []invitationOf }
	if err := f.call(ctx, "GET", "/accounts/invitations/", nil, &out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(f.t.out, out.Invitations)
	}
	w := tabwriter.NewWriter(f.t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tE-MAIL\tROLE\tGOOD UNTIL")
	for _, i := range out.Invitations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.InvitationID, i.Email, i.Role, i.ExpiresAt.Local().Format("2006-01-02 15:04"))
	}
	return w.Flush()
}

func (f *accountsFlags) revoke(ctx context.Context, words []string) error {
	if err := f.call(ctx, "DELETE", "/accounts/invitations/"+url.PathEscape(words[0]), nil, &struct{}{}); err != nil {
		return err
	}
	return f.done("revoked", words[0])
}

// change sends a request about an account, and says what was done.
func (f *accountsFlags) change(ctx context.Context, who, method, prefix, suffix, what string, body any) error {
	path, err := f.find(ctx, who)
	if err != nil {
		return err
	}
	if err := f.call(ctx, method, prefix+path+suffix, body, &struct{}{}); err != nil {
		return err
	}
	return f.done(what, who)
}

func (f *accountsFlags) changeRole(ctx context.Context, words []string) error {
	return f.change(ctx, words[0], "PUT", "", "", words[1], map[string]string{"role": words[1]})
}

func (f *accountsFlags) suspend(ctx context.Context, words []string) error {
	return f.change(ctx, words[0], "PUT", "", "", "suspended", map[string]string{"status": "suspended"})
}

func (f *accountsFlags) resume(ctx context.Context, words []string) error {
	return f.change(ctx, words[0], "PUT", "", "", "active", map[string]string{"status": "active"})
}

func (f *accountsFlags) remove(ctx context.Context, words []string) error {
	return f.change(ctx, words[0], "DELETE", "", "", "removed", nil)
}

func (f *accountsFlags) resetFactor(ctx context.Context, words []string) error {
	return f.change(ctx, words[0], "DELETE", "/control", "/factor", "reset", nil)
}

func (f *accountsFlags) unlock(ctx context.Context, _ []string) error {
	var out struct {
		Removed int `json:"removed"`
	}
	if err := f.call(ctx, "POST", "/control/accounts/unlock", nil, &out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(f.t.out, out)
	}
	fmt.Fprintf(f.t.out, "forgotten: %d counts of failed logins\n", out.Removed)
	return nil
}

func (f *accountsFlags) merchants(ctx context.Context, _ []string) error {
	var out struct {
		Merchants []struct {
			MerchantID   string    `json:"merchantId"`
			BusinessName string    `json:"businessName"`
			Status       string    `json:"status"`
			CreatedAt    time.Time `json:"createdAt"`
		}
	}
	if err := f.call(ctx, "GET", "/control/merchants", nil, &out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(f.t.out, out.Merchants)
	}
	w := tabwriter.NewWriter(f.t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATUS\tSINCE")
	for _, m := range out.Merchants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.MerchantID, m.BusinessName, m.Status, m.CreatedAt.Local().Format("2006-01-02"))
	}
	return w.Flush()
}

func (f *accountsFlags) changeMerchant(ctx context.Context, words []string) error {
	if err := f.call(ctx, "PUT", "/control/merchants/"+url.PathEscape(words[0]), map[string]string{"status": words[1]}, &struct{}{}); err != nil {
		return err
	}
	return f.done(words[1], words[0])
}

// totp shows the secret of a new authenticator app, and asks for a code of it.
func (f *accountsFlags) totp(ctx context.Context, words []string) error {
	path, err := f.find(ctx, words[0])
	if err != nil {
		return err
	}
	var setup struct{ Secret, OtpauthURL string }
	if err := f.call(ctx, "POST", "/control"+path+"/totp", nil, &setup); err != nil {
		return err
	}
	if err := printQR(f.t.err, setup.OtpauthURL); err != nil {
		return err
	}
	fmt.Fprintf(f.t.err, "\nsecret  %s\n%s\n\nA code of the app, to confirm it: ", setup.Secret, setup.OtpauthURL)
	code, err := bufio.NewReader(io.LimitReader(f.t.in, 100)).ReadString('\n')
	if err != nil && code == "" {
		return fmt.Errorf("read a code from standard input: %w (the app does not count yet)", err)
	}
	var out struct {
		RecoveryCodes []string `json:"recoveryCodes"`
	}
	if err := f.call(ctx, "POST", "/control"+path+"/totp/confirm", map[string]string{"code": strings.TrimSpace(code)}, &out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(f.t.out, out)
	}
	fmt.Fprintf(f.t.out, "The app counts from now on.\n")
	if len(out.RecoveryCodes) > 0 {
		fmt.Fprintf(f.t.out, "\nRecovery codes, shown this once, each good once in its place:\n\n  %s\n", strings.Join(out.RecoveryCodes, "\n  "))
	}
	return nil
}
