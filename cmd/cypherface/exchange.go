package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/internal/api"
)

func exportCommand() command {
	return command{
		name: "export", args: "--to KEY --out FILE [flags]",
		summary: "take all people to another box, in one sealed file",
		help: `Writes who they are, the crops of their faces and their templates, sealed to the
other box and signed by this one; no passwords, grants or history. KEY is a file
with what cypherface import --key prints on the other box.

  cypherface export --to other.key --out people.cfx
`,
		run: runExport,
	}
}

func runExport(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := exportCommand().flags(t)
	box := addBoxFlags(fs, t)
	to := fs.String("to", "", "`file` with the key of the other box")
	out := fs.String("out", "", "`file` to write, which must not be there")
	rest, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *to == "" || *out == "" {
		fs.Usage()
		return errUsage
	}
	key, err := os.ReadFile(*to)
	if err != nil {
		return err
	}
	c, err := box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var own struct {
		Signer string `json:"signer"`
	}
	if err := c.call(ctx, "GET", "/exchange/key/", nil, &own); err != nil {
		return err
	}
	bytes, err := c.exportTo(ctx, t, string(key), *out)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, struct {
			File   string `json:"file"`
			Bytes  int64  `json:"bytes"`
			Signer string `json:"signer"`
		}{*out, bytes, own.Signer})
	}
	fmt.Fprintf(t.out, "exported  %s, %.1f MB\nsigned by %s\n", *out, float64(bytes)/1e6, own.Signer)
	return nil
}

// exportTo writes the file whole or not at all.
func (c *client) exportTo(ctx context.Context, t *terminal, key, path string) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("export to %s: it is there already", path)
	}
	body, err := c.send(ctx, "POST", "/exchange/export/", map[string]string{"recipient": key})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	w, err := os.CreateTemp(filepath.Dir(path), ".cypherface-export-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(w.Name())
	p := newProgress(t.err, "writing, MiB")
	n, err = io.Copy(&told{w: w, p: p}, body)
	p.end()
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err == nil {
		err = os.Link(w.Name(), path)
	}
	return n, err
}

func importCommand() command {
	return command{
		name: "import", args: "FILE [flags] | --key",
		summary: "take in people whom another box exported",
		help: `Prints with --key what the other box seals people to for this one. The file is
checked whole, with its signature, before anybody is taken in; --from names the box
that must have signed it, by what export printed there. Then the people come in one
after the other, through a restart of the box too. Who was erased on this box does
not come back. Whose templates are of another pack is embedded anew from the crops.

Who is known already, by id, externalId or e-mail address, is left as he is;
--existing update makes him what the file says, --existing new takes him in as
somebody else, without externalId and e-mail address.

  cypherface import --key > this.key
  cypherface import people.cfx --check
  cypherface import people.cfx --from d69b-25e3-22ed-4d7a-fcf5-06e2-d513-8661
`,
		run: runImport,
	}
}

func runImport(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := importCommand().flags(t)
	box := addBoxFlags(fs, t)
	key := fs.Bool("key", false, "print the key that the other box seals to")
	check := fs.Bool("check", false, "say what would be, and take in nobody")
	existing := fs.String("existing", "skip", "what becomes of who is known already: skip, update or new")
	from := fs.String("from", "", "`fingerprint` of the box that must have signed it")
	files, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if *key != (len(files) == 0) || len(files) > 1 {
		fs.Usage()
		return errUsage
	}
	c, err := box.connect(ctx, t, !*key)
	if err != nil {
		return err
	}
	defer c.Close()
	if *key {
		return c.printExchangeKey(ctx, t, *asJSON)
	}
	f, err := os.Open(files[0])
	if err != nil {
		return err
	}
	defer f.Close()
	var out struct{ Bulk api.BulkJob }
	query := fmt.Sprintf("?existing=%s&check=%v", url.QueryEscape(*existing), *check)
	if *from != "" {
		query += "&from=" + url.QueryEscape(*from)
	}
	if err := c.call(ctx, "POST", "/exchange/import/"+query, upload{f, "application/octet-stream"}, &out); err != nil {
		return err
	}
	return c.followBulk(ctx, t, out.Bulk, "", *asJSON)
}

func (c *client) printExchangeKey(ctx context.Context, t *terminal, asJSON bool) error {
	var k struct {
		Recipient   string `json:"recipient"`
		Fingerprint string `json:"fingerprint"`
		Signer      string `json:"signer"`
	}
	if err := c.call(ctx, "GET", "/exchange/key/", nil, &k); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, k)
	}
	fmt.Fprint(t.out, k.Recipient)
	fmt.Fprintf(t.err, "fingerprint %s; exports of this box are signed by %s\n", k.Fingerprint, k.Signer)
	return nil
}
