package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/cypherface/edge/internal/rights"
)

func consentCommand() command {
	return command{
		name: "consent", args: "publish|texts|text|retire|remove|give|list|withdraw|require [flags] [ARGUMENT]",
		summary: "what people agree to, and who did",
		help: `Keeps the texts that people agree to, records who agreed, and takes it back. A text
is never changed: another wording is another version. Production enrols only who
agreed, unless the policy says otherwise; the sandbox the other way round.

  cypherface consent publish --version 2026-1 --language en consent.txt
  cypherface consent texts
  cypherface consent text 5f0c0ffee0c0ffee0c0ffee0
  cypherface consent give 5f0c0ffee0c0ffee0c0ffee1                     to the current text
  cypherface consent give 5f0c0ffee0c0ffee0c0ffee1 --version 2026-1 --language en --through kiosk
  cypherface consent list 5f0c0ffee0c0ffee0c0ffee1
  cypherface consent withdraw 5f0c0ffee0c0ffee0c0ffee1 --keep          the face goes, the person stays
  cypherface consent withdraw 5f0c0ffee0c0ffee0c0ffee1 --erase --receipt gone.receipt
  cypherface consent require                                           shows the policy
  cypherface consent require on

docs/templates has a text to begin with.
`,
		run: runConsent,
	}
}

// consentText is a text as the API shows it.
type consentText struct {
	TextID    string    `json:"textId"`
	Version   string    `json:"version"`
	Language  string    `json:"language"`
	Text      string    `json:"text,omitempty"`
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"createdAt"`
	RetiredAt time.Time `json:"retiredAt,omitzero"`
}

// consent is what a person agreed to, as the API shows it.
type consent struct {
	ConsentID        string    `json:"consentId"`
	Valid            bool      `json:"valid"`
	TextID           string    `json:"textId,omitempty"`
	Version          string    `json:"version,omitempty"`
	Language         string    `json:"language,omitempty"`
	SHA256           string    `json:"sha256,omitempty"`
	GivenAt          time.Time `json:"givenAt,omitzero"`
	Through          string    `json:"through,omitempty"`
	WithdrawnAt      time.Time `json:"withdrawnAt,omitzero"`
	WithdrawnThrough string    `json:"withdrawnThrough,omitempty"`
}

type consentFlags struct {
	boxFlags
	asJSON                                      *bool
	version, language, text, through, receiptTo *string
	keep, erase                                 *bool
}

func runConsent(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := consentCommand().flags(t)
	f := consentFlags{
		boxFlags: addBoxFlags(fs, t), asJSON: asJSON,
		version:   fs.String("version", "", "publish, give: `version` of the text, in your own words"),
		language:  fs.String("language", "", "publish, give: `language` of the text: en, de-AT"),
		text:      fs.String("text", "", "give: `id` of the text, in place of version and language"),
		through:   fs.String("through", "", "give, withdraw: operator, kiosk or api; none: operator"),
		keep:      fs.Bool("keep", false, "withdraw: the person stays, without a face"),
		erase:     fs.Bool("erase", false, "withdraw: the person is erased whole"),
		receiptTo: fs.String("receipt", "", "withdraw: `file` for the receipt of what was erased"),
	}
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if !f.complete(words) {
		fs.Usage()
		return errUsage
	}
	return f.do(ctx, t, words)
}

// complete says whether the words and flags go together.
func (f *consentFlags) complete(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "publish":
		return len(words) == 2 && *f.version != "" && *f.language != ""
	case "texts":
		return len(words) == 1
	case "text", "retire", "remove", "list":
		return len(words) == 2
	case "give":
		return len(words) == 2 && (*f.text == "" || *f.version == "")
	case "withdraw":
		return len(words) == 2 && *f.keep != *f.erase
	case "require":
		return len(words) == 1 || len(words) == 2 && (words[1] == "on" || words[1] == "off")
	}
	return false
}

func (f *consentFlags) do(ctx context.Context, t *terminal, words []string) error {
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	switch words[0] {
	case "publish":
		return f.publish(ctx, t, c, words[1])
	case "texts":
		return f.texts(ctx, t, c)
	case "text":
		return f.oneText(ctx, t, c, "GET", "/consent-texts/"+url.PathEscape(words[1]))
	case "retire":
		return f.oneText(ctx, t, c, "POST", "/consent-texts/"+url.PathEscape(words[1])+"/retire")
	case "remove":
		if err := c.call(ctx, "DELETE", "/consent-texts/"+url.PathEscape(words[1]), nil, &struct{}{}); err != nil {
			return err
		}
		return f.say(t, map[string]string{"removed": words[1]}, "removed  %s\n", words[1])
	case "give":
		return f.give(ctx, t, c, words[1])
	case "list":
		return f.list(ctx, t, c, words[1])
	case "withdraw":
		return f.withdraw(ctx, t, c, words[1])
	}
	return f.require(ctx, t, c, words[1:])
}

// say prints v as JSON, or the line.
func (f *consentFlags) say(t *terminal, v any, format string, args ...any) error {
	if *f.asJSON {
		return printJSON(t.out, v)
	}
	_, err := fmt.Fprintf(t.out, format, args...)
	return err
}

func (f *consentFlags) publish(ctx context.Context, t *terminal, c *client, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, rights.MaxText+1))
	if err != nil {
		return err
	}
	var out struct{ ConsentText consentText }
	if err := c.call(ctx, "POST", "/consent-texts/", map[string]string{"version": *f.version, "language": *f.language, "text": string(b)}, &out); err != nil {
		return err
	}
	return f.say(t, out.ConsentText, "published  %s  version %s, %s, SHA-256 %s\n", out.ConsentText.TextID, out.ConsentText.Version, out.ConsentText.Language, out.ConsentText.SHA256)
}

func (f *consentFlags) texts(ctx context.Context, t *terminal, c *client) error {
	all := []consentText{}
	for cursor := ""; ; {
		var page struct {
			ConsentTexts []consentText
			NextCursor   string
		}
		if err := c.call(ctx, "GET", "/consent-texts/?"+query(map[string]string{"limit": "100", "cursor": cursor}).Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.ConsentTexts...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if *f.asJSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tVERSION\tLANGUAGE\tSINCE\tRETIRED\tSHA-256")
	for _, x := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.16s…\n", x.TextID, x.Version, x.Language, minute(x.CreatedAt), minute(x.RetiredAt), x.SHA256)
	}
	return w.Flush()
}

// minute is a time for a table, - where there is none.
func minute(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04")
}

func (f *consentFlags) oneText(ctx context.Context, t *terminal, c *client, method, path string) error {
	var out struct{ ConsentText consentText }
	if err := c.call(ctx, method, path, nil, &out); err != nil {
		return err
	}
	if method == "POST" {
		return f.say(t, out.ConsentText, "retired  %s  version %s, %s\n", out.ConsentText.TextID, out.ConsentText.Version, out.ConsentText.Language)
	}
	return f.say(t, out.ConsentText, "%s\n", out.ConsentText.Text)
}

func (f *consentFlags) give(ctx context.Context, t *terminal, c *client, user string) error {
	given, err := c.giveConsent(ctx, user, *f.text, *f.version, *f.language, *f.through)
	if err != nil {
		return err
	}
	return f.say(t, given, "recorded  %s  version %s, %s\n", given.ConsentID, given.Version, given.Language)
}

// giveConsent records that a person agreed to a text: that of an id, of a version,
// or where neither is named the current one.
func (c *client) giveConsent(ctx context.Context, user, text, version, language, through string) (consent, error) {
	if text == "" && (version == "" || language == "") {
		found, err := c.textFor(ctx, version, language)
		if err != nil {
			return consent{}, err
		}
		text, version = found, ""
	}
	body := map[string]string{}
	for name, v := range map[string]string{"textId": text, "version": version, "through": through} {
		if v != "" {
			body[name] = v
		}
	}
	if version != "" {
		body["language"] = language
	}
	var out struct{ Consent consent }
	err := c.call(ctx, "POST", "/users/"+url.PathEscape(user)+"/consents/", body, &out)
	return out.Consent, err
}

// textFor finds the current text of a language; a version without a language is
// not enough to name one.
func (c *client) textFor(ctx context.Context, version, language string) (string, error) {
	if version != "" {
		return "", errors.New("a version goes with its language: --language")
	}
	var out struct{ ConsentText consentText }
	err := c.call(ctx, "GET", "/consent-texts/current/?"+query(map[string]string{"language": language}).Encode(), nil, &out)
	var r *refused
	if errors.As(err, &r) && r.status == 404 {
		return "", errors.New("there is no text to agree to (cypherface consent publish makes one)")
	}
	return out.ConsentText.TextID, err
}

func (f *consentFlags) list(ctx context.Context, t *terminal, c *client, user string) error {
	var out struct {
		MayEnrol bool      `json:"mayEnrol"`
		Consents []consent `json:"consents"`
	}
	if err := c.call(ctx, "GET", "/users/"+url.PathEscape(user)+"/consents/", nil, &out); err != nil {
		return err
	}
	if *f.asJSON {
		return printJSON(t.out, out)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tVERSION\tLANGUAGE\tGIVEN\tTHROUGH\tTAKEN BACK")
	for _, x := range out.Consents {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.ConsentID, x.Version, x.Language, minute(x.GivenAt), x.Through, minute(x.WithdrawnAt))
	}
	if !out.MayEnrol {
		fmt.Fprintln(t.err, "may not be enrolled (cypherface consent give records a consent)")
	}
	return w.Flush()
}

func (f *consentFlags) withdraw(ctx context.Context, t *terminal, c *client, user string) error {
	body := map[string]any{"keepUser": *f.keep}
	if *f.through != "" {
		body["through"] = *f.through
	}
	var out struct {
		UserID    string `json:"userId"`
		UserKept  bool   `json:"userKept"`
		ErasureID string `json:"erasureId"`
	}
	if err := c.call(ctx, "POST", "/users/"+url.PathEscape(user)+"/consents/withdraw/", body, &out); err != nil {
		return err
	}
	if *f.receiptTo != "" {
		if err := c.saveReceipt(ctx, t, out.ErasureID, *f.receiptTo); err != nil {
			return fmt.Errorf("withdrawn, and no receipt was written: %w (cypherface audit receipt %s --out FILE)", err, out.ErasureID)
		}
	}
	return f.say(t, out, "withdrawn  %s  receipt %s\n", out.UserID, out.ErasureID)
}

// receipt fetches a receipt, as its bytes came.
func (c *client) receipt(ctx context.Context, id string) (json.RawMessage, error) {
	var out struct{ Receipt json.RawMessage }
	err := c.call(ctx, "GET", "/erasures/"+url.PathEscape(id)+"/", nil, &out)
	return out.Receipt, err
}

func (c *client) saveReceipt(ctx context.Context, t *terminal, id, path string) error {
	raw, err := c.receipt(ctx, id)
	if err != nil {
		return err
	}
	return writeWhole(t, path, func(w io.Writer) error { return printJSON(w, raw) })
}

func (f *consentFlags) require(ctx context.Context, t *terminal, c *client, words []string) error {
	method, body := "GET", any(nil)
	if len(words) > 0 {
		method, body = "PUT", map[string]bool{"requireConsent": words[0] == "on"}
	}
	var out struct {
		Policy struct {
			RequireConsent bool `json:"requireConsent"`
		}
	}
	if err := c.call(ctx, method, "/merchant/policy/", body, &out); err != nil {
		return err
	}
	does := "only who agreed is enrolled"
	if !out.Policy.RequireConsent {
		does = "enrolment asks for no consent"
	}
	return f.say(t, out.Policy, "%s: %s\n", *f.env, does)
}
