package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

func keysCommand() command {
	return command{
		name: "keys", args: "list|create|rotate|revoke|login [flags] [ID]",
		summary: "API keys of the box, and a login at it",
		help: `Lists API keys, makes one (shown this once), replaces one by another (both work
for 24 hours, then the new one alone), or revokes one, with all its tokens, at
once. login prints a token of the owner that lasts an hour: with it the API makes
keys too.

  cypherface keys create --name kiosk --scopes match,detect
  cypherface keys rotate 1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff
  cypherface keys revoke 1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff --env production
  TOKEN=$(cypherface keys login)
`,
		run: runKeys,
	}
}

// apiKey is a key as the API lists it.
type apiKey struct {
	KeyID      string    `json:"keyId"`
	Name       string    `json:"name"`
	Last4      string    `json:"last4"`
	Status     string    `json:"status"`
	Role       string    `json:"role"`
	Scopes     []string  `json:"scopes,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt,omitzero"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
}

// newKey is a key that was made.
type newKey struct {
	MerchantID  string   `json:"merchantId"`
	APIKey      string   `json:"apiKey"`
	KeyID       string   `json:"keyId"`
	Environment string   `json:"environment"`
	Role        string   `json:"role"`
	Scopes      []string `json:"scopes,omitempty"`
}

func runKeys(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := keysCommand().flags(t)
	box := addBoxFlags(fs, t)
	name := fs.String("name", "", "create, rotate: `name` of the new key")
	role := fs.String("role", "", "create, rotate: integrator, operator, auditor or device")
	scopes := fs.String("scopes", "", "create, rotate: `permissions` of the new key, with commas; none: all")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	verbs := map[string]int{"list": 1, "create": 1, "login": 1, "rotate": 2, "revoke": 2} // and how many words
	if len(words) == 0 || len(words) != verbs[words[0]] {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	switch words[0] {
	case "list":
		return c.listKeys(ctx, t, *asJSON)
	case "login":
		return c.login(ctx, t, *asJSON)
	case "revoke":
		return c.revokeKey(ctx, t, words[1], *asJSON)
	}
	request := map[string]any{"name": *name, "role": *role}
	if *scopes != "" {
		request["scopes"] = strings.Split(*scopes, ",")
	}
	if words[0] == "rotate" {
		request["rotate"] = words[1]
	}
	return c.createKey(ctx, t, request, *asJSON)
}

func (c *client) listKeys(ctx context.Context, t *terminal, asJSON bool) error {
	var out struct{ Keys []apiKey }
	if err := c.call(ctx, "GET", "/merchant-api-key/", nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out.Keys)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tENDS WITH\tSTATUS\tMAY\tLAST USED")
	for _, k := range out.Keys {
		may, used := k.Role, "-"
		if len(k.Scopes) > 0 {
			may = strings.Join(k.Scopes, ",")
		}
		if !k.LastUsedAt.IsZero() {
			used = k.LastUsedAt.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Name, k.Last4, k.Status, may, used)
	}
	return w.Flush()
}

func (c *client) createKey(ctx context.Context, t *terminal, request map[string]any, asJSON bool) error {
	var made newKey
	if err := c.call(ctx, "POST", "/merchant-api-key/", request, &made); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, made)
	}
	fmt.Fprintf(t.out, "merchantId  %s\napiKey      %s\nkeyId       %s\n\nThe key is shown this once.", made.MerchantID, made.APIKey, made.KeyID)
	if request["rotate"] != nil {
		fmt.Fprint(t.out, " The one that it replaces works for another 24 hours.")
	}
	fmt.Fprintln(t.out)
	return nil
}

func (c *client) revokeKey(ctx context.Context, t *terminal, id string, asJSON bool) error {
	if err := c.call(ctx, "DELETE", "/merchant-api-key/"+url.PathEscape(id), nil, &struct{}{}); err != nil {
		return fmt.Errorf("revoke %s: %w", id, err)
	}
	if asJSON {
		return printJSON(t.out, map[string]string{"revoked": id})
	}
	fmt.Fprintf(t.out, "revoked  %s\n", id)
	return nil
}

func (c *client) login(ctx context.Context, t *terminal, asJSON bool) error {
	var out struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	if err := c.call(ctx, "POST", "/control/login", nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out)
	}
	fmt.Fprintln(t.out, out.Token)
	return nil
}
