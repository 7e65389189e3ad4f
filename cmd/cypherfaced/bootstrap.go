package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
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

// bootstrap finds the box's first merchant, and makes one with a key where there
// is none; only then it returns the file. The URL in the file follows the
// address of the box as long as nobody has removed the file.
func (b *box) bootstrap(ctx context.Context, url string) (*bootstrapFile, error) {
	merchants, err := firstMerchant(ctx, b.store)
	if err != nil {
		return nil, fmt.Errorf("find the first merchant: %w", err)
	}
	path := filepath.Join(b.data, bootstrapName)
	if len(merchants) > 0 {
		b.merchant = merchants[0].ID
		return nil, followURL(path, url)
	}
	m := store.Merchant{ID: store.NewID[store.MerchantID](b.now()), Name: "Sandbox", Status: store.Active}
	apiKey, key := b.authority.NewKey(m.ID, "bootstrap", store.RoleIntegrator, auth.All()...)
	file := &bootstrapFile{URL: url, MerchantID: m.ID, APIKey: apiKey}
	// The file first: a key that nobody knows would be lost, while a file
	// without its merchant is written anew at the next start.
	if err := writeJSON(path, file); err != nil {
		return nil, fmt.Errorf("write %s: %w", bootstrapName, err)
	}
	err = b.store.Update(ctx, systemCause, func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &m), store.Put(tx, &key))
	})
	if err != nil {
		return nil, fmt.Errorf("make the first merchant: %w", err)
	}
	b.merchant = m.ID
	return file, nil
}

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
func welcome(out io.Writer, url string, first *bootstrapFile, s api.Status) {
	fmt.Fprintf(out, "\n  CypherFace Edge   %s   (sandbox)\n\n  pack      %s: %s\n  camera    %s\n", url, s.Pack, s.Rates, s.Camera)
	if s.Fault != "" {
		fmt.Fprintf(out, "            %s\n", s.Fault)
	}
	if first != nil {
		fmt.Fprintf(out, `
  This is its first start. It made a sandbox merchant and a key, shown here
  once and kept in %s (readable by you alone):

  merchantId  %s
  apiKey      %s

  curl -H 'Authorization: Bearer %s' %s/users/
`, bootstrapName, first.MerchantID, first.APIKey, first.APIKey, url)
	}
	fmt.Fprintln(out)
}
