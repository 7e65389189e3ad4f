package bulk_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// populated is a box with some people, by their external ids, who have the colours
// of their numbers.
func populated(t *testing.T, people int) *box {
	t.Helper()
	b := newBox(t)
	var files []file
	for n := range people {
		files = append(files, file{fmt.Sprintf("pilgrim%02d.jpg", n), face(n, 0)})
	}
	if p := b.done(b.add(bulk.Request{}, archiveOf(t, files...))); p.Enrolled != people {
		t.Fatalf("%+v", p)
	}
	return b
}

// export is what a box writes for another.
func (b *box) export(to *box) []byte {
	b.Helper()
	k, err := bulk.ExchangeKeys(b.Context(), to.store)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := bulk.Export(b.Context(), b.store, cause, b.merchant, k.Receive.Public(), &out); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// knows says whether a box finds the person of a colour.
func (b *box) knows(n int) store.PersonID {
	b.Helper()
	img, _, err := image.Decode(bytes.NewReader(face(n, 0)))
	if err != nil {
		b.Fatal(err)
	}
	r, err := b.service.Identify(b.Context(), verify.IdentifyRequest{Cause: cause, Merchant: b.merchant, Image: img})
	if err != nil {
		b.Fatal(err)
	}
	return r.Person
}

// People go to another box, who they are and their faces; who is known there stays
// as he is unless it is asked for, and who was erased there does not come back.
func TestExchange(t *testing.T) {
	a, b := populated(t, 5), newBox(t)
	parcel := a.export(b)
	if bytes.Contains(parcel, []byte("pilgrim03")) {
		t.Error("names lie in the clear")
	}
	if p := b.done(b.add(bulk.Request{Import: true, Check: true}, parcel)); p.Enrolled != 5 || len(b.people()) != 0 {
		t.Errorf("a check: %+v, %d people", p, len(b.people()))
	}
	id := b.add(bulk.Request{Import: true}, parcel)
	p := b.done(id)
	if p.State != store.BulkDone || p.Enrolled != 5 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "signed by") {
		t.Errorf("%+v", p)
	}
	theirs, ours := a.people(), b.people()
	for name, one := range theirs {
		if got := ours[name]; got.ID != one.ID || got.Status != store.PersonEnrolled || got.Merchant != b.merchant {
			t.Errorf("%s came as %+v", name, got)
		}
	}
	for n := range 5 {
		if got, want := b.knows(n), theirs[fmt.Sprintf("pilgrim%02d", n)].ID; got != want {
			t.Errorf("colour %d is %q, want %q", n, got, want)
		}
	}
	if p := b.done(b.add(bulk.Request{Import: true}, parcel)); p.Exists != 5 {
		t.Errorf("again: %+v", p)
	}
	gone := ours["pilgrim02"].ID
	b.update(func(tx *store.Tx) error { return store.Erase(tx, gone) })
	change := ours["pilgrim03"]
	change.Firstname = "Other"
	b.update(func(tx *store.Tx) error { return store.Put(tx, &change) })
	id = b.add(bulk.Request{Import: true, Update: true}, parcel)
	if p := b.done(id); p.Updated != 4 || p.Refused != 1 || !slices.ContainsFunc(b.items(id), func(i store.BulkItem) bool { return i.Reason == bulk.ReasonErased }) {
		t.Errorf("with update: %+v %+v", p, b.items(id))
	}
	if now := b.people(); len(now) != 4 || now["pilgrim03"].Firstname != "" {
		t.Errorf("people %+v", now)
	}
	if p := b.done(b.add(bulk.Request{Import: true, New: true}, parcel)); p.Enrolled != 4 || p.Refused != 1 {
		t.Errorf("as new ones: %+v", p)
	}
	if got := a.exportEvents(); got != 1 {
		t.Errorf("%d events of exports", got)
	}
}

func (b *box) exportEvents() (n int) {
	b.Helper()
	err := b.store.View(b.Context(), func(tx *store.Tx) error {
		for e, err := range store.All(tx, store.EventsByMerchant, store.Plain(b.merchant), store.Plain(store.EventAccess)) {
			if err != nil {
				return err
			}
			if e.Action == "export_people" {
				n++
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// What is changed, cut, sealed to another or signed by another takes in nobody.
func TestExchangeRefuses(t *testing.T) {
	a, b, c := populated(t, 2), newBox(t), newBox(t)
	parcel := a.export(b)
	changed := bytes.Clone(parcel)
	changed[len(changed)-100] ^= 1
	for name, tt := range map[string]struct {
		to   *box
		data []byte
		from string
		want error
	}{
		"another box":    {c, parcel, "", seal.ErrRecipient},
		"changed":        {b, changed, "", store.ErrDamaged},
		"cut":            {b, parcel[:len(parcel)-10], "", store.ErrDamaged},
		"no parcel":      {b, []byte("cypherface backup 1\n"), "", store.ErrForeign},
		"a later one":    {b, []byte("cypherface people 9\n\x00\x00\x00\x00"), "", store.ErrNewer},
		"another signer": {b, parcel, "0000", seal.ErrSignature},
	} {
		_, err := tt.to.Add(t.Context(), cause, bulk.Request{Merchant: tt.to.merchant, Import: true, From: tt.from}, bytes.NewReader(tt.data))
		if !errors.Is(err, bulk.ErrParcel) || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if len(b.people())+len(c.people()) != 0 {
		t.Error("somebody was taken in")
	}
	k, err := bulk.ExchangeKeys(t.Context(), a.store)
	if err != nil {
		t.Fatal(err)
	}
	right := bulk.Request{Import: true, From: seal.SignerFingerprint(k.Sign.Public().(ed25519.PublicKey))}
	if p := b.done(b.add(right, parcel)); p.Enrolled != 2 {
		t.Errorf("from the box that was named: %+v", p)
	}
}

// A restart in the middle of an import goes on.
func TestExchangeThroughARestart(t *testing.T) {
	a, b := populated(t, 30), newBox(t)
	parcel := a.export(b)
	b.stop()
	var n atomic.Int64
	reached := make(chan struct{})
	b.change = func(ctx context.Context) error {
		switch i := n.Add(1); {
		case i < 12:
			return nil
		case i == 12:
			close(reached)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	b.open()
	id := b.add(bulk.Request{Import: true}, parcel)
	<-reached
	p, err := b.Progress(t.Context(), b.merchant, id)
	if there := len(b.people()); err != nil || p.State != store.BulkRunning || there < 5 || there > 12 {
		t.Errorf("in the middle: %+v, %v, %d people", p, err, there)
	}
	b.stop()

	b.change = nil
	b.open()
	if p := b.done(id); p.Done != 30 || p.Enrolled != 30 || len(b.people()) != 30 {
		t.Errorf("%+v, %d people", p, len(b.people()))
	}
}

// An export that somebody is erased during is not kept, and nor is one that fails.
func TestExportsLeaveNothing(t *testing.T) {
	b := populated(t, 3)
	k, err := bulk.ExchangeKeys(t.Context(), b.store)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "exports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.cfx.unfinished"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var during func() error // while an export is made
	e, err := bulk.OpenExports(changes{b.store, func(context.Context) error { return during() }}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	left := func() int {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if left() > 0 {
		t.Error("what a cut left is still there")
	}
	gone := b.people()["pilgrim01"].ID
	broken := errors.New("broken")
	for want, do := range map[error]func() error{
		bulk.ErrErased: func() error {
			return b.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, gone) })
		},
		broken: func() error { return broken },
	} {
		during = do
		if _, err := e.Make(t.Context(), cause, b.merchant, k.Receive.Public()); !errors.Is(err, want) || left() > 0 {
			t.Errorf("%v, want %v; %d files are left", err, want, left())
		}
	}
	during = func() error { return nil }
	kept, err := e.Make(t.Context(), cause, b.merchant, k.Receive.Public())
	if err != nil || kept.People != 2 || left() != 1 {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, _, err := e.Open("000000000000000000000000", kept.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another merchant's: %v", err)
	}
}
