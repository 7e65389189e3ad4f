package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// People go from one box to another, and are recognised there.
func TestExportImport(t *testing.T) {
	here, there, dir := newBox(t), newBox(t), faceFiles(t)
	on := func(data string, code int, args ...string) string {
		t.Helper()
		if args[0] != "export" {
			args = append(args, "--packs", testPacks)
		}
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	on(here, 0, "enrol", "--name", "Ada Lovelace", "--email", "ada@example.org", file("a1.png"))
	if err := os.WriteFile(file("there.key"), []byte(on(there, 0, "import", "--key")), 0o600); err != nil {
		t.Fatal(err)
	}
	var e struct{ Signer string }
	if err := json.Unmarshal([]byte(on(here, 0, "export", "--to", file("there.key"), "--out", file("people.cfx"), "--json")), &e); err != nil || e.Signer == "" {
		t.Fatalf("%+v, %v", e, err)
	}
	on(here, 2, "export", "--to", file("there.key"), "--out", file("people.cfx"))
	on(here, 2, "export", "--to", file("a1.png"), "--out", file("x.cfx"))
	on(here, 2, "import", file("people.cfx")) // it is sealed to the other one
	on(there, 2, "import", file("people.cfx"), "--from", "0000")
	if out := on(there, 0, "import", file("people.cfx"), "--check"); !strings.Contains(out, "1 of 1 people could be enrolled") {
		t.Errorf("check: %s", out)
	}
	if out := on(there, 0, "import", file("people.cfx"), "--from", e.Signer); !strings.Contains(out, "1 of 1 people enrolled") {
		t.Errorf("%s", out)
	}
	if out := on(there, 0, "identify", file("a2.png")); !strings.Contains(out, "Ada Lovelace") {
		t.Errorf("%s", out)
	}
	if out := on(there, 0, "import", file("people.cfx")); !strings.Contains(out, "1 were known already") {
		t.Errorf("again: %s", out)
	}
}

// cutting is the control socket of a box whose connections break: each answer that is a
// file ends after so many bytes.
type cutting struct {
	http.Handler
	after atomic.Int64 // bytes; 0: it does not
	asked atomic.Int64 // bytes of files that were sent
	calls atomic.Int64
}

type cut struct {
	http.ResponseWriter
	left int64
	of   *cutting
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == "GET" && strings.Contains(r.URL.Path, "/exchange/export/") {
		c.calls.Add(1)
		w = &cut{w, c.after.Load(), c}
	}
	c.Handler.ServeHTTP(w, r.WithContext(api.AsPeer(r.Context(), uint32(os.Getuid()))))
}

func (c *cut) Write(b []byte) (int, error) {
	if c.left > 0 && int64(len(b)) >= c.left {
		n, _ := c.ResponseWriter.Write(b[:c.left])
		c.of.asked.Add(int64(n))
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(b))
	c.of.asked.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// An export through a connection that breaks is gone on with, by the same command and
// by the next one, and comes whole, once; nothing is left on either side.
func TestExportThroughCuts(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: "0"}}
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "test", Status: store.Active}
	noise := make([]byte, 20_000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	err = s.Update(t.Context(), cause, func(tx *store.Tx) error {
		p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: m.ID, Status: store.PersonEnrolled}
		crop := store.Crop{ID: store.NewID[store.CropID](time.Now()), Merchant: m.ID, Person: p.ID, Space: "x", Image: noise}
		return errors.Join(store.Put(tx, &m), store.Put(tx, &p), store.Put(tx, &crop))
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, out := filepath.Join(t.TempDir(), "exports"), t.TempDir()
	exports, err := bulk.OpenExports(s, kept, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer exports.Close()
	authority, err := auth.Open(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Config{Store: s, Authority: authority, Exports: exports, Status: func() api.Status { return api.Status{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	wire := &cutting{Handler: a.Control()}
	socket := filepath.Join(out, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: wire, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l)
	defer server.Close()
	c := socketClient(socket, store.Sandbox)
	key := func() string {
		return seal.NewRecoveryKey().Public().Recipient()
	}
	screen := &terminal{out: io.Discard, err: io.Discard}
	files := func(dir string) (names []string) {
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.Name() != "s" {
				names = append(names, f.Name())
			}
		}
		return names
	}
	clean := func(why string, want ...string) {
		t.Helper()
		if got := files(out); !slices.Equal(got, want) || len(files(kept)) > 0 {
			t.Errorf("%s: there are %q and on the box %q", why, got, files(kept))
		}
	}

	wire.after.Store(8_000)
	n, err := c.exportTo(t.Context(), screen, key(), filepath.Join(out, "a.cfx"))
	if err != nil || n < 20_000 || wire.calls.Load() < 3 { // from the beginning each time it would never end
		t.Errorf("%d bytes in %d calls of %d, %v", wire.asked.Load(), wire.calls.Load(), n, err)
	}
	clean("through cuts", "a.cfx")
	raw, err := os.ReadFile(filepath.Join(out, "a.cfx"))
	if err != nil || int64(len(raw)) != n {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if p, err := seal.OpenParcel(bytes.NewReader(raw)); err != nil {
		t.Error(err)
	} else if err := p.Copy(io.Discard, seal.NewRecoveryKey()); !errors.Is(err, seal.ErrRecipient) {
		t.Errorf("the file is %v", err)
	}

	// The command is ended in the middle, and given again.
	k := seal.NewRecoveryKey()
	to := k.Public().Recipient()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	wire.after.Store(1_000) // it would take long
	go func() {
		_, err := c.exportTo(ctx, screen, to, filepath.Join(out, "b.cfx"))
		ended <- err
	}()
	came := func() (n int64) { // in the part
		for _, name := range files(out) {
			if st, err := os.Stat(filepath.Join(out, name)); err == nil && strings.HasSuffix(name, partial) {
				n += st.Size()
			}
		}
		return n
	}
	for came() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "goes on with it") {
		t.Errorf("ended in the middle: %v", err)
	}
	had := came()
	if got := files(out); len(got) != 2 || len(files(kept)) != 1 || had == 0 {
		t.Errorf("ended in the middle there are %q and on the box %q", got, files(kept))
	}
	wire.after.Store(0)
	wire.asked.Store(0)
	n, err = c.exportTo(t.Context(), screen, to, filepath.Join(out, "b.cfx"))
	if err != nil || had+wire.asked.Load() != n {
		t.Errorf("given again: %d bytes and %d of %d, %v", had, wire.asked.Load(), n, err)
	}
	clean("given again", "a.cfx", "b.cfx")
	f, err := os.Open(filepath.Join(out, "b.cfx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := seal.OpenParcel(f)
	if err == nil {
		err = p.Copy(io.Discard, k)
	}
	if err != nil {
		t.Errorf("the parts do not fit: %v", err)
	}

	// What has come of an export that is gone is of no use.
	stray := filepath.Join(out, "c.cfx."+k.Public().Fingerprint()+"."+string(store.NewUUID[store.ExportID]())+partial)
	if err := os.WriteFile(stray, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.exportTo(t.Context(), screen, to, filepath.Join(out, "c.cfx")); err != nil {
		t.Error(err)
	}
	clean("begun anew", "a.cfx", "b.cfx", "c.cfx")
	if _, err := c.exportTo(t.Context(), screen, to, filepath.Join(out, "c.cfx")); err == nil {
		t.Error("a file that is there is written over")
	}
}
