package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cypherface/edge/store"
)

// bootstrapName is the file that the first start leaves in the data folder, for
// the sandbox only: what a first call needs.
const bootstrapName = "bootstrap.json"

type bootstrapFile struct {
	URL        string           `json:"url"`
	MerchantID store.MerchantID `json:"merchantId"`
	APIKey     string           `json:"apiKey"`
}

// bootstrap finds the first merchant of the environment, and makes one with a key
// in a sandbox where there is none; only then it returns the file. The URL in the
// file follows the address of the sandbox as long as nobody has removed the file.
func (e *environment) bootstrap(ctx context.Context) (*bootstrapFile, error) {
	merchants, err := firstMerchant(ctx, e.store)
	if err != nil {
		return nil, fmt.Errorf("find the first merchant: %w", err)
	}
	path := filepath.Join(e.data, bootstrapName)
	switch {
	case e.name == store.Production && len(merchants) == 0:
		return nil, errIncomplete
	case len(merchants) == 0:
		file := &bootstrapFile{URL: e.address()}
		// A file without its merchant is written anew at the next start.
		e.merchant, _, err = e.authority.Found(ctx, systemCause, "Sandbox", func(m store.MerchantID, apiKey string) error {
			file.MerchantID, file.APIKey = m, apiKey
			if err := writeJSON(path, file); err != nil {
				return fmt.Errorf("write %s: %w", bootstrapName, err)
			}
			return nil
		})
		return file, err
	}
	e.merchant = merchants[0].ID
	if e.name == store.Production {
		return nil, nil
	}
	return nil, followURL(path, e.address())
}

// errIncomplete says that production was being made when the box was cut off.
var errIncomplete = errors.New("it has no merchant (cypherface env enable production completes it)")

var systemCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "cypherfaced"}}

func firstMerchant(ctx context.Context, s store.Store) (found []store.Merchant, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		page, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{Limit: 1})
		found = page.Items
		return err
	})
	return found, err
}

// followURL brings the URL in the file up to date, if the file is there.
func followURL(path, url string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var file bootstrapFile
	if err == nil {
		err = json.Unmarshal(raw, &file)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w (it may be removed; the box does not need it)", bootstrapName, err)
	}
	if file.URL == url {
		return nil
	}
	file.URL = url
	return writeJSON(path, &file)
}

// writeJSON replaces a file whole, readable by its owner alone.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// welcome says where the box is, and on the first start how to call it.
func (b *box) welcome(out io.Writer, first *bootstrapFile) {
	for _, e := range b.all() {
		s := e.status()
		fmt.Fprintf(out, "\n  %s   %s   (%s)\n\n  pack      %s: %s\n", b.program.title, e.address(), e.name, s.Pack, s.Rates)
		if !b.program.central {
			fmt.Fprintf(out, "  camera    %s\n", s.Camera)
		}
		if s.Fault != "" {
			fmt.Fprintf(out, "            %s\n", s.Fault)
		}
		if f := e.fingerprint(); f != "" {
			fmt.Fprintf(out, "  TLS       certificate of its own, SHA-256 %s\n", f)
		}
	}
	for _, d := range b.allDegraded() {
		fmt.Fprintf(out, "\n  %s   %s   (%s)\n\n  %s\n", b.program.title, d.front.address(), d.name, d.status().Reason)
	}
	if first != nil {
		fmt.Fprintf(out, `
  This is its first start. It made a sandbox merchant and a key, shown here
  once and kept in %s (readable by you alone):

  merchantId  %s
  apiKey      %s

  curl %s-H 'Authorization: Bearer %s' %s/users/
`, bootstrapName, first.MerchantID, first.APIKey, insecure(first.URL), first.APIKey, first.URL)
	}
	if b.program.central {
		fmt.Fprintf(out, `
  A box joins with a code for its site, shown once:

  cypherface-central claim --data %[1]s --site NAME
  cypherface join CODE            (on the box)
`, b.data)
	}
	fmt.Fprintln(out)
}

// insecure is the flag that has curl take a certificate nobody vouches for: on the
// machine itself nobody stands between.
func insecure(url string) string {
	if strings.HasPrefix(url, "https:") {
		return "-k "
	}
	return ""
}
