package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/store/seal"
)

func exportCommand() command {
	return command{
		name: "export", args: "--to KEY --out FILE [flags]",
		summary: "take all people to another box, in one sealed file",
		help: `Writes who they are, the crops of their faces and their templates, sealed to the
other box and signed by this one; no passwords, grants or history. KEY is a file
with what cypherface import --key prints on the other box.

Where the box restarts meanwhile it goes on by itself; where the command was ended,
the same command goes on with what has come, within a day.

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
	if c.close != nil { // in this process there is nothing that could be cut
		return c.streamExport(ctx, t, key, path)
	}
	n, err = c.fetchExport(ctx, t, key, path)
	if errors.Is(err, errNoRoom) {
		return c.streamExport(ctx, t, key, path)
	}
	return n, err
}

// errNoRoom: the box has no room to keep an export.
var errNoRoom = errors.New("the box has no room for the export")

// streamExport writes an export as the box makes it.
func (c *client) streamExport(ctx context.Context, t *terminal, key, path string) (n int64, err error) {
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

// How often an export that was cut is gone on with while nothing more of it comes, and
// after which pause.
const (
	resumeTries = 60
	resumePause = 500 * time.Millisecond
)

// fetchExport has the box keep the export, and fetches it, through cuts of the
// connection and restarts of the box. What has come when it gives up, or is ended,
// stays in a file beside path, which another call with the same key goes on with.
func (c *client) fetchExport(ctx context.Context, t *terminal, key, path string) (int64, error) {
	to, err := seal.ParseRecipient([]byte(key))
	if err != nil {
		return 0, fmt.Errorf("read the key of the other box: %w", err)
	}
	f := &fetching{client: c, prefix: filepath.Base(path) + "." + to.Fingerprint() + ".", dir: filepath.Dir(path)}
	if err := f.find(); err != nil {
		return 0, err
	}
	f.progress = newProgress(t.err, "writing, MiB")
	defer f.progress.end()
	for tries := 0; ; tries++ {
		if f.id == "" {
			if err := f.begin(ctx, key); err != nil {
				return 0, err
			}
		}
		more, err := f.rest(ctx)
		if err == nil {
			break
		}
		var r *refused
		var disk *fs.PathError // here, where another try has no other end
		switch {
		case errors.As(err, &r) && r.status == http.StatusNotFound && tries < resumeTries:
			if err := f.forget(); err != nil { // it is gone: anew
				return 0, err
			}
			continue
		case errors.As(err, &r) && r.status < 500, errors.As(err, &disk):
			return 0, err
		case more:
			tries = 0
		}
		if tries >= resumeTries || ctx.Err() != nil {
			return 0, fmt.Errorf("fetch export: %w (%s has what came; the same command goes on with it)", err, f.part())
		}
		select {
		case <-ctx.Done():
		case <-time.After(resumePause):
		}
	}
	st, err := os.Stat(f.part())
	if err == nil {
		err = os.Link(f.part(), path)
	}
	if err != nil {
		return 0, err
	}
	_ = c.call(ctx, "DELETE", "/exchange/export/"+f.id+"/", nil, &struct{}{}) // otherwise it goes by itself
	return st.Size(), f.forget()
}

// fetching is an export on its way.
type fetching struct {
	*client
	dir, prefix string // of the file with what has come
	id          string // of the export; "": there is none
	progress    *progress
}

const partial = ".part"

func (f *fetching) part() string { return filepath.Join(f.dir, f.prefix+f.id+partial) }

// find looks for what came of an export before.
func (f *fetching) find() error {
	files, err := os.ReadDir(f.dir)
	for _, one := range files {
		id, ours := strings.CutPrefix(one.Name(), f.prefix)
		if id, whole := strings.CutSuffix(id, partial); ours && whole {
			f.id = id
		}
	}
	return err
}

// begin has the box make an export and keep it.
func (f *fetching) begin(ctx context.Context, key string) error {
	var made struct {
		ID string `json:"exportId"`
	}
	err := f.call(ctx, "POST", "/exchange/export/", map[string]any{"recipient": key, "keep": true}, &made)
	var r *refused
	if errors.As(err, &r) && r.status == http.StatusServiceUnavailable {
		return errNoRoom
	}
	f.id = made.ID
	return err
}

// forget removes what has come.
func (f *fetching) forget() error {
	err := os.Remove(f.part())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	f.id = ""
	return err
}

// rest fetches what is missing; more says that some of it came.
func (f *fetching) rest(ctx context.Context) (more bool, err error) {
	w, err := os.OpenFile(f.part(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	at, err := w.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	header := map[string]string{}
	if at > 0 {
		header["Range"], header["If-Range"] = fmt.Sprintf("bytes=%d-", at), `"`+f.id+`"`
	}
	resp, err := f.answer(ctx, "GET", "/exchange/export/"+f.id+"/", nil, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if at > 0 && resp.StatusCode != http.StatusPartialContent { // all of it
		if at, err = w.Seek(0, io.SeekStart); err == nil {
			err = w.Truncate(0)
		}
		if err != nil {
			return false, err
		}
	}
	n, err := io.Copy(&told{w: w, p: f.progress, done: at}, resp.Body)
	if err == nil {
		err = w.Sync()
	}
	return n > 0, err
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
