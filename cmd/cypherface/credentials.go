package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

func credentialsCommand() command {
	return command{
		name: "credentials", args: "give|list|revoke|unlock [flags] USER [ID]",
		summary: "PINs, cards and codes: ways in without a face",
		help: `Gives a person a PIN, a card or a code, for those who decline to be recognised or
beside the face; lists, revokes and unlocks them. Only keyed hashes are kept. The PIN
or the number of the card is read from the terminal, so that it is in no history.

  cypherface credentials give 5f0c0ffee0c0ffee0c0ffee0 --type qr --label "badge" --expires 2027-01-01
  echo 270182 | cypherface credentials give 5f0c0ffee0c0ffee0c0ffee0 --type pin
  cypherface credentials list 5f0c0ffee0c0ffee0c0ffee0
  cypherface credentials unlock 5f0c0ffee0c0ffee0c0ffee0 5f0c0ffee0c0ffee0c0ffee1
  cypherface credentials revoke 5f0c0ffee0c0ffee0c0ffee0 5f0c0ffee0c0ffee0c0ffee1
`,
		run: runCredentials,
	}
}

// credential is one as the API shows it.
type credential struct {
	CredentialID string    `json:"credentialId"`
	Type         string    `json:"type"`
	Label        string    `json:"label,omitempty"`
	CreatedAt    time.Time `json:"createdAt"`
	ExpiresAt    time.Time `json:"expiresAt,omitzero"`
	LastUsedAt   time.Time `json:"lastUsedAt,omitzero"`
	LockedUntil  time.Time `json:"lockedUntil,omitzero"`
}

func runCredentials(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := credentialsCommand().flags(t)
	box := addBoxFlags(fs, t)
	kind := fs.String("type", "", "give: pin, card or qr")
	label := fs.String("label", "", "give: your own `word` for it")
	expires := fs.String("expires", "", "give: until this `day` or time (UTC); none: for ever")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	verbs := map[string]int{"give": 2, "list": 2, "revoke": 3, "unlock": 3} // and how many words
	if len(words) == 0 || len(words) != verbs[words[0]] || (words[0] == "give") != (*kind != "") {
		fs.Usage()
		return errUsage
	}
	request := map[string]any{"type": *kind}
	if words[0] == "give" {
		if err := fillCredential(t, request, *label, *expires); err != nil {
			return err
		}
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	base := "/users/" + url.PathEscape(words[1]) + "/credentials/"
	switch words[0] {
	case "give":
		return c.giveCredential(ctx, t, base, request, *asJSON)
	case "list":
		return c.listCredentials(ctx, t, base, *asJSON)
	}
	method, path, done := "DELETE", base+url.PathEscape(words[2]), "revoked"
	if words[0] == "unlock" {
		method, path, done = "POST", path+"/unlock", "unlocked"
	}
	var out struct{ Credential credential }
	if err := c.call(ctx, method, path, nil, &out); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, out.Credential)
	}
	fmt.Fprintf(t.out, "%s  %s\n", done, out.Credential.CredentialID)
	return nil
}

// fillCredential reads what opens, and when it ends.
func fillCredential(t *terminal, request map[string]any, label, expires string) error {
	if label != "" {
		request["label"] = label
	}
	if expires != "" {
		at, err := time.Parse(time.DateOnly, expires)
		if err != nil {
			if at, err = time.Parse(time.RFC3339, expires); err != nil {
				return fmt.Errorf("--expires %s is neither like 2027-01-01 nor like 2027-01-01T12:00:00Z", expires)
			}
		}
		request["expiresAt"] = at
	}
	if request["type"] == "qr" {
		return nil
	}
	fmt.Fprintf(t.err, "%s: ", map[any]string{"pin": "PIN", "card": "number of the card"}[request["type"]])
	line, err := bufio.NewReader(t.in).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return errors.Join(errors.New("nothing was typed"), err)
	}
	request["value"] = line
	return nil
}

func (c *client) giveCredential(ctx context.Context, t *terminal, base string, request map[string]any, asJSON bool) error {
	var out struct {
		Credential credential `json:"credential"`
		Value      string     `json:"value,omitempty"`
	}
	if err := c.call(ctx, "POST", base, request, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out)
	}
	fmt.Fprintf(t.out, "given  %s  %s\n", out.Credential.CredentialID, out.Credential.Type)
	if out.Value == "" {
		return nil
	}
	fmt.Fprintf(t.out, "code   %s\n\nThe code is shown this once.\n\n", out.Value)
	return printQR(t.out, out.Value)
}

func (c *client) listCredentials(ctx context.Context, t *terminal, base string, asJSON bool) error {
	var out struct{ Credentials []credential }
	if err := c.call(ctx, "GET", base, nil, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, out.Credentials)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTYPE\tLABEL\tGIVEN\tEXPIRES\tLAST USED\tLOCKED UNTIL")
	for _, x := range out.Credentials {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.CredentialID, x.Type, x.Label, minute(x.CreatedAt), minute(x.ExpiresAt), minute(x.LastUsedAt), minute(x.LockedUntil))
	}
	return w.Flush()
}
